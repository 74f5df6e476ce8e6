"""The server on Modal: ``modal deploy -m target_app.modal_app``.

What it is deployed as is set by the environment of the deploying command:

| variable | meaning | default |
|---|---|---|
| ``TARGET_APP_NAME`` | name of the app | ``flashgauge-target`` |
| ``TARGET_PROXY_REGIONS`` | proxy regions, a flash URL each | ``us-east,eu-west,ap-south`` |
| ``TARGET_REGION`` | region of the containers, broad (``us``) or narrow | ``us-east`` |
| ``TARGET_MIN_CONTAINERS`` | containers kept warm | 0 |
| ``TARGET_MAX_CONTAINERS`` | most containers | 4 |
| ``TARGET_BUFFER_CONTAINERS`` | idle containers while any is active | 0 |
| ``TARGET_SCALEDOWN_WINDOW`` | seconds idle before a container goes | 60 |
| ``TARGET_TARGET_INPUTS`` | requests per container that the autoscaler aims at | 8 |
| ``TARGET_STARTUP_TIMEOUT`` | seconds until the port must be open | 30 |
| ``TARGET_EXIT_GRACE_PERIOD`` | seconds for requests in flight at scale-down, at most 25 | 5 |
| ``TARGET_CPU`` | cores of a container | 1 |
| ``TARGET_BOOT_DELAY_S`` | seconds added to a container's start | 0 |

A value that cannot be used ends the command with one line and status 2.

``modal run -m target_app.modal_app`` wakes the server and prints, for each region, the 503s and
the time to the first answer; its status is 1 if a region gave none.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

import modal
import modal.experimental

from target_app.config import ConfigError
from target_app.deployment import Deployment, drain, start
from target_app.wake import wake_and_report

PORT: Final = 8000


def _deployment(environ: Mapping[str, str]) -> Deployment:
    try:
        return Deployment.from_env(environ)
    except ConfigError as error:
        # Modal's command line would show an exception of an import as a stack trace.
        print(f"target_app: {error}", file=sys.stderr)
        raise SystemExit(2) from None


DEPLOYMENT: Final = _deployment(os.environ)

image = (
    modal.Image.debian_slim(python_version="3.12")
    .pip_install(
        "httptools==0.9.0", "prometheus-client==0.26.0", "uvicorn==0.54.0", "uvloop==0.23.0"
    )
    .env(DEPLOYMENT.container_environment())
    .add_local_python_source("target_app", "flash")
)

app = modal.App(DEPLOYMENT.app_name, image=image)


@app.cls(
    region=DEPLOYMENT.region,
    min_containers=DEPLOYMENT.min_containers,
    max_containers=DEPLOYMENT.max_containers,
    buffer_containers=DEPLOYMENT.buffer_containers,
    scaledown_window=DEPLOYMENT.scaledown_window_s,
    cpu=DEPLOYMENT.cpu,
)
@modal.experimental.http_server(  # type: ignore[attr-defined] # public, though not in an __all__
    port=PORT,
    proxy_regions=list(DEPLOYMENT.proxy_regions),
    startup_timeout=DEPLOYMENT.startup_timeout_s,
    exit_grace_period=DEPLOYMENT.exit_grace_period_s,
)
@modal.concurrent(target_inputs=DEPLOYMENT.target_inputs)
class TargetServer:
    """One container: the server as a process of its own."""

    @modal.enter()
    def start(self) -> None:
        self.process: subprocess.Popen[bytes] = start(PORT)

    @modal.exit()
    def stop(self) -> None:
        # Modal runs this before its grace period, so it must not cut requests in flight off.
        drain(self.process, within_s=DEPLOYMENT.exit_grace_period_s + 1.0)


@app.local_entrypoint()
def wake() -> None:
    """Send to every flash URL until it answers; per region, the 503s and the time that took."""
    urls = TargetServer._experimental_get_flash_urls()  # type: ignore[attr-defined] # added by app.cls
    if status := wake_and_report(urls or []):
        raise SystemExit(status)
