"""One run of ``locust -f loadgen --headless --csv``, and everything it says about itself."""

import csv
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.peers import free_port, pinned
from flash.buckets import LE, quantile

__all__ = ["LocustRun", "run_locust"]

_HERE = Path(__file__).parent
_ROOT = _HERE.parent
# "Aggregated  20000  198(0.99%) | ..." in the table at the end.
_TABLE_ROW = re.compile(r"^\s*Aggregated\s+(\d+)\s+(\d+)\(", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class LocustRun:
    """``table`` is requests and failures as Locust printed them last, ``csv`` its row
    "Aggregated", ``samples`` the metrics page after the last request."""

    table: tuple[int, int]
    csv: dict[str, str]
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

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


def run_locust(
    arguments: Sequence[str],
    *,
    core: int | None,
    requests: int = 0,
    locustfile: str = "loadgen",
    within_s: float = 600.0,
) -> LocustRun:
    """Run Locust to its end, after ``requests`` or by its own ``--run-time``.

    Exits with status 2, and with what Locust said, if it fails otherwise than by failed requests.
    """
    with tempfile.TemporaryDirectory(prefix="locust-run-") as name:
        folder = Path(name)
        command = [
            *(sys.executable, "-m", "locust", "-f", f"{locustfile},{_HERE / 'accuracy_stop.py'}"),
            *("--headless", "--csv", str(folder / "out"), "--exit-code-on-error", "0"),
            *("--stop-timeout", "60", "--metrics-port", str(free_port()), *arguments),
        ]
        environ = {
            **os.environ,
            "ACCURACY_REQUESTS": str(requests),
            "ACCURACY_PAGE": str(folder / "page"),
        }
        ran = subprocess.run(
            command if core is None else pinned(core, command),
            cwd=_ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=within_s,
            check=False,
        )
        rows = _TABLE_ROW.findall(ran.stdout)
        if ran.returncode != 0 or not rows:
            print(
                f"benchmark: locust ended with status {ran.returncode}:\n{ran.stdout[-4000:]}",
                file=sys.stderr,
            )
            sys.exit(2)
        # The last is of the percentiles' table, which has no such form; so this is the summary.
        made, failed = rows[-1]
        with (folder / "out_stats.csv").open(newline="") as lines:
            aggregated = next(row for row in csv.DictReader(lines) if row["Name"] == "Aggregated")
        page = (folder / "page").read_text()
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    return LocustRun((int(made), int(failed)), aggregated, samples)
