"""Wake a server: send to each flash URL until it answers, and tell how long that took."""

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from itertools import count
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from flash.regions import region_of_url
from flash.retry import delay_s, parse_retry_after

__all__ = ["Reply", "Woken", "report", "send", "wake_all", "wake_and_report", "wake_one"]

WITHIN_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One attempt: the status code, ``None`` where there was no response; and its Retry-After."""

    code: int | None
    retry_after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Woken:
    """What one region answered; ``answered_after_s`` is ``None`` if it never did in time."""

    region: str
    refused: int
    answered_after_s: float | None
    code: int | None


def wake_one(
    url: str,
    *,
    send: Callable[[str, float], Reply],
    clock: Callable[[], float],
    wall: Callable[[], float],
    sleep: Callable[[float], None],
    rng: random.Random,
    within_s: float = WITHIN_S,
) -> Woken:
    """Try until the answer is no 503, for at most ``within_s`` seconds.

    No response at all is tried again too: the name of a new server takes a moment to be known.
    An attempt has all the time that is left, for a server may hold a request through its start.
    ``clock`` measures, ``wall`` is the Unix time that a ``Retry-After`` date is compared with.
    """
    began, refused = clock(), 0
    for attempt in count():
        reply = send(url, within_s - (clock() - began))
        if reply.code is not None and reply.code != 503:
            return Woken(
                region=region_of_url(url),
                refused=refused,
                answered_after_s=clock() - began,
                code=reply.code,
            )
        refused += reply.code == 503
        asked = (
            None
            if reply.retry_after is None
            else parse_retry_after(reply.retry_after, now_unix=wall())
        )
        wait_s = delay_s(attempt, rng=rng) if asked is None else asked
        if clock() - began + wait_s >= within_s:
            return Woken(
                region=region_of_url(url), refused=refused, answered_after_s=None, code=reply.code
            )
        sleep(wait_s)
    raise AssertionError("unreachable: count() has no end")


def wake_all(urls: Sequence[str]) -> list[Woken]:
    """Wake every URL at the same time; the answers are in the order of the URLs."""
    if not urls:
        return []

    def wake(url: str) -> Woken:
        return wake_one(
            url,
            send=send,
            clock=time.monotonic,
            wall=time.time,
            sleep=time.sleep,
            rng=random.Random(),
        )

    with ThreadPoolExecutor(len(urls)) as pool:
        return list(pool.map(wake, urls))


def wake_and_report(urls: Sequence[str]) -> int:
    """Wake every URL and print the report; 1 if there was none, or one never answered, else 0."""
    answers = wake_all(urls)
    print(report(answers))
    return int(not answers or any(answer.answered_after_s is None for answer in answers))


def send(url: str, timeout_s: float) -> Reply:
    """One GET; any response is a reply, no response in time is one without a code."""
    try:
        with urlopen(url, timeout=timeout_s) as response:
            return Reply(response.status)
    except HTTPError as error:
        with error:
            return Reply(error.code, error.headers.get("retry-after"))
    except (URLError, HTTPException, OSError):
        return Reply(None)


def report(answers: Sequence[Woken]) -> str:
    """The answers as a table, a line a region."""
    if not answers:
        return "The server has no flash URL."
    lines = [f"{'region':<12} {'503s':>6} {'first answer':>13}"]
    for answer in answers:
        after = answer.answered_after_s
        told = "never" if after is None else f"{after:.2f} s ({answer.code})"
        lines.append(f"{answer.region:<12} {answer.refused:>6} {told:>13}")
    return "\n".join(lines)
