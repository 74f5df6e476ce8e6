"""Base images for the stack's test where none can be pulled: a Debian of this machine's mirror.

``python stand_in_images.py`` builds them, as root and with debootstrap, unless they are there, and
prints the variables of docker-compose.yml that name them. They are no replacement for the real ones
anywhere else: the Prometheus is Debian's, and pip installs from wheels that lie in the image.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = "flashgauge-stand-in-python"
PROMETHEUS = "flashgauge-stand-in-prometheus"
RELEASE = "bookworm"  # its Python is 3.11
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates,prometheus,wget"
PIP_CONFIGURATION = "[global]\nno-index = true\nfind-links = /wheels\n"


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)


def there(image: str) -> bool:
    return (
        subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode == 0
    )


def build(tree: Path) -> None:
    run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, str(tree))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    run(*pip, *constraints, "--dest", str(tree / "wheels"), *project["dependencies"])
    (tree / "etc/pip.conf").write_text(PIP_CONFIGURATION)
    (tree / "usr/bin/python").symlink_to("python3")
    run("install", "-d", "-o", "65534", "-g", "65534", str(tree / "prometheus"))
    for image, change in ((PYTHON, []), (PROMETHEUS, ["-c", 'ENTRYPOINT ["/usr/bin/prometheus"]'])):
        tar = subprocess.Popen(["tar", "-C", str(tree), "-c", "."], stdout=subprocess.PIPE)
        done = subprocess.run(
            ["docker", "import", *change, "-", image], stdin=tar.stdout, stdout=sys.stderr
        )
        if done.returncode or tar.wait():
            sys.exit(f"{image} could not be imported")


if __name__ == "__main__":
    if sys.version_info[:2] != (3, 11):
        sys.exit("the stand-in has Python 3.11; run this with the same, for its wheels")
    if not (there(PYTHON) and there(PROMETHEUS)):
        with tempfile.TemporaryDirectory() as scratch:
            build(Path(scratch))
    print(f"PYTHON_IMAGE={PYTHON}\nPROMETHEUS_IMAGE={PROMETHEUS}")
