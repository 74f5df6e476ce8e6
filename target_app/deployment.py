"""What the server is deployed as on Modal, and its process inside a container."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flash.regions import ROUTING_REGIONS, is_region_name
from target_app.config import ConfigError

__all__ = ["Deployment", "drain", "start"]

_APP_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,63}")
"""What Modal takes as the name of an app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Settings at deploy time; durations in seconds. See ``target_app.modal_app`` for each."""

    app_name: str
    proxy_regions: tuple[str, ...]
    region: str
    min_containers: int
    max_containers: int
    buffer_containers: int
    scaledown_window_s: int
    target_inputs: int
    startup_timeout_s: int
    exit_grace_period_s: int
    cpu: float
    boot_delay_s: float

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Deployment":
        """The settings of an environment, with the documented defaults.

        Raises:
            ConfigError: a value is malformed, out of range or contradicts another.
        """

        def number(name: str, default: float, *, least: float, most: float) -> float:
            text = environ.get(name) or f"{default:g}"
            try:
                value = float(text)
            except ValueError:
                value = float("nan")
            if not least <= value <= most:
                raise ConfigError(
                    f"{name}: expected a number from {least:g} to {most:g}, got {text!r}"
                )
            return value

        def whole(name: str, default: int, *, least: int, most: int) -> int:
            value = number(name, default, least=least, most=most)
            if value != int(value):
                raise ConfigError(f"{name}: expected a whole number, got {value:g}")
            return int(value)

        deployment = cls(
            app_name=_app_name(environ.get("TARGET_APP_NAME") or "flashgauge-target"),
            proxy_regions=_regions(
                environ.get("TARGET_PROXY_REGIONS") or "us-east,eu-west,ap-south"
            ),
            region=_region(environ.get("TARGET_REGION") or "us-east"),
            min_containers=whole("TARGET_MIN_CONTAINERS", 0, least=0, most=1000),
            max_containers=whole("TARGET_MAX_CONTAINERS", 4, least=1, most=1000),
            buffer_containers=whole("TARGET_BUFFER_CONTAINERS", 0, least=0, most=1000),
            scaledown_window_s=whole("TARGET_SCALEDOWN_WINDOW", 60, least=2, most=1200),
            target_inputs=whole("TARGET_TARGET_INPUTS", 8, least=1, most=1000),
            startup_timeout_s=whole("TARGET_STARTUP_TIMEOUT", 30, least=1, most=3600),
            exit_grace_period_s=whole("TARGET_EXIT_GRACE_PERIOD", 5, least=0, most=25),
            cpu=number("TARGET_CPU", 1, least=0.1, most=64),
            boot_delay_s=number("TARGET_BOOT_DELAY_S", 0, least=0, most=3600),
        )
        if deployment.min_containers > deployment.max_containers:
            raise ConfigError(
                f"TARGET_MIN_CONTAINERS ({deployment.min_containers}) is above "
                f"TARGET_MAX_CONTAINERS ({deployment.max_containers})"
            )
        return deployment

    def container_environment(self) -> dict[str, str]:
        """What a container must be told: Modal imports the module there once more."""
        return {
            "TARGET_APP_NAME": self.app_name,
            "TARGET_PROXY_REGIONS": ",".join(self.proxy_regions),
            "TARGET_REGION": self.region,
            "TARGET_MIN_CONTAINERS": str(self.min_containers),
            "TARGET_MAX_CONTAINERS": str(self.max_containers),
            "TARGET_BUFFER_CONTAINERS": str(self.buffer_containers),
            "TARGET_SCALEDOWN_WINDOW": str(self.scaledown_window_s),
            "TARGET_TARGET_INPUTS": str(self.target_inputs),
            "TARGET_STARTUP_TIMEOUT": str(self.startup_timeout_s),
            "TARGET_EXIT_GRACE_PERIOD": str(self.exit_grace_period_s),
            "TARGET_CPU": f"{self.cpu:g}",
            "TARGET_BOOT_DELAY_S": f"{self.boot_delay_s:g}",
            "TARGET_GRACE_S": str(self.exit_grace_period_s),
        }


def start(port: int) -> subprocess.Popen[bytes]:
    """The server as a process in a group of its own, on every address of its container."""
    return subprocess.Popen(
        [sys.executable, "-m", "target_app"],
        env={**os.environ, "PORT": str(port), "TARGET_HOST": "0.0.0.0"},
        start_new_session=True,
    )


def drain(process: subprocess.Popen[bytes], *, within_s: float) -> None:
    """Stop a server: SIGTERM lets requests in flight finish; after ``within_s`` it is killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # nothing of the group is left, as it should be
        process.wait()


def _app_name(text: str) -> str:
    if not _APP_NAME.fullmatch(text):
        raise ConfigError(
            "TARGET_APP_NAME: expected 1 to 63 letters, digits, dashes, periods and underscores, "
            f"got {text!r}"
        )
    return text


def _region(text: str) -> str:
    if not is_region_name(text):
        raise ConfigError(f"TARGET_REGION: expected a region such as us-east, got {text!r}")
    return text


def _regions(text: str) -> tuple[str, ...]:
    regions = tuple(part.strip() for part in text.split(",") if part.strip())
    for region in regions:
        if region not in ROUTING_REGIONS:
            raise ConfigError(
                f"TARGET_PROXY_REGIONS: {region!r} is no proxy region; there are "
                + ", ".join(ROUTING_REGIONS)
            )
    if not regions or len(set(regions)) < len(regions):
        raise ConfigError(f"TARGET_PROXY_REGIONS: expected distinct regions, got {text!r}")
    return regions
