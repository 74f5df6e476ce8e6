"""What the users of a region do while it refuses them with 503."""

from enum import Enum

from loadgen.errors import UsageError

__all__ = ["ColdStartPolicy"]


class ColdStartPolicy(Enum):
    """Who tries again when a region has no container up."""

    RETRY = "retry"
    """Every user by itself, as real clients do."""
    PROBE = "probe"
    """One of them; the others wait until it is answered."""

    @classmethod
    def parse(cls, text: str) -> "ColdStartPolicy":
        """By its name.

        Raises:
            UsageError: there is none of that name.
        """
        try:
            return cls(text)
        except ValueError:
            known = " or ".join(policy.value for policy in cls)
            raise UsageError(f"expected {known}, got {text!r}") from None
