"""Names of Modal's regions, how to read one from a URL, and how far they are apart."""

from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

__all__ = [
    "DEFAULT_REGION",
    "ROUND_TRIP_S",
    "ROUTING_REGIONS",
    "is_region_name",
    "region_of_url",
    "round_trip_s",
]

ROUTING_REGIONS: Final = ("us-east", "us-west", "ca-central", "eu-west", "ap-south")
"""Regions in which Modal offers proxies (``proxy_regions``, ``routing_region``)."""

DEFAULT_REGION: Final = "default"
"""Region of a server whose URL names none."""

_SAME_REGION_S: Final = 0.002

ROUND_TRIP_S: Final = MappingProxyType(
    {
        frozenset(pair): seconds
        for pair, seconds in (
            (("us-east", "us-west"), 0.060),
            (("us-east", "ca-central"), 0.015),
            (("us-east", "eu-west"), 0.075),
            (("us-east", "ap-south"), 0.195),
            (("us-west", "ca-central"), 0.060),
            (("us-west", "eu-west"), 0.130),
            (("us-west", "ap-south"), 0.220),
            (("ca-central", "eu-west"), 0.080),
            (("ca-central", "ap-south"), 0.205),
            (("eu-west", "ap-south"), 0.120),
        )
    }
)
"""Typical round trips in seconds between two routing regions, after public cloud measurements."""

_BROAD: Final = MappingProxyType(
    {"us": "us-east", "ca": "ca-central", "eu": "eu-west", "uk": "eu-west", "ap": "ap-south"}
)


def round_trip_s(one: str, other: str) -> float:
    """The usual round trip in seconds between two regions.

    Broad container regions (``us``, ``eu``, ``uk``, ``ap``, ``ca``) stand for the routing region
    where most of their capacity is.

    Raises:
        ValueError: a name that is neither a routing region nor a broad region.
    """
    a, b = _BROAD.get(one, one), _BROAD.get(other, other)
    for given, name in ((one, a), (other, b)):
        if name not in ROUTING_REGIONS:
            known = ", ".join((*ROUTING_REGIONS, *_BROAD))
            raise ValueError(f"no round trip is known for region {given!r}; known are {known}")
    return _SAME_REGION_S if a == b else ROUND_TRIP_S[frozenset((a, b))]


def is_region_name(text: str) -> bool:
    """Whether ``text`` can name a region: lower-case letters, digits and inner hyphens."""
    return (
        bool(text)
        and text.isascii()
        and not text.startswith("-")
        and not text.endswith("-")
        and all(c.islower() or c.isdigit() or c == "-" for c in text)
    )


def region_of_url(url: str) -> str:
    """The region named by a flash URL's host ``WORKSPACE--APP-CLASS.REGION.modal.direct``.

    The region label may carry a ``modal-`` prefix. Any other host is in :data:`DEFAULT_REGION`.
    """
    labels = (urlsplit(url).hostname or "").split(".")
    if len(labels) < 4 or labels[-2:] != ["modal", "direct"]:
        return DEFAULT_REGION
    region = labels[-3].removeprefix("modal-")
    return region if is_region_name(region) else DEFAULT_REGION
