"""The load generator's metrics page as numbers, and what changed between two of them."""

import time
from dataclasses import dataclass
from urllib.request import ProxyHandler, build_opener

from prometheus_client.parser import text_string_to_metric_families

from flash.buckets import LE, quantile

__all__ = ["MetricsPage"]

_OPENER = build_opener(ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """Values by name and labels."""

    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    @classmethod
    def parse(cls, text: str) -> "MetricsPage":
        """From the text format."""
        return cls(
            {
                (sample.name, frozenset(sample.labels.items())): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }
        )

    @classmethod
    def scrape(cls, port: int) -> "MetricsPage":
        """From the page of a load generator on this machine; OSError if it does not answer."""
        url = f"http://127.0.0.1:{port}/metrics"
        return cls.parse(_OPENER.open(url, timeout=30).read().decode())

    def since(self, before: "MetricsPage") -> "MetricsPage":
        """What was added after ``before``; for counters and histograms."""
        return MetricsPage(
            {key: value - before.samples.get(key, 0.0) for key, value in self.samples.items()}
        )

    @classmethod
    def grown(cls, port: int, seconds: float) -> tuple["MetricsPage", float]:
        """What is added in so many seconds from now on, and how many these were."""
        before, began = cls.scrape(port), time.monotonic()
        time.sleep(seconds)
        after, ended = cls.scrape(port), time.monotonic()
        return after.since(before), ended - began

    def total(self, name: str, **labels: str) -> float:
        """The sum of all samples of a name that have the labels."""
        return sum(
            value
            for (sample, have), value in self.samples.items()
            if sample == name and labels.items() <= dict(have).items()
        )

    def quantile_s(self, histogram: str, q: float) -> float:
        """A quantile in seconds, of all regions and both routings together."""
        cumulative = [self.total(f"{histogram}_bucket", le=le) for le in LE]
        before = [0.0, *cumulative[:-1]]
        return quantile([a - b for a, b in zip(cumulative, before, strict=True)], q)
