"""The Modal app: imports anywhere, registers nothing with Locust, and starts what was planned."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import modal
import pytest
from locust.util.directory import get_abspaths_in
from modal.functions import Function

from loadgen import on_modal
from loadgen.remote_run import Results, plan_run

ROOT = Path(__file__).parents[2]
RUN = plan_run(
    {"us-east": "https://u.us-east.modal.direct", "ca-central": "https://c.modal.direct"},
    workers_per_region=2,
    users=8,
    spawn_rate=1.0,
    run_time_s=60,
    stop_timeout_s=30,
)


def modal_run(home: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MODAL_")}
    return subprocess.run(
        [sys.executable, "-m", "modal", "run", "-m", "loadgen.on_modal", *arguments],
        env={**kept, "HOME": str(home), "COLUMNS": "100", **environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_app_has_a_master_a_worker_and_one_entrypoint():
    state = on_modal.app._local_state
    assert set(state.functions) == {"master", "worker"}
    assert set(state.local_entrypoints) == {"main"}


def test_its_parameters_are_in_the_help(tmp_path):
    done = modal_run(tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    for option in ("--modal-app", "--regions", "--workers-per-region", "--arrival-rate"):
        assert option in done.stdout


def test_importing_it_imports_no_locust():
    """Locust patches the standard library, which Modal's own client would not survive."""
    code = "import sys, loadgen.on_modal; print('locust' in sys.modules, 'gevent' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


def test_locust_does_not_load_it():
    loaded = {Path(path).name for path in get_abspaths_in(str(ROOT / "loadgen"), extension=".py")}
    assert "locustfile.py" in loaded
    assert [path.name for path in (ROOT / "loadgen" / "on_modal").glob("*.py")] == ["__init__.py"]
    assert "__init__.py" not in loaded


class Called:
    """A Modal function that notes with what it was called, and how it was to be run."""

    def __init__(self, events=()) -> None:
        self.options: list[dict] = []
        self.calls: list[tuple] = []
        self.cancelled = 0
        self._events = events

    def with_options(self, **options) -> "Called":
        self.options.append(options)
        return self

    def remote_gen(self, *arguments):
        self.calls.append(arguments)
        yield from self._events

    def spawn(self, *arguments) -> "Called":
        self.calls.append(arguments)
        return self

    def cancel(self) -> None:
        self.cancelled += 1


def test_workers_are_started_in_their_regions_and_told_the_way_and_the_secret():
    results = Results(status=0, files={"metrics.txt": "x"})
    master, worker = Called([("tunnel.example", 443), results]), Called()
    environ = {"MODAL_PROXY_TOKEN_ID": "wk-1"}
    assert on_modal.run_on_modal(RUN, environ, master=master, worker=worker) == results
    ((run, secret, given),) = master.calls
    assert (run, given, len(secret)) == (RUN, environ, 32)
    assert [options["region"] for options in worker.options] == ["us-east", "us-east", "ca", "ca"]
    assert {options["timeout"] for options in worker.options + master.options} == {RUN.longest_s}
    assert worker.calls == [
        (place, secret, ("tunnel.example", 443), environ) for place in RUN.places
    ]
    assert worker.cancelled == 4


def test_each_run_has_a_secret_of_its_own():
    made = set()
    for _ in range(2):
        master = Called([("h", 1), Results(status=0, files={})])
        on_modal.run_on_modal(RUN, {}, master=master, worker=Called())
        made.add(master.calls[0][1])
    assert len(made) == 2


def test_workers_are_ended_when_the_master_fails():
    def events():
        yield ("h", 1)
        raise RuntimeError("the container went away")

    worker = Called()
    with pytest.raises(RuntimeError, match="went away"):
        on_modal.run_on_modal(RUN, {}, master=Called(events()), worker=worker)
    assert worker.cancelled == 4


def test_modal_has_what_is_called():
    """The installed package, not a stand-in; that the calls do what they say is not tested here."""
    for function in (on_modal.master, on_modal.worker):
        assert isinstance(function.with_options(region="ca", timeout=5), Function)
    assert callable(Function.remote_gen)
    assert callable(Function.spawn)
    assert callable(modal.FunctionCall.cancel)
    assert next(iter(inspect.signature(modal.forward).parameters)) == "port"
    assert isinstance(modal.Tunnel.tls_socket, property)


# Only what is installed in the image, and what that needs, may be imported.
BARE = """
import sys
from importlib.metadata import packages_distributions, requires
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

installed, awaited = set(), list(sys.argv[1:])
while awaited:
    name = canonicalize_name(awaited.pop())
    if name not in installed:
        installed.add(name)
        needed = map(Requirement, requires(name) or [])
        markers = {"extra": ""}
        awaited += [one.name for one in needed if not one.marker or one.marker.evaluate(markers)]
missing = {
    module
    for module, distributions in packages_distributions().items()
    if not installed & set(map(canonicalize_name, distributions))
} - {"loadgen", "flash", "packaging"}


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"{name} is not in the image", name=name)


assert {"fastapi", "modal", "prometheus_client"} <= missing
sys.meta_path.insert(0, Absent())
import locust.main
import loadgen.locustfile, loadgen.remote_process, loadgen.web_tab
from locust.util.directory import get_abspaths_in
from locust.util.load_locustfile import load_locustfile

paths = get_abspaths_in("loadgen", ".py")
print(sorted({user for path in paths for user in load_locustfile(path)[0]}))
"""


def test_what_the_image_has_is_enough_for_locust():
    done = subprocess.run(
        [sys.executable, "-c", BARE, *on_modal.PACKAGES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["['NonStickyUser',", "'StickyUser']"]
