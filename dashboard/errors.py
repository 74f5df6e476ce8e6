"""The errors of this package; each message says what was expected, what was got, what to do."""

__all__ = [
    "BadQueryError",
    "ConfigError",
    "ConflictError",
    "DashboardError",
    "ExpositionError",
    "NoAdviceError",
    "NotFoundError",
    "PrometheusError",
    "PrometheusTimeoutError",
    "ScrapeError",
    "StoreError",
]


class DashboardError(Exception):
    """Base of this package's errors."""


class ConfigError(DashboardError):
    """An option or environment variable cannot be used."""


class StoreError(DashboardError):
    """The store cannot be opened, read or written."""


class ExpositionError(DashboardError):
    """A target's text is not the Prometheus exposition format."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line
        self.why = why


class ScrapeError(DashboardError):
    """A target did not answer, or not usefully."""


class PrometheusError(DashboardError):
    """Prometheus does not answer, or not with what was asked for."""


class PrometheusTimeoutError(PrometheusError):
    """Prometheus did not answer in time."""


class BadQueryError(DashboardError):
    """A parameter of the JSON interface is unusable; ``where`` names it."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(message)
        self.where = where


class NotFoundError(DashboardError):
    """What was asked for does not exist; ``where`` names the parameter."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(message)
        self.where = where


class NoAdviceError(DashboardError):
    """Too little is known of a run to say what other settings would have done."""


class ConflictError(DashboardError):
    """What was asked for cannot be done now, or not here; ``where`` names the parameter."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(message)
        self.where = where
