"""Whether a service of the stack is well: exit status 0 if so, else 1.

``health.py PORT PATH`` asks for a page on this machine, ``health.py --connected PORT`` looks for a
connection to that port of another. Runs every few seconds beside a load test, so it imports next to
nothing.
"""

import socket
import sys
from collections.abc import Iterator, Sequence

_WITHIN_S = 2.0
_ESTABLISHED = "01"


def main(arguments: Sequence[str]) -> int:
    match arguments:
        case ["--connected", port]:
            return 0 if any(connected(text, int(port)) for text in _tables()) else 1
        case [port, path]:
            return 0 if answers(int(port), path) else 1
    print("usage: health.py PORT PATH | health.py --connected PORT", file=sys.stderr)
    return 2


def connected(table: str, port: int) -> bool:
    """Whether a table of the kernel's connections has an established one to a port."""
    rows = (line.split() for line in table.splitlines()[1:])
    return any(row[2].endswith(f":{port:04X}") and row[3] == _ESTABLISHED for row in rows)


def answers(port: int, path: str) -> bool:
    """Whether a server on this machine answers with status 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_WITHIN_S) as connection:
            request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            with connection.makefile("rb") as response:
                status = response.readline()
                # Read to its end, so that the server does not see a client that went away.
                while response.read(65536):
                    pass
    except OSError:
        return False
    return status.split()[1:2] == [b"200"]


def _tables() -> Iterator[str]:
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(name) as table:
                yield table.read()
        except FileNotFoundError:
            continue  # no IPv6


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
