"""What containers print: passed on in lines, kept for the log, and never waited for."""

import asyncio
import os
import threading

import pytest

from flash.edge.output import ContainerOutput, PatientWriter


def printed(*pieces: bytes, name: str = "ta-1") -> tuple[bytes, str]:
    """What is passed on, and the tail, after a container printed the pieces."""
    passed: list[bytes] = []

    async def run() -> str:
        output = ContainerOutput(name, passed.append)
        for piece in pieces:
            os.write(output.write_end, piece)
            await asyncio.sleep(0)
        output.started()
        output.finish()
        return output.tail()

    tail = asyncio.run(run())
    return b"".join(passed), tail


def test_every_line_is_passed_on_with_the_containers_name() -> None:
    passed, tail = printed(b"one\ntw", b"o\n\nthree\n")
    assert passed == b"[ta-1] one\n[ta-1] two\n[ta-1] \n[ta-1] three\n"
    assert tail == "one\ntwo\n\nthree"


def test_lines_are_whole_however_they_come() -> None:
    text = "first\nsécond\nthird\n".encode()
    passed, _ = printed(*(text[n : n + 1] for n in range(len(text))))
    assert passed == "[ta-1] first\n[ta-1] sécond\n[ta-1] third\n".encode()


def test_a_last_line_without_an_end_is_passed_on_too() -> None:
    passed, tail = printed(b"Traceback:\nMemoryError")
    assert passed == b"[ta-1] Traceback:\n[ta-1] MemoryError\n"
    assert tail == "Traceback:\nMemoryError"


def test_only_the_last_lines_are_kept() -> None:
    _, tail = printed(b"".join(b"line %d\n" % n for n in range(100)))
    assert tail.splitlines() == [f"line {n}" for n in range(80, 100)]


def test_an_endless_line_is_cut_into_pieces() -> None:
    passed, tail = printed(*[b"x" * 10_000] * 5)
    assert len(passed) < 51_000
    assert passed.count(b"x") == 50_000
    assert max(map(len, tail.splitlines())) <= 10_000


def test_nothing_printed_is_an_empty_tail() -> None:
    assert printed() == (b"", "")


def test_discarded_output_is_still_kept_for_the_log() -> None:
    async def run() -> str:
        output = ContainerOutput("ta-1", None)
        os.write(output.write_end, b"no such model\n")
        output.finish()
        return output.tail()

    assert asyncio.run(run()) == "no such model"


def test_both_ends_of_the_pipe_are_closed() -> None:
    async def run() -> tuple[int, int]:
        output = ContainerOutput("ta-1", None)
        ends = output._read_end, output.write_end
        output.finish()
        output.finish()
        return ends

    for end in asyncio.run(run()):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(end)


class Stalled:
    """A stream whose reader does not read until it is let go."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.entered = threading.Event()
        self.written = b""

    def write(self, data: bytes) -> None:
        self.entered.set()
        assert self.released.wait(20)
        self.written += data

    def flush(self) -> None:
        pass


def test_a_stalled_reader_is_not_waited_for_and_learns_what_it_missed() -> None:
    stream = Stalled()
    writer = PatientWriter(stream)
    writer.write("first\n")
    assert stream.entered.wait(20)
    line = b"x" * 999 + b"\n"
    for _ in range(3000):  # three megabytes into a queue of one
        writer.write_bytes(line)
    stream.released.set()
    writer.write("")
    while not stream.written.count(line):
        stream.entered.wait(0.01)
    writer.close(within_s=20)
    kept = stream.written.count(line)
    assert stream.written.startswith(b"first\n")
    assert 1000 < kept < 1100
    assert b"flash.edge: %d bytes of output were dropped" % ((3000 - kept) * 1000) in stream.written


def test_a_stream_that_breaks_is_let_go() -> None:
    class Broken(Stalled):
        def write(self, data: bytes) -> None:
            self.entered.set()
            raise BrokenPipeError

    stream = Broken()
    writer = PatientWriter(stream)
    writer.write("lost\n")
    assert stream.entered.wait(20)
    writer.write("lost as well\n")
    writer.close(within_s=20)
    writer.write("after the end\n")
    assert stream.written == b""


def test_closing_writes_what_was_still_waiting() -> None:
    stream = Stalled()
    stream.released.set()
    writer = PatientWriter(stream)
    for n in range(100):
        writer.write(f"{n} \udc80\n")
    writer.close(within_s=20)
    assert stream.written == b"".join(b"%d \\udc80\n" % n for n in range(100))
