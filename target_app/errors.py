"""The base of this package's errors."""

__all__ = ["TargetAppError"]


class TargetAppError(Exception):
    """Something was asked of the server that cannot be; the message says what to do."""
