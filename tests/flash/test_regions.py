"""Region names, their place in a URL, and round trips."""

from itertools import product

import pytest

from flash.regions import ROUTING_REGIONS, is_region_name, region_of_url, round_trip_s


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://acme--app-server.us-east.modal.direct", "us-east"),
        ("https://acme--app-server.modal-eu-west.modal.direct/path", "eu-west"),
        ("https://ACME--app-server.AP-SOUTH.modal.direct:8443", "ap-south"),
        ("https://modal.direct", "default"),
        ("https://us-east.modal.direct", "default"),
        ("https://acme.us-east.modal.run", "default"),
        ("http://127.0.0.1:8000", "default"),
        ("http://[::1]:8000", "default"),
        ("not a url", "default"),
    ],
)
def test_a_region_is_read_from_a_flash_url_and_from_nothing_else(url: str, region: str) -> None:
    assert region_of_url(url) == region


def test_a_round_trip_is_known_for_every_pair_of_routing_regions_and_is_symmetric() -> None:
    for one, other in product(ROUTING_REGIONS, repeat=2):
        assert round_trip_s(one, other) == round_trip_s(other, one)
        assert (round_trip_s(one, other) == 0.002) == (one == other)


def test_broad_container_regions_stand_for_their_largest_routing_region() -> None:
    assert round_trip_s("us-west", "us") == round_trip_s("us-west", "us-east") == 0.060
    assert round_trip_s("eu-west", "uk") == 0.002


def test_an_unknown_region_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'mars'.*us-east, us-west"):
        round_trip_s("us-east", "mars")


@pytest.mark.parametrize("text", ["us-east", "default", "eu2", "x"])
def test_names_of_lower_case_letters_digits_and_inner_hyphens_are_regions(text: str) -> None:
    assert is_region_name(text)


@pytest.mark.parametrize("text", ["", "-us", "us-", "US", "us east", "us.east", "é", 'a"'])
def test_other_texts_are_not(text: str) -> None:
    assert not is_region_name(text)
