"""The benchmark of cold starts: cycles of scaling to zero and waking up at the local edge."""

import json

import pytest

from benchmarks.bench_cold_starts import Cycle, distributions, table

pytestmark = pytest.mark.end_to_end

BENCH = ("-m", "benchmarks.bench_cold_starts")


def test_a_distribution_is_of_one_region_and_phase_and_leaves_out_what_is_not_told() -> None:
    def cycle(region: str, cold_s: float, container_s: float | None, refused: int = 3) -> Cycle:
        times = {"answer_s": 0.01, "warm_s": 0.005, "cold_s": cold_s, "container_s": container_s}
        return Cycle(region=region, refused=refused, status=200, container=None, **times)

    cycles = [
        *(cycle("us-east", n / 10, n / 20) for n in range(1, 12)),
        cycle("eu-west", 5.0, None, refused=0),
    ]
    found = {(one.region, one.phase): one for one in distributions(cycles)}
    cold = found["us-east", "cold_s"]
    assert (cold.samples, cold.lowest_s, cold.median_s) == (11, 0.1, 0.6)
    assert (cold.p90_s, cold.highest_s) == (1.0, 1.1)  # the tenth of eleven, and the last
    assert found["us-east", "rest_s"].median_s == pytest.approx(0.3)
    assert ("eu-west", "container_s") not in found
    assert ("eu-west", "rest_s") not in found
    text = table(cycles)
    assert "| us-east | cold | 11 | 0.100 s | 0.600 s | 1.000 s | 1.100 s |" in text
    assert "us-east, 11 cycles: 33 503s\n" in text
    assert "eu-west, 1 cycles: 0 503s; 1 without a 503: held, or warm" in text


def test_cycles_at_the_local_edge_are_told_by_phase(start, free_ports, http, tmp_path) -> None:
    admin, first, _ = free_ports(3)
    edge = start(
        *("-m", "flash.edge", "--region", "us-east", "--region", "eu-west", "--no-rtt"),
        *("--admin-port", str(admin), "--first-port", str(first), "--boot-delay", "0.4"),
        *("--scaledown-window", "0.5", "--exit-grace-period", "0"),
    )
    url = f"http://127.0.0.1:{admin}"
    http.until(
        lambda: http.get(f"{url}/healthz").status == 200,
        within_s=30,
        what=f"the edge answers: {edge.output()}",
    )
    file = tmp_path / "cold.json"
    bench = start(*BENCH, "--flash-edge", url, "--cycles", "2", "--json", str(file))
    assert bench.wait(within_s=90) == 0, bench.output()
    cycles = json.loads(file.read_text())["cycles"]
    assert [cycle["region"] for cycle in cycles] == ["us-east", "eu-west"] * 2
    assert len({cycle["container"] for cycle in cycles}) == 4, "each had one of its own"
    for cycle in cycles:
        assert cycle["status"] == 200
        assert cycle["refused"] > 0
        assert 0.4 <= cycle["placement_s"] < 2
        assert 0 < cycle["server_s"] < cycle["boot_s"]
        parts_s = cycle["placement_s"] + cycle["boot_s"]
        assert cycle["container_s"] == pytest.approx(parts_s, abs=1e-6)
        # What is asked for after the first refusal cannot be there before it.
        assert cycle["cold_s"] > cycle["container_s"]
        assert cycle["rest_s"] == pytest.approx(cycle["cold_s"] - cycle["container_s"])
        assert cycle["warm_s"] < cycle["cold_s"] / 2
        assert cycle["answer_s"] < cycle["cold_s"]
    refused = http.total(f"{url}/metrics", "edge_requests_total", code="503")
    assert refused == sum(cycle["refused"] for cycle in cycles)
    rows = [line.split("|")[1:4] for line in bench.output().splitlines() if line.startswith("| us")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["us-east", phase, "2"]
        for phase in "cold placement boot container server rest answer warm".split()
    ]
    assert "eu-west, cycle 2 of 2: " in bench.output()

    # A target that tells no containers needs to be told how long to wait; and one that never
    # scales to zero is noticed.
    alone = start(*BENCH, "--flash-url", f"us-east=http://127.0.0.1:{first}", "--cycles", "1")
    assert alone.wait(within_s=30) == 2
    assert "does not tell its containers; pass --idle SECONDS" in alone.output()
    http.send("PATCH", f"{url}/config", body={"min_containers": 1})
    kept = start(*BENCH, "--flash-edge", url, "--cycles", "1", "--zero-timeout", "1")
    assert kept.wait(within_s=30) == 2
    assert "not at zero after 1 s, containers still there: 1;" in kept.output()
    assert "Traceback" not in alone.output() + kept.output()
