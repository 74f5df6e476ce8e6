"""Locust's master and workers on Modal, in the regions to be measured from.

``modal run -m loadgen.on_modal --modal-app APP --modal-cls CLS`` starts a worker in the region of
each flash URL, each sending to the URL of its own region, and one master; at the end the summary is
printed, and the master's files are in ``--results``.

The workers reach their master through a tunnel, whose address is public while the run lasts. It is
TLS up to Modal, and whoever comes has to prove a secret that is made for the run
(:mod:`loadgen.relay`).

This is a package of one file because Locust loads every other name below ``loadgen`` as a
locustfile, where importing ``modal`` would only cost time.
"""

import os
import secrets
import shlex
import ssl
import sys
import time
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import certifi
import modal

from flash.platform import FlashError
from flash.proxy_token import ProxyToken
from flash.target import TargetOptions, resolve_target
from loadgen.errors import Error
from loadgen.relay import Address
from loadgen.remote_process import MasterProcess, run_worker
from loadgen.remote_run import Place, RemoteRun, Results, plan_run

PACKAGES: Final = ("certifi", "gevent", "httptools", "locust", "numpy")

app = modal.App(
    "flashgauge-loadgen",
    image=modal.Image.debian_slim(python_version="3.12")
    # What runs there is what runs here.
    .pip_install(*(f"{name}=={version(name)}" for name in PACKAGES))
    .add_local_python_source("loadgen", "flash"),
)


@app.function(cpu=1.0)
async def master(
    run: RemoteRun, secret: bytes, environ: Mapping[str, str]
) -> AsyncIterator[Address | Results]:
    """Tells where workers come, as soon as they may; and what came of the run, when it is over."""
    process = MasterProcess(run, secret, host="0.0.0.0", environ={**os.environ, **environ})
    async with process, modal.forward(process.port) as tunnel:
        yield tunnel.tls_socket
        yield await process.results()


@app.function(cpu=2.0)
async def worker(place: Place, secret: bytes, to: Address, environ: Mapping[str, str]) -> int:
    """One worker, until its master ends it; its exit status."""
    tls = ssl.create_default_context(cafile=certifi.where())
    return await run_worker(place, secret, to, tls=tls, environ={**os.environ, **environ})


@app.local_entrypoint()
def main(
    modal_app: str = "",
    modal_cls: str = "",
    modal_server: str = "",
    flash_url: str = "",
    regions: str = "",
    workers_per_region: int = 1,
    across: bool = False,
    routing: str = "both",
    users: int = 24,
    spawn_rate: float = 10.0,
    run_time: int = 60,
    stop_timeout: int = 30,
    arrival_rate: str = "",
    options: str = "",
    results: str = ".flashgauge/on_modal",
) -> None:
    """Measure each flash URL from a client in its own region.

    The target is --modal-app with --modal-cls or --modal-server, or --flash-url REGION=URL, several
    by commas. --regions REGION[=COMPUTE],... runs workers elsewhere, --across sends from each to
    all. --options has more of what 'locust -f loadgen' takes, as one text.
    """
    try:
        target = TargetOptions(
            flash_urls=tuple(filter(None, flash_url.split(","))),
            modal_app=modal_app or None,
            modal_cls=modal_cls or None,
            modal_server=modal_server or None,
        )
        token = ProxyToken.from_env(os.environ)
        run = plan_run(
            resolve_target(target, os.environ).flash_urls(),
            regions=regions,
            workers_per_region=workers_per_region,
            across=across,
            routing=routing,
            users=users,
            spawn_rate=spawn_rate,
            run_time_s=run_time,
            stop_timeout_s=stop_timeout,
            arrival_rate=arrival_rate,
            options=shlex.split(options),
        )
    except (FlashError, Error, ValueError) as error:
        print(f"loadgen: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    environ = {} if token is None else token.environment()
    came = run_on_modal(run, environ, master=master, worker=worker)
    folder = Path(results, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in came.files.items():
        (folder / name).write_text(text)
    print(f"results: {folder}")
    if came.status:
        raise SystemExit(came.status)


def run_on_modal(
    run: RemoteRun, environ: Mapping[str, str], *, master: Any, worker: Any
) -> Results:
    """Have the two functions do ``run``; ``environ`` are further variables for their processes.

    Modal's own types of functions are not the same before and after ``with_options``.
    """
    secret = secrets.token_bytes(32)
    calls = []
    try:
        events = master.with_options(timeout=run.longest_s).remote_gen(run, secret, environ)
        to = next(events)
        for place in run.places:
            here = worker.with_options(region=place.compute_region, timeout=run.longest_s)
            calls.append(here.spawn(place, secret, to, environ))
        came = next(events)
        assert isinstance(came, Results)
        return came
    finally:
        for call in calls:
            call.cancel()
