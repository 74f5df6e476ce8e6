"""What containers print: passed on with their names, the end of it kept, and never waited for."""

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["ContainerOutput", "PatientWriter", "standard_error"]

_MOST_WAITING: Final = 1 << 20
_AT_ONCE: Final = 64 * 1024
_LONGEST_LINE: Final = 8192
_LINES_KEPT: Final = 20


class _Stream(Protocol):
    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


class PatientWriter:
    """Writes to a stream from a thread of its own, so that a reader who stalls holds up nobody.

    What does not fit into a mebibyte of waiting bytes is dropped, and the stream told so. It is
    also a text stream as ``logging`` wants one. Safe to use from any thread.
    """

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = 0
        self._closed = False
        self._something = threading.Condition()
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"PatientWriter({self._bytes} bytes waiting)"

    def write(self, text: str) -> None:
        """Hand on some text."""
        self.write_bytes(text.encode("utf-8", "backslashreplace"))

    def flush(self) -> None:
        """Nothing is waited for."""

    def write_bytes(self, data: bytes) -> None:
        """Hand on whole lines."""
        with self._something:
            if self._closed or self._bytes + len(data) > _MOST_WAITING:
                self._dropped += len(data)
                return
            self._waiting.append(data)
            self._bytes += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="output", daemon=True)
                self._thread.start()
            self._something.notify()

    def close(self, *, within_s: float = 1.0) -> None:
        """Wait until all was written, or for so long."""
        with self._something:
            self._closed = True
            self._something.notify()
        if self._thread is not None:
            self._thread.join(within_s)

    def _run(self) -> None:
        while True:
            with self._something:
                while not self._waiting and not self._closed:
                    self._something.wait()
                if not self._waiting:
                    return
                data = b"".join(self._waiting)
                self._waiting.clear()
                dropped, self._dropped = self._dropped, 0
            if dropped:
                data += b"flash.edge: %d bytes of output were dropped: nobody read them\n" % dropped
            try:
                self._stream.write(data)
                self._stream.flush()
            except (OSError, ValueError):
                pass  # the reader is gone; go on emptying the queue
            with self._something:
                self._bytes = sum(map(len, self._waiting))


class ContainerOutput:
    """The read end of a pipe that one container prints into. ``write`` gets prefixed lines.

    Belongs to one event loop, which must be running.
    """

    def __init__(self, name: str, write: Callable[[bytes], None] | None) -> None:
        self._prefix = b"[" + name.encode() + b"] "
        self._write = write
        self._kept: deque[bytes] = deque(maxlen=_LINES_KEPT)
        self._line = b""
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._read_end, self._readable)
        self._open = True

    def __repr__(self) -> str:
        return f"ContainerOutput({self._prefix!r})"

    def started(self) -> None:
        """The container has its own copy of the write end now."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def finish(self) -> None:
        """Take what is there still, and close."""
        self.started()
        while self._open and self._readable():
            pass
        self._close()

    def tail(self) -> str:
        """The last lines that were printed, empty when there was nothing."""
        lines = [*self._kept, *([self._line] if self._line else [])]
        return b"\n".join(lines).decode("utf-8", "replace").strip()

    def _readable(self) -> bool:
        try:
            data = os.read(self._read_end, _AT_ONCE)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._close()
            return False
        *lines, self._line = (self._line + data).split(b"\n")
        if len(self._line) > _LONGEST_LINE:
            lines.append(self._line)
            self._line = b""
        self._pass(lines)
        return True

    def _pass(self, lines: list[bytes]) -> None:
        if lines:
            self._kept.extend(line[:_LONGEST_LINE].rstrip(b"\r") for line in lines)
            if self._write is not None:
                self._write(b"".join(self._prefix + line + b"\n" for line in lines))

    def _close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._read_end)
        os.close(self._read_end)
        if self._line:
            lines, self._line = [self._line], b""
            self._pass(lines)


def standard_error() -> PatientWriter:
    """A writer to this process' standard error."""
    return PatientWriter(sys.stderr.buffer)
