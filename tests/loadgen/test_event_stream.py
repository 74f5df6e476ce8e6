"""Server-sent events, by the examples of the WHATWG standard and at every split."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import MalformedResponse
from loadgen.event_stream import LONGEST_LINE, LineSplitter, parse_events


def events(text, at=1.0):
    return [(e.event, e.data, e.id, e.retry_ms) for e in parse_events([(text.encode(), at)])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The standard's own examples.
        ("data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10", "", None)]),
        (
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\n"
            "data:  third event\n\n",
            [
                ("message", "first event", "1", None),
                ("message", "second event", "", None),
                ("message", " third event", "", None),
            ],
        ),
        ("data\n\ndata\ndata\n\ndata:", [("message", "", "", None), ("message", "\n", "", None)]),
        ("data:test\n\ndata: test\n\n", [("message", "test", "", None)] * 2),
        # And its rules.
        (
            "event: add\ndata: 1\n\ndata: 2\n\n",
            [("add", "1", "", None), ("message", "2", "", None)],
        ),
        ("event: add\n\ndata: 2\n\n", [("message", "2", "", None)]),
        ("id: 7\n\ndata: a\n\n", [("message", "a", "7", None)]),
        ("id: a\0b\ndata: a\n\n", [("message", "a", "", None)]),
        ("retry: 100\ndata: a\n\nretry: 1s\ndata: b\n\n", [("message", x, "", 100) for x in "ab"]),
        ("retry: %s\ndata: a\n\n" % ("9" * 5000), [("message", "a", "", None)]),
        ("\ufeffdata: a\n\n", [("message", "a", "", None)]),
        ("data: a\r\rdata: b\r\n\r\ndata: c\n\r", [("message", x, "", None) for x in "abc"]),
        ("Data: a\nnonsense: b\n\n", []),
        ("data: cut off\n", []),
        ("data: a:b: c\n\n", [("message", "a:b: c", "", None)]),
    ],
)
def test_streams_are_interpreted_as_the_standard_says(text, expected):
    assert events(text) == expected


@pytest.mark.parametrize(
    ("piece", "told"),
    [(b"data: " + b"x" * 65530, "line"), ((b"data: " + b"x" * 1000 + b"\n") * 60, "event")],
)
def test_what_has_no_end_is_an_error_before_it_fills_the_memory(piece, told):
    taken = 0

    def pieces():
        nonlocal taken
        while True:
            taken += len(piece)
            yield piece, 1.0

    with pytest.raises(MalformedResponse, match=f"{told} is longer than 16,777,216 characters"):
        list(parse_events(pieces()))
    assert taken < 5 * LONGEST_LINE


def test_lines_and_events_of_the_greatest_length_pass():
    whole = b"data: " + b"x" * (LONGEST_LINE - 6) + b"\n\n"
    pieces = [(whole[at : at + 1_000_000], 1.0) for at in range(0, len(whole), 1_000_000)]
    assert [len(event.data) for event in parse_events(pieces * 2)] == [LONGEST_LINE - 6] * 2


def test_an_event_has_the_time_of_the_piece_that_completed_it():
    pieces = [(b"data: a", 1.0), (b"\n", 2.0), (b"\ndata: b\n\ndata: c\r\n\r", 3.0), (b"\n", 4.0)]
    assert [(e.data, e.received) for e in parse_events(pieces)] == [
        ("a", 3.0),
        ("b", 3.0),
        ("c", 3.0),
    ]


@given(
    st.lists(
        st.sampled_from(["data: é\n", "data:x\r\n", "event: e\r", "id: 1\n", "\n", "\r\n", ":\r"])
    ),
    st.lists(st.integers(0, 200)),
)
def test_events_are_the_same_at_every_split(lines, cuts):
    wire = "".join(lines).encode()
    bounds = sorted({0, len(wire), *(cut % (len(wire) + 1) for cut in cuts)})
    pieces = [(wire[a:b], 0.0) for a, b in itertools.pairwise(bounds)]
    assert list(parse_events(pieces)) == list(parse_events([(wire, 0.0)]))


@given(st.lists(st.text("ab\r\n", max_size=4)))
def test_lines_are_the_same_at_every_split(pieces):
    whole, split = LineSplitter(), LineSplitter()
    lines = [line for piece in pieces for line in split.feed(piece)]
    assert lines == whole.feed("".join(pieces))
    assert split.rest() == whole.rest()


def test_a_long_line_in_many_pieces_is_put_together_once():
    splitter = LineSplitter()
    assert not any(splitter.feed("x" * 1000) for _ in range(1000))
    assert splitter.feed("\nrest") == ["x" * 1_000_000]
    assert splitter.rest() == "rest"
