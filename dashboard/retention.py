"""How long the store keeps what: by age, and by its size where that is reached first.

Both go by the time of day, and that of a machine may be set wrong for a while. So nothing is
deleted for an hour after it was set, or after the machine woke up.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

from dashboard.config import LEAST_RAW_S, Config
from dashboard.store import Kept, Store

__all__ = ["Cut", "Retention", "next_cut"]

_EVERY_S: Final = 60
_ALIGNED_S: Final = 60  # so that no row of the finer levels is cut in two
_SHARE: Final = 8

_SET_BY_S: Final = 60.0
_SETTLED_AFTER_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What to delete: raw seconds before one Unix second, and everything before another."""

    raw_before: int
    all_before: int


def next_cut(kept: Kept, now: int) -> Cut | None:
    """What to delete next of a store that is too large; ``None`` when nothing old is left.

    An eighth of the raw seconds, which take most of the room for the shortest time, as long as
    there are more than :data:`dashboard.config.LEAST_RAW_S` of them; then an eighth of everything.
    """
    for oldest, whole in ((kept.raw_from, False), (kept.all_from, True)):
        if oldest is None:
            continue
        cut = min(oldest + max(_ALIGNED_S, (now - oldest) // _SHARE), now - LEAST_RAW_S)
        cut = cut // _ALIGNED_S * _ALIGNED_S
        if cut > oldest:
            return Cut(raw_before=cut, all_before=cut if whole else 0)
    return None


class Retention:
    """Keeps a store within the ages and the size that the configuration allows."""

    def __init__(
        self, config: Config, store: Store, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._store = store
        self._monotonic = monotonic
        self._offset: float | None = None
        self._settled_at = -inf

    def due(self, second: int) -> bool:
        """Whether it is time, at Unix second ``second``, to delete what is too old."""
        monotonic = self._monotonic()
        offset = second - monotonic
        if self._offset is not None and abs(offset - self._offset) > _SET_BY_S:
            self._settled_at = monotonic + _SETTLED_AFTER_S
        self._offset = offset
        return second % _EVERY_S == 0 and monotonic >= self._settled_at

    async def keep(self, now: int) -> None:
        """Delete what is older than allowed at Unix second ``now``, and what is too much.

        Raises:
            StoreError: the store cannot be written.
        """
        raw, whole = self._config.raw_retention_s, self._config.retention_s
        await self._store.forget(
            raw_before=int(now - raw) // _ALIGNED_S * _ALIGNED_S,
            all_before=int(now - whole) // _ALIGNED_S * _ALIGNED_S,
        )
        limit = self._config.store_limit_bytes
        while (kept := await self._store.kept()).used_bytes > limit:
            cut = next_cut(kept, now)
            if cut is None:
                break
            await self._store.forget(raw_before=cut.raw_before, all_before=cut.all_before)
        if kept.file_bytes > limit:
            await self._store.give_back()
