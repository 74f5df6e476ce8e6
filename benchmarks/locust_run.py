"""One run of ``locust -f loadgen --headless --csv``, and everything it says about itself."""

import csv
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.metrics_page import MetricsPage
from benchmarks.peers import free_port, pinned, running

__all__ = ["LocustRun", "run_locust"]

_HERE = Path(__file__).parent
# "Aggregated  20000  198(0.99%) | ..." in the table at the end.
_TABLE_ROW = re.compile(r"^\s*Aggregated\s+(\d+)\s+(\d+)\(", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class LocustRun:
    """``table`` is requests and failures as Locust printed them last, ``csv`` its row
    "Aggregated", ``page`` the metrics after the last request."""

    table: tuple[int, int]
    csv: dict[str, str]
    page: MetricsPage


def run_locust(
    arguments: Sequence[str],
    *,
    core: int | None,
    requests: int = 0,
    during: Callable[[int, int], None] | None = None,
    within_s: float = 600.0,
) -> LocustRun:
    """Run Locust to its end, after ``requests`` or by its own ``--run-time``.

    ``during`` is called with the process id and the metrics port once the metrics are there.
    Exits with status 2, and with what Locust said, if it fails otherwise than by failed requests.
    """
    with tempfile.TemporaryDirectory(prefix="locust-run-") as name:
        folder = Path(name)
        port = free_port()
        page, log = folder / "page", folder / "output.txt"
        command = [
            *("env", f"ACCURACY_REQUESTS={requests}", f"ACCURACY_PAGE={page}"),
            *(sys.executable, "-m", "locust", "-f", f"loadgen,{_HERE / 'accuracy_stop.py'}"),
            *("--headless", "--csv", str(folder / "out"), "--exit-code-on-error", "0"),
            *("--stop-timeout", "60", "--metrics-port", str(port), *arguments),
        ]
        command = command if core is None else pinned(core, command)
        with running(command, port=port, log=log) as process:
            if during is not None:
                during(process.pid, port)
            status = process.wait(within_s)
        said = log.read_text(errors="replace")
        rows = _TABLE_ROW.findall(said)
        if status != 0 or not rows:
            print(f"benchmark: locust ended with {status}:\n{said[-4000:]}", file=sys.stderr)
            sys.exit(2)
        # Tables before the last are of the run while it went on.
        made, failed = rows[-1]
        with (folder / "out_stats.csv").open(newline="") as lines:
            aggregated = next(row for row in csv.DictReader(lines) if row["Name"] == "Aggregated")
        return LocustRun((int(made), int(failed)), aggregated, MetricsPage.parse(page.read_text()))
