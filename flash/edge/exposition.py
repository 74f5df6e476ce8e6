"""The edge's metrics page, written quickly: requests in flight wait while it is.

prometheus-client takes some five milliseconds for four histograms of our layout. So those are
written here, in the lines that its text format and OpenMetrics share, and the rest by it.
"""

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from flash.buckets import LE
from flash.edge.counters import EdgeCollector, Histogram

__all__ = ["page"]

_END: Final = b"# EOF\n"


def page(registry: CollectorRegistry, edge: EdgeCollector, accept: str) -> tuple[bytes, str]:
    """All that ``registry`` collects and ``edge``'s histograms, and the content type.

    ``accept`` is the request's Accept header.
    """
    encode, content_type = choose_encoder(accept)
    others = encode(registry)
    end = _END if others.endswith(_END) else b""
    lines = [others.removesuffix(_END).decode()]
    for family in edge.histograms():
        lines.append(f"# HELP {family.name} {family.documentation}\n")
        lines.append(f"# TYPE {family.name} histogram\n")
        for labels, histogram in family.series:
            lines += _lines(family.name, labels, histogram)
    return "".join(lines).encode() + end, content_type


def _lines(name: str, labels: Mapping[str, str], histogram: Histogram) -> Iterator[str]:
    written = ",".join(f'{label}="{value}"' for label, value in labels.items())
    before = f'{name}_bucket{{{written}{"," if written else ""}le="'
    counts = list(accumulate(histogram.counts))
    for le, count in zip(LE, counts, strict=True):
        yield f'{before}{le}"}} {count}.0\n'
    braced = f"{{{written}}}" if written else ""
    yield f"{name}_count{braced} {counts[-1]}.0\n"
    yield f"{name}_sum{braced} {histogram.sum!r}\n"
