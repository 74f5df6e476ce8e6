"""The server as a process: a graceful stop, a port in use, a slow start."""

import signal
import socket
import subprocess
import threading
import time

import httpx
import pytest


def ended(process: subprocess.Popen[str], within_s: float) -> tuple[int, str]:
    _, err = process.communicate(timeout=within_s)
    return process.returncode, err


def refuses(address: str) -> bool:
    """Whether the port is closed. What arrives in the moment of closing is answered or reset."""
    try:
        httpx.get(address, timeout=5)
    except httpx.ConnectError:
        return True
    except (httpx.ReadError, httpx.RemoteProtocolError):
        return False
    return False


def test_a_stream_in_flight_ends_well_while_new_requests_are_refused(spawner) -> None:
    process, address = spawner.serving(TARGET_GRACE_S="20")
    asked = "/generate?tokens=15&tokens_per_s=10&prompt_tokens=0"
    with httpx.stream("POST", address + asked, timeout=10) as response:
        lines = response.iter_lines()
        assert next(lines) == 'data: {"token": 0}'
        process.send_signal(signal.SIGTERM)
        while not refuses(address):
            pass
        rest = [line for line in lines if line.startswith("data: ")]
    assert rest[13] == 'data: {"token": 14}'
    assert '"tokens": 15' in rest[14]
    assert ended(process, 5) == (0, "")


def test_a_drain_has_an_end(spawner) -> None:
    process, address = spawner.serving(TARGET_GRACE_S="0.5", MODAL_TASK_ID="ta-1")
    told: list[object] = []

    def work() -> None:
        response = httpx.get(address + "/work?sleep_ms=60000", timeout=30)
        told.append((response.status_code, response.json()["error"]["code"]))

    def generate() -> None:
        asked = address + "/generate?tokens=10000&tokens_per_s=1&prompt_tokens=0"
        try:
            httpx.post(asked, timeout=30)
        except httpx.RemoteProtocolError as error:
            told.append(str(error))

    asking = [threading.Thread(target=ask) for ask in (work, generate)]
    for thread in asking:
        thread.start()
    in_flight = 'target_requests_in_flight{container="ta-1"} 2.0\n'
    while in_flight not in httpx.get(address + "/metrics").text:
        pass
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code, err = ended(process, 10)
    assert code == 0
    assert "Traceback" not in err
    assert 0.5 <= time.monotonic() - began < 5
    for thread in asking:
        thread.join()
    cut = "peer closed connection without sending complete message body (incomplete chunked read)"
    assert sorted(told, key=str) == [(500, "stopping"), cut]


def test_a_client_that_does_not_read_cannot_hold_a_stop_up_beyond_the_grace(spawner) -> None:
    process, address = spawner.serving(TARGET_GRACE_S="1")
    port = int(address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /work?bytes=1000000000 HTTP/1.1\r\nHost: app\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code, err = ended(process, 10)
    assert code == 0
    assert "Warning" not in err
    assert 1 <= time.monotonic() - began < 5


def test_idle_connections_do_not_hold_a_stop_up(spawner) -> None:
    process, address = spawner.serving()
    with httpx.Client(base_url=address) as client:
        assert client.get("/").status_code == 200
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert ended(process, 10) == (0, "")
    assert time.monotonic() - began < 5


def test_a_port_in_use_is_one_clear_line_and_status_2(spawner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, err = ended(spawner.start(PORT=str(port)), 10)
    assert code == 2
    assert err == (
        f"target_app: cannot listen on 127.0.0.1 port {port} (Address already in use); "
        "choose another with --port or PORT\n"
    )


@pytest.mark.parametrize("host", ["name.invalid", "\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 80])
def test_a_host_that_cannot_be_used_is_one_clear_line_and_status_2(spawner, host: str) -> None:
    code, err = ended(spawner.start(TARGET_HOST=host), 10)
    assert code == 2
    assert err.startswith(f"target_app: cannot listen on {host} port 0 (")
    assert err.endswith("); choose another with --host or TARGET_HOST\n")
    assert err.count("\n") == 1


def test_a_bad_setting_is_one_clear_line_and_status_2(spawner) -> None:
    code, err = ended(spawner.start(TARGET_GRACE_S="long"), 10)
    assert (code, err) == (
        2,
        "target_app: TARGET_GRACE_S: expected a number from 0 to 3600, got 'long'\n",
    )


def test_the_boot_delay_comes_before_the_port_opens_and_is_part_of_the_boot(spawner) -> None:
    _, address = spawner.serving(TARGET_BOOT_DELAY_S="0.4", MODAL_TASK_ID="ta-1")
    text = httpx.get(address + "/metrics").text
    boot = text.split('target_boot_duration_seconds{container="ta-1"} ')[1].split("\n")[0]
    assert 0.4 < float(boot) < 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_boot_delay_ends_it_at_once(spawner, number: int) -> None:
    process = spawner.start(TARGET_BOOT_DELAY_S="60")
    assert process.stdout is not None
    assert process.stdout.readline() == "target_app: the port opens in 60 s\n"
    began = time.monotonic()
    process.send_signal(number)
    assert ended(process, 10) == (0, "")
    assert time.monotonic() - began < 5


def test_every_request_of_a_real_client_is_counted_exactly(spawner) -> None:
    _, address = spawner.serving(MODAL_TASK_ID="ta-1")
    with httpx.Client(base_url=address) as client:
        for _ in range(20):
            client.get("/")
            client.get("/work?bytes=100000")
            client.post("/generate?tokens=2&prompt_tokens=0&tokens_per_s=10000")
            client.post("/", content=b"x" * 100_000)
        text = client.get("/metrics").text
    for route, count in (("/", 40), ("/work", 20), ("/generate", 20)):
        labels = f'container="ta-1",route="{route}"}}'
        assert f'target_requests_total{{code="200",{labels} {count}.0\n' in text
        assert f"target_request_duration_seconds_count{{{labels} {count}.0\n" in text
