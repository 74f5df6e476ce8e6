"""What can go wrong with the edge."""

__all__ = ["ConfigError", "EdgeError"]


class EdgeError(Exception):
    """Base of the edge's errors; the message says what to do."""


class ConfigError(EdgeError):
    """An option or variable that cannot be used, or an address that is taken."""
