"""The load generator: virtual users for Locust, their HTTP client, and what they record."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadgen.load_shape import ProfileShape
    from loadgen.users import FlashUser

__all__ = ["FlashUser", "ProfileShape"]


def __getattr__(name: str) -> object:
    # Locust patches the standard library when it is imported, so only those who want it get it.
    if name == "FlashUser":
        from loadgen.users import FlashUser

        return FlashUser
    if name == "ProfileShape":
        from loadgen.load_shape import ProfileShape

        return ProfileShape
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
