"""Which workers are there, and how often one joined, was lost, or returned."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Final

__all__ = ["CHANGES", "Changed", "WorkerRoll"]

CHANGES: Final = ("joined", "lost", "returned")
"""What :attr:`WorkerRoll.changes` tells apart."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Workers by what has become of them since the last look."""

    joined: frozenset[str]
    lost: frozenset[str]
    returned: frozenset[str]


class WorkerRoll:
    """Looked at now and then; ``changes`` counts since the start.

    A worker joins once, however many runs it takes part in. It is lost when its master misses it,
    which an orderly end is not, and returns when it is heard of again.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._lost: set[str] = set()
        self.changes: dict[str, int] = dict.fromkeys(CHANGES, 0)

    def __repr__(self) -> str:
        return f"<WorkerRoll {self.changes}>"

    def look(self, present: Set[str], missing: Set[str]) -> Changed:
        """These workers are there, and those are missed."""
        changed = Changed(
            joined=frozenset(present - self._known),
            lost=frozenset(missing - self._lost),
            returned=frozenset(present & self._lost),
        )
        self._known |= present | missing
        self._lost = (self._lost | changed.lost) - changed.returned
        for change in CHANGES:
            self.changes[change] += len(getattr(changed, change))
        return changed
