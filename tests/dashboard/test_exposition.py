import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import composite
from prometheus_client.parser import text_string_to_metric_families

from dashboard.errors import ExpositionError
from dashboard.exposition import Labels, parse_number, parse_series, read_exposition
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


Samples = dict[tuple[str, Labels], float]


def read_by_us(text: str) -> Samples | None:
    """Every sample of a text, ``None`` where it is refused; the error must name a line."""
    refused: ExpositionError | None = None
    try:
        page = read_exposition(text.encode())
        ShapeReader().shape_of(page)
    except ExpositionError as error:
        refused = error
    if refused is not None:
        assert 1 <= refused.line <= text.count("\n") + 1
        assert str(refused).startswith(f"line {refused.line}: ")
        return None
    names = [parse_series(raw) for raw in page.series]
    found = [(name.name.removesuffix("_total"), name.labels) for name in names]
    return dict(zip(found, page.values.tolist(), strict=True))


def read_by_the_reference(text: str) -> Samples | None:
    """The same by prometheus_client; one that it reads twice counts as refused."""
    samples: Samples = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = tuple(sorted((k, v) for k, v in sample.labels.items() if v))
                # It has the samples of all counters end so, also of those that did not, and once
                # more for each further line that says the type.
                name = sample.name.removesuffix("_total")
                while name.endswith("_total"):
                    name = name.removesuffix("_total")
                if (name, labels) in samples or sample.timestamp is not None:
                    return None
                samples[name, labels] = sample.value
    except (ValueError, KeyError, IndexError):
        return None
    return samples


@composite
def pages(draw: st.DrawFn) -> str:
    """Texts like those of targets, most of them right and many a little wrong."""
    name = st.sampled_from(["loadgen_a", "loadgen_a_total", "target_b_bucket", "x:y", "_", "a b"])
    label = st.sampled_from(["region", "le", "a", "_", "9", "a.b"])
    text = st.text(st.sampled_from('ab\\"n,={} \t#\u00a0é\U0001f600'), max_size=6)
    value = st.sampled_from(
        ["1", "0", "-1", "+2.5", "1e3", "1.", ".5", "NaN", "nan", "+Inf", "-Inf", "inf", "Infinity",
         "0x1", "1_0", "1 2", "1e", "", "\u0661", "1e400", "1\r"]
    )  # fmt: skip
    gap = st.sampled_from(["", " ", "  ", "\t", "\u00a0"])
    lines: list[str] = []
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.integers(0, 9))
        if kind == 0:
            words = [draw(st.sampled_from(["# TYPE", "#TYPE", "# HELP", "#", " #"])), draw(name)]
            words.append(draw(st.sampled_from(["counter", "histogram", "", "x\\n"])))
            lines.append(" ".join(words))
            continue
        pairs = draw(st.lists(st.tuples(label, text), max_size=3))
        quoted = [
            f'{key}{draw(gap)}={draw(gap)}"'
            + (v if kind == 1 else v.replace("\\", r"\\").replace('"', r"\""))
            + '"'
            for key, v in pairs
        ]
        braces = "{" + ",".join(quoted) + draw(st.sampled_from(["", "", ","])) + "}"
        lines.append(
            draw(name) + draw(gap) + (braces if pairs or kind == 2 else "")
            + draw(st.sampled_from([" ", " ", " ", "  ", "", "\t"])) + draw(value)
        )  # fmt: skip
    return "\n".join(lines) + draw(st.sampled_from(["\n", "\n", "", "\n\n"]))


def check_against_the_reference(text: str) -> None:
    ours, theirs = read_by_us(text), read_by_the_reference(text)
    if ours is not None and theirs is not None:
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            assert value == theirs[key] or (value != value and theirs[key] != theirs[key])


@settings(max_examples=1500, deadline=None)
@given(pages())
def test_what_both_read_is_read_as_by_the_reference_parser(text: str) -> None:
    check_against_the_reference(text)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(PAGE)), st.binary(max_size=4), st.integers(0, 6))
def test_a_page_with_a_piece_replaced_is_read_as_by_the_reference_parser(
    at: int, piece: bytes, length: int
) -> None:
    try:
        text = (PAGE[:at] + piece + PAGE[at + length :]).decode()
    except UnicodeDecodeError:
        return
    check_against_the_reference(text)


@given(st.text(st.sampled_from("0123456789+-.eE_ \u0661infINFnaNx"), max_size=8))
def test_a_number_is_one_that_the_format_knows(text: str) -> None:
    try:
        value = parse_number(text)
    except ValueError:
        return
    assert text.isascii()
    assert "_" not in text
    assert value == float(text) or value != value


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
        ('loadgen_a_bucket{le="1_0"} 1', "expected a number as le"),
        ('loadgen_a_bucket{le=" 1"} 1', "expected a number as le"),
        ('loadgen_a_bucket{le="\N{ARABIC-INDIC DIGIT ONE}"} 1', "expected a number as le"),
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
    text = f"# TYPE loadgen_a histogram\n{line}\n".encode()
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
    # A name that is not ours any more is not stored.
    assert len(shape.series) <= 8


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
