"""Options that make no sense together, as rules that a table can list."""

from collections.abc import Set
from dataclasses import dataclass

__all__ = ["Excludes", "Needs"]


@dataclass(frozen=True, slots=True)
class Excludes:
    """``option`` goes with none of ``others``; ``because`` ends the sentence that says so."""

    option: str
    others: tuple[str, ...]
    because: str

    def broken_by(self, chosen: Set[str]) -> str | None:
        """What to tell whoever chose these options, ``None`` if they obey."""
        others = [other for other in self.others if other in chosen]
        if self.option not in chosen or not others:
            return None
        return f"{self.option} and {_listed(others, 'and')} contradict each other: {self.because}"


@dataclass(frozen=True, slots=True)
class Needs:
    """``option`` does nothing without one of ``others``; ``because`` ends the sentence."""

    option: str
    others: tuple[str, ...]
    because: str

    def broken_by(self, chosen: Set[str]) -> str | None:
        """What to tell whoever chose these options, ``None`` if they obey."""
        if self.option not in chosen or not chosen.isdisjoint(self.others):
            return None
        return f"{self.option} needs {_listed(self.others, 'or')}: {self.because}"


def _listed(options: "list[str] | tuple[str, ...]", last: str) -> str:
    *first, end = options
    return f"{', '.join(first)} {last} {end}" if first else end
