"""The Modal app: imports anywhere, and carries the settings that it is deployed with."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from target_app.deployment import Deployment

ROOT = Path(__file__).parents[2]

# What Modal would be told at a deploy is in the closure of the function's loader.
INSPECT = """
import inspect, json, os
from google.protobuf.json_format import MessageToDict
from target_app import modal_app

function = modal_app.app._local_state.functions["TargetServer.*"]
told = inspect.getclosurevars(function._load).nonlocals
info = function._function_info
print(json.dumps({
    "app": modal_app.app.name,
    "class": modal_app.TargetServer._get_user_cls().__name__,
    "http": MessageToDict(told["http_config"], preserving_proto_field_name=True),
    "autoscaler": MessageToDict(told["autoscaler_settings"], preserving_proto_field_name=True),
    "regions": info.regions,
    "target_inputs": info.concurrency_info.target_inputs,
    "cpu": info.cpu,
    "entrypoints": list(modal_app.app._local_state.local_entrypoints),
}))
"""


def fresh(code: str, home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter without Modal's credentials and our settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MODAL_", "TARGET_"))
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "HOME": str(home), **environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def told(home: Path, **environ: str) -> dict[str, object]:
    done = fresh(INSPECT, home, **environ)
    assert done.returncode == 0, done.stderr
    content: dict[str, object] = json.loads(done.stdout)
    return content


def test_its_class_carries_the_settings_of_the_http_server(tmp_path: Path) -> None:
    assert told(tmp_path) == {
        "app": "flashgauge-target",
        "class": "TargetServer",
        "http": {
            "port": 8000,
            "proxy_regions": ["us-east", "eu-west", "ap-south"],
            "startup_timeout": 30,
            "exit_grace_period": 5,
        },
        "autoscaler": {
            "min_containers": 0,
            "max_containers": 4,
            "buffer_containers": 0,
            "scaledown_window": 60,
        },
        "regions": ["us-east"],
        "target_inputs": 8,
        "cpu": 1.0,
        "entrypoints": ["wake"],
    }


def test_the_environment_of_the_deploy_sets_them(tmp_path: Path) -> None:
    content = told(
        tmp_path,
        TARGET_APP_NAME="my-app",
        TARGET_PROXY_REGIONS="us-west,ca-central",
        TARGET_REGION="us-west",
        TARGET_MIN_CONTAINERS="2",
        TARGET_MAX_CONTAINERS="9",
        TARGET_BUFFER_CONTAINERS="1",
        TARGET_SCALEDOWN_WINDOW="120",
        TARGET_TARGET_INPUTS="16",
        TARGET_STARTUP_TIMEOUT="90",
        TARGET_EXIT_GRACE_PERIOD="20",
        TARGET_CPU="2",
    )
    assert content == {
        "app": "my-app",
        "class": "TargetServer",
        "http": {
            "port": 8000,
            "proxy_regions": ["us-west", "ca-central"],
            "startup_timeout": 90,
            "exit_grace_period": 20,
        },
        "autoscaler": {
            "min_containers": 2,
            "max_containers": 9,
            "buffer_containers": 1,
            "scaledown_window": 120,
        },
        "regions": ["us-west"],
        "target_inputs": 16,
        "cpu": 2.0,
        "entrypoints": ["wake"],
    }


def test_a_setting_that_cannot_be_used_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = fresh("import target_app.modal_app", tmp_path, TARGET_MAX_CONTAINERS="0")
    assert done.returncode == 2
    assert done.stderr == (
        "target_app: TARGET_MAX_CONTAINERS: expected a number from 1 to 1000, got '0'\n"
    )


def test_importing_it_opens_no_connection(tmp_path: Path) -> None:
    done = fresh(
        "import socket\n"
        "def refuse(*_): raise AssertionError('a connection at import')\n"
        "socket.socket.connect = socket.socket.connect_ex = refuse\n"
        "import target_app.modal_app",
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_setting_is_documented_and_nothing_else(tmp_path: Path) -> None:
    documented = (ROOT / "target_app" / "modal_app.py").read_text().split('"""')[1]
    rows = dict(re.findall(r"\| ``(TARGET_\w+)`` \|.*\| `*([^`|]+?)`* \|", documented))
    inside = Deployment.from_env({}).container_environment()
    del inside["TARGET_GRACE_S"]  # follows from the grace period of the deploy
    assert rows == inside


def test_the_image_installs_what_the_server_imports_in_the_tested_versions() -> None:
    source = (ROOT / "target_app" / "modal_app.py").read_text()
    pins = dict(re.findall(r'"([a-z-]+)==([\d.]+)"', source))
    assert set(pins) == {"httptools", "prometheus-client", "uvicorn", "uvloop"}
    tested = dict(
        line.lower().replace("_", "-").split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    assert pins == {name: tested[name] for name in pins}


# The image has the pinned packages and what uvicorn itself depends on; nothing else is there.
IN_THE_IMAGE = """
import sys

ALLOWED = {"target_app", "flash", "click", "h11"}
ALLOWED |= {"httptools", "prometheus_client", "uvicorn", "uvloop"}

class Nothing:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"{name} is not in the image", name=name)

sys.meta_path.insert(0, Nothing())
import uvicorn
from prometheus_client import CollectorRegistry
import target_app.__main__, target_app.server
from target_app.app import create_app
from target_app.config import Config

app = create_app(Config(), registry=CollectorRegistry())
loaded = uvicorn.Config(app, http="httptools", ws="none", lifespan="off")
loaded.load()
print(loaded.http_protocol_class.__name__, loaded.get_loop_factory().__module__)
"""


def test_the_server_needs_no_more_than_the_image_has(tmp_path: Path) -> None:
    done = fresh(IN_THE_IMAGE, tmp_path)
    assert (done.stderr, done.stdout) == ("", "HttpToolsProtocol uvloop\n")
