"""A server that delays every response by a known distribution and logs what it really took.

Most delays are lognormal, a few are spikes; a few responses are 404, and a few 503 with
``retry-after: 0``. What is logged is not what was planned: it is the time from having read the
request to having written its response, one line ``STATUS SECONDS`` each, written to a file when
the server is told to stop.
"""

import argparse
import asyncio
import random
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import cast

import uvloop

_BODY = b"x" * 200
_HEAD = b"HTTP/1.1 %d %b\r\ncontent-type: text/plain\r\n%bcontent-length: %d\r\n\r\n"


def _response(status: int, reason: bytes, more: bytes = b"") -> bytes:
    return _HEAD % (status, reason, more, len(_BODY)) + _BODY


_RESPONSES = {
    200: _response(200, b"OK"),
    404: _response(404, b"Not Found"),
    503: _response(503, b"Service Unavailable", b"retry-after: 0\r\n"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Lognormal by its median in seconds and sigma; a share of spikes instead, uniform between
    ``spike_from_s`` and ``spike_to_s``."""

    median_s: float
    sigma: float = 0.5
    spikes: float = 0.005
    spike_from_s: float = 0.3
    spike_to_s: float = 0.6
    not_found: float = 0.01
    refused: float = 0.001

    def delay_s(self, rng: random.Random) -> float:
        """The delay of one response."""
        if rng.random() < self.spikes:
            return rng.uniform(self.spike_from_s, self.spike_to_s)
        return self.median_s * rng.lognormvariate(0.0, self.sigma)

    def status(self, rng: random.Random) -> int:
        """The status of one response."""
        drawn = rng.random()
        if drawn < self.refused:
            return 503
        return 404 if drawn < self.refused + self.not_found else 200


class _Connection(asyncio.Protocol):
    """Requests without bodies, one after another."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        distribution: Distribution,
        rng: random.Random,
        log: list[tuple[int, float]],
    ) -> None:
        self._loop, self._distribution, self._rng, self._log = loop, distribution, rng, log
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not derived from it

    def data_received(self, data: bytes) -> None:
        read_at = perf_counter()
        self._buffer += data
        if not self._buffer.endswith(b"\r\n\r\n"):
            return
        self._buffer = b""
        delay_s = self._distribution.delay_s(self._rng)
        status = self._distribution.status(self._rng)
        self._loop.call_later(delay_s, self._answer, status, read_at)

    def _answer(self, status: int, read_at: float) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(_RESPONSES[status])
            self._log.append((status, perf_counter() - read_at))


async def _serve(port: int, distribution: Distribution, seed: int, log: Path) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    rng = random.Random(seed)
    served: list[tuple[int, float]] = []
    server = await loop.create_server(
        lambda: _Connection(loop, distribution, rng, served), "127.0.0.1", port, backlog=10000
    )
    await stopped.wait()
    server.close()
    with log.open("w") as lines:
        lines.writelines(f"{status} {seconds!r}\n" for status, seconds in served)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delay_server", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True, help="file to write when it ends")
    parser.add_argument("--median-ms", type=float, default=50.0, help="default 50")
    parser.add_argument("--seed", type=int, default=1, help="default 1")
    options = parser.parse_args()
    distribution = Distribution(median_s=options.median_ms / 1e3)
    uvloop.run(_serve(options.port, distribution, options.seed, options.log))
    return 0


if __name__ == "__main__":
    sys.exit(main())
