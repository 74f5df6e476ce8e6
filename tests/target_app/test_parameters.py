"""Parameters: defaults, bounds, and errors that name the one at fault."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target_app import parameters
from target_app.parameters import GENERATE, WORK, ParameterError, from_json, from_query


def test_what_is_not_given_has_its_default() -> None:
    assert from_query(b"", WORK) == {"sleep_ms": 0, "cpu_ms": 0, "bytes": 0}
    assert from_json(b" ", GENERATE) == {
        "tokens": 32,
        "tokens_per_s": 200,
        "prompt_tokens": 512,
        "prefill_tokens_per_s": 5000,
    }


def test_fractions_and_exponents_are_numbers() -> None:
    asked = from_query(b"sleep_ms=1.5&bytes=1e3&cpu_ms=%2B2", WORK)
    assert asked == {"sleep_ms": 1.5, "bytes": 1000, "cpu_ms": 2}


@pytest.mark.parametrize("name", [*WORK, *GENERATE])
def test_both_bounds_are_allowed_and_what_is_beyond_them_is_not(name: str) -> None:
    bounds = WORK if name in WORK else GENERATE
    least, most = bounds[name].least, bounds[name].most
    for value in (least, most):
        assert from_json(json.dumps({name: value}).encode(), bounds)[name] == value
    for value in (least - 1, most + 1, 10**400):
        with pytest.raises(ParameterError, match=f"^{name}: expected ") as raised:
            from_json(json.dumps({name: value}).encode(), bounds)
        assert raised.value.where == name


@pytest.mark.parametrize(
    "value", ["", "five", "1_0", " 5", "0x5", "nan", "inf", "1e999", "٣", "5;", "-1", "1.5.2"]
)
def test_a_malformed_number_in_a_query_is_refused(value: str) -> None:
    with pytest.raises(ParameterError) as raised:
        from_query(f"sleep_ms={value}".encode(), WORK)
    assert raised.value.where == "sleep_ms"


@pytest.mark.parametrize("value", ['"5"', "true", "null", "[]", "{}", "NaN", "Infinity", "2.5"])
def test_what_is_no_whole_number_in_json_is_refused(value: str) -> None:
    with pytest.raises(ParameterError, match="expected a whole number from 1 to 10,000") as raised:
        from_json(b'{"tokens": %b}' % value.encode(), GENERATE)
    assert raised.value.where == "tokens"


@pytest.mark.parametrize("body", [b"{", b"[1]", b"5", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(ParameterError) as raised:
        from_json(body, GENERATE)
    assert raised.value.where == "body"


def test_unknown_and_repeated_parameters_are_refused() -> None:
    with pytest.raises(ParameterError, match="known are sleep_ms, cpu_ms, bytes") as raised:
        from_query(b"sleep=5", WORK)
    assert raised.value.where == "sleep"
    with pytest.raises(ParameterError, match="given twice"):
        from_query(b"bytes=5&bytes=5", WORK)


def test_a_long_name_is_not_sent_back_whole() -> None:
    with pytest.raises(ParameterError) as raised:
        from_query(b"x" * 5000 + b"=1", WORK)
    assert len(raised.value.where) == 80
    assert len(str(raised.value)) < 200


@given(st.binary())
def test_no_bytes_are_anything_but_parameters_or_a_refusal(content: bytes) -> None:
    for read in (from_query, from_json):
        try:
            asked = read(content, WORK)
        except ParameterError:
            continue
        assert all(WORK[name].least <= asked[name] <= WORK[name].most for name in WORK)


def test_the_documented_bounds_are_those_in_force() -> None:
    assert parameters.__doc__ is not None
    rows = re.findall(r"``(\w+)`` \| ([\d.,]+) to ([\d,]+) \| ([\d,]+) \|", parameters.__doc__)
    documented = {
        name: tuple(float(number.replace(",", "")) for number in numbers) for name, *numbers in rows
    }
    assert documented == {
        name: (allowed.least, allowed.most, allowed.default)
        for name, allowed in {**WORK, **GENERATE}.items()
    }
