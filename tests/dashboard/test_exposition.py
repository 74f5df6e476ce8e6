import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from dashboard.errors import ExpositionError
from dashboard.exposition import parse_series, read_exposition
from dashboard.shape import Kind, ShapeReader

PAGE = b"""# HELP loadgen_requests_total Attempts.
# TYPE loadgen_requests_total counter
loadgen_requests_total{region="us-east",outcome="ok"} 12.0
loadgen_requests_total{region="us-east",outcome="cold_start"} 3
# TYPE loadgen_users gauge
loadgen_users 2.5e+01
# TYPE loadgen_wait_seconds histogram
loadgen_wait_seconds_bucket{le="0.1"} 1
loadgen_wait_seconds_bucket{le="+Inf"} 4
loadgen_wait_seconds_sum 9.5
loadgen_wait_seconds_count 4
"""


def test_a_page_is_cut_into_series_and_values() -> None:
    page = read_exposition(PAGE)
    assert page.series[:3] == [
        'loadgen_requests_total{region="us-east",outcome="ok"}',
        'loadgen_requests_total{region="us-east",outcome="cold_start"}',
        "loadgen_users",
    ]
    assert page.values.tolist() == [12.0, 3.0, 25.0, 1.0, 4.0, 9.5, 4.0]
    assert page.lines[:3] == [3, 4, 6]


def test_the_same_samples_are_read_as_by_the_reference_parser() -> None:
    page = read_exposition(PAGE)
    ours = {
        (parse_series(raw).name, parse_series(raw).labels): value
        for raw, value in zip(page.series, page.values.tolist(), strict=True)
    }
    theirs = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(PAGE.decode())
        for sample in family.samples
    }
    assert ours == theirs


def test_every_beginning_of_a_page_is_read_or_refused_with_its_line() -> None:
    for end in range(len(PAGE)):
        part = PAGE[:end]
        if end == 0 or part.endswith(b"\n"):
            assert len(read_exposition(part).series) <= 7
        else:
            with pytest.raises(
                ExpositionError, match=rf"line {part.count(10) + 1}: .*within a line"
            ):
                read_exposition(part)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("up one", "expected a number"),
        ("up 1_000", "expected a number"),
        ("up 1\t", "expected a number"),
        ("up \N{ARABIC-INDIC DIGIT ONE}", "expected a number"),
        ("up 0x10", "expected a number"),
        ("up", "expected a number"),
        ("1up 1", "expected a metric name"),
        ("up{a=b} 1", "expected label"),
        ('up{a="b" 1', "expected name"),
        ('up{a="b",a="c"} 1', "twice"),
        ('up{a="b"c="d"} 1', "comma"),
        ('up{a="\\q"} 1', "expected label"),
        ('up{a="b"} 1 1700000000', "expected name"),
        ("x" * 5000 + " 1", "characters"),
    ],
)
def test_a_bad_line_is_named(line: str, why: str) -> None:
    text = f"good 1\n{line}\n".encode()
    with pytest.raises(ExpositionError, match=f"line 2: .*{why}"):
        ShapeReader().shape_of(read_exposition(text))


def test_bytes_that_are_no_text_are_named_by_their_line() -> None:
    with pytest.raises(ExpositionError, match="line 2: expected UTF-8"):
        read_exposition(b"up 1\nup\xff 1\n")


def test_a_series_that_stands_there_twice_is_refused_in_any_order_of_labels() -> None:
    page = read_exposition(b'up{a="1",b="2"} 1\nup{b="2",a="1"} 1\n')
    with pytest.raises(ExpositionError, match=r"line 2: .*twice"):
        ShapeReader().shape_of(page)


@given(
    st.dictionaries(
        st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True),
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
        max_size=4,
    )
)
def test_labels_come_back_as_they_were_written(labels: dict[str, str]) -> None:
    def escaped(text: str) -> str:
        return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    raw = "name{" + ",".join(f'{key}="{escaped(value)}"' for key, value in labels.items()) + "}"
    assert parse_series(raw).labels == tuple(sorted(labels.items()))


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else_happens(body: bytes) -> None:
    line = 1
    try:
        ShapeReader().shape_of(read_exposition(body))
    except ExpositionError as error:
        line = error.line
    assert 1 <= line <= body.count(b"\n") + 1


@given(st.integers(0, len(PAGE) - 1), st.integers(0, 255))
def test_one_wrong_byte_is_read_or_refused(at: int, byte: int) -> None:
    body = PAGE[:at] + bytes([byte]) + PAGE[at + 1 :]
    try:
        shape = ShapeReader().shape_of(read_exposition(body))
    except ExpositionError:
        return
    assert len(shape.series) in (6, 7, 8)


def test_a_page_becomes_families() -> None:
    shape = ShapeReader().shape_of(read_exposition(PAGE))
    told = {family.name: (family.kind, len(family.labels)) for family in shape.families}
    assert told == {
        "loadgen_requests_total": (Kind.COUNTER, 2),
        "loadgen_users": (Kind.GAUGE, 1),
        "loadgen_wait_seconds": (Kind.HISTOGRAM, 1),
    }
    histogram = shape.families[2]
    assert histogram.bounds == (0.1, float("inf"))
    assert np.append(read_exposition(PAGE).values, 0.0)[histogram.at].tolist() == [[1.0, 4.0]]


def test_the_shape_is_the_same_object_while_series_stay() -> None:
    reader = ShapeReader()
    first = reader.shape_of(read_exposition(PAGE))
    assert reader.shape_of(read_exposition(PAGE.replace(b" 12.0", b" 13.0"))) is first
    assert reader.shape_of(read_exposition(PAGE + b"loadgen_workers 2\n")) is not first


def test_series_beyond_the_bound_are_counted_and_left_out() -> None:
    text = "".join(f'loadgen_x{{n="{n}"}} 1\n' for n in range(10)).encode()
    shape = ShapeReader(most_series=4).shape_of(read_exposition(text))
    assert (len(shape.families[0].labels), shape.dropped) == (4, 6)


def test_foreign_metrics_and_creation_times_are_not_stored() -> None:
    text = b"# TYPE go_gc gauge\ngo_gc 1\nloadgen_requests_created 1.7e9\nloadgen_users 1\n"
    shape = ShapeReader().shape_of(read_exposition(text))
    assert [family.name for family in shape.families] == ["loadgen_users"]
