"""What can be told of the stack's files without an engine."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_ports_are_published_on_loopback_only() -> None:
    published = re.findall(r"^ +ports: (.*)$", COMPOSE, re.M)
    assert len(published) == 5
    for written in published:
        assert re.fullmatch(r'\["127\.0\.0\.1:\$\{STACK_\w+_PORT:-(\d+)\}:\1"\]', written), written


def test_images_of_others_are_pinned_and_the_base_is_the_same_everywhere() -> None:
    images = re.findall(r'image: "\$\{\w+:-([^}]+)\}"', COMPOSE)
    bases = re.findall(r"PYTHON_IMAGE(?::-|=)([^}\s]+)", COMPOSE + DOCKERFILE)
    assert len(images) == 2
    assert len(bases) == 2
    assert bases[0] == bases[1]
    for image in (*images, *bases):
        assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+(-\w+)*", image), image


def test_no_service_runs_as_root_or_can_write_to_its_image() -> None:
    assert DOCKERFILE.rstrip().splitlines()[-2] == "USER 10001:10001"
    users = re.findall(r'^ +user: "(\d+):', COMPOSE, re.M)
    assert len(users) == 3  # ours, Prometheus, Grafana
    assert "0" not in users
    hardened = COMPOSE[COMPOSE.index("x-hardened:") : COMPOSE.index("x-flashgauge:")]
    for line in ("read_only: true", "cap_drop: [ALL]", '"no-new-privileges:true"'):
        assert line in hardened


def test_commands_are_lists_so_that_signals_reach_the_program() -> None:
    for command in re.findall(r"^ +command:[ \n]+(.)", COMPOSE, re.M):
        assert command in "[-"
    assert re.search(r"^CMD \[", DOCKERFILE, re.M)


def test_nothing_needs_a_variable_and_no_password_is_in_it() -> None:
    assert not re.search(r"\$\{\w+:?\?", COMPOSE)
    assert "PASSWORD" not in COMPOSE
    assert 'GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION: "true"' in COMPOSE


def passed_on() -> set[str]:
    """Variables that services have from whoever starts them, without another value here."""
    return set(re.findall(r"^ +([A-Z_]+):$", COMPOSE, re.M))


def test_every_variable_is_documented_and_no_other_is() -> None:
    page = (ROOT / "docs" / "stack.md").read_text()
    used = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE)) | passed_on()
    documented = set(re.findall(r"`([A-Z]+_[A-Z_]+)(?:=[^`]*)?`", page))
    loadgen = {name for name in passed_on() if name.startswith("LOADGEN_")}  # told as one
    assert used - loadgen == documented - loadgen
    assert documented <= used


def test_every_option_of_the_load_generator_is_passed_on() -> None:
    options = (ROOT / "docs" / "options.md").read_text()
    known = set(re.findall(r"^\|.*\| `(LOADGEN_[A-Z_]+)` \|", options, re.M))
    listens = {"LOADGEN_METRICS_HOST", "LOADGEN_METRICS_PORT", "LOADGEN_DASHBOARD_URL"}
    assert listens < known
    assert known - listens == {name for name in passed_on() if name.startswith("LOADGEN_")}


def test_only_profiles_are_in_the_public_environment_file() -> None:
    lines = [line for line in (ROOT / ".env").read_text().splitlines() if not line.startswith("#")]
    assert lines == ["COMPOSE_PROFILES=edge,grafana"]
