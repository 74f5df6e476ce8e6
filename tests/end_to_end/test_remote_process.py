"""A master and workers as on Modal, through the relay: all of it but for Modal itself."""

import asyncio
import csv
import io
import json
import os
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from loadgen.remote_process import METRICS_FILE, MasterProcess, run_worker
from loadgen.remote_run import SUMMARY_FILE, Place, RemoteRun

pytestmark = pytest.mark.end_to_end

SERVER = str(Path(__file__).with_name("stalling_server.py"))
SECRET = b"a secret that is made for one run"


def clean_environ() -> dict[str, str]:
    ours = ("FLASH_", "LOADGEN_", "LOCUST_", "MODAL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def run_of(url: str, *regions: str) -> RemoteRun:
    return RemoteRun(
        urls={region: url for region in regions},
        places=tuple(
            Place(client_region=region, compute_region=region, urls={region: url})
            for region in regions
        ),
        users=8,
        spawn_rate=50.0,
        run_time_s=4,
        stop_timeout_s=5,
        options=("--arrival-rate", "0:60,2:60,2:0"),
    )


async def garbage(port: int) -> None:
    """What a port that is open to the world gets."""
    for data in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff\0\0\0\0\0\0\0\x01\x7f" + b"\3" * 500):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        writer.close()


def test_workers_that_know_the_secret_measure_their_regions_and_nobody_else_gets_in(start, http):
    server = start(SERVER, "0", "3600")
    url = f"http://127.0.0.1:{http.until(server.output, within_s=10, what='its port').strip()}"
    run, environ = run_of(url, "us-east", "eu-west"), clean_environ()

    async def everything():
        async with MasterProcess(run, SECRET, environ=environ) as master:
            to = ("127.0.0.1", master.port)
            await garbage(master.port)
            stranger = asyncio.create_task(
                run_worker(run.places[0], b"not the secret" * 3, to, tls=None, environ=environ)
            )
            workers = [
                asyncio.create_task(run_worker(place, SECRET, to, tls=None, environ=environ))
                for place in run.places
            ]
            results = await master.results()
            statuses = await asyncio.gather(*workers)
            assert not stranger.done()
            stranger.cancel()
            await asyncio.gather(stranger, return_exceptions=True)
            return results, statuses

    results, statuses = asyncio.run(everything())
    assert (results.status, statuses) == (0, [0, 0])
    by_region = {}
    for family in text_string_to_metric_families(results.files[METRICS_FILE]):
        for sample in family.samples:
            if sample.name == "loadgen_requests_total" and sample.labels["outcome"] == "ok":
                way = sample.labels["client_region"], sample.labels["region"]
                by_region[way] = by_region.get(way, 0) + sample.value
    assert by_region == {("us-east", "us-east"): 60, ("eu-west", "eu-west"): 60}
    assert int(http.get(f"{url}/served").body) == 120
    summary = json.loads(results.files[SUMMARY_FILE])
    rows = {(row["client_region"], row["routing"]): row["requests"] for row in summary["rows"]}
    assert rows == {
        (region, routing): 30
        for region in ("us-east", "eu-west")
        for routing in ("sticky", "non_sticky")
    }
    table = csv.DictReader(io.StringIO(results.files["locust_stats.csv"]))
    (total,) = (row for row in table if row["Name"] == "Aggregated")
    assert (total["Request Count"], total["Failure Count"]) == ("120", "0")
