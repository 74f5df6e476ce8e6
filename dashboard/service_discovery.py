"""Prometheus' HTTP service discovery: our targets in its form.

https://prometheus.io/docs/prometheus/latest/http_sd/
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from dashboard.answers import SdGroup
from dashboard.model import Target

__all__ = ["sd_groups"]

_PORTS = {"http": 80, "https": 443}


def sd_groups(targets: Iterable[Target]) -> list[SdGroup]:
    """One group per target, with the labels that our own store gives its series."""
    return [_group(target) for target in targets]


def _group(target: Target) -> SdGroup:
    parts = urlsplit(target.url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    return SdGroup(
        targets=[f"{host}:{parts.port or _PORTS[parts.scheme]}"],
        labels={
            "job": target.job,
            "__scheme__": parts.scheme,
            "__metrics_path__": parts.path or "/",
            **target.labels,
        },
    )
