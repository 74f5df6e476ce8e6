"""What the local edge tells of its containers and its autoscaler, as events of ours."""

from collections.abc import Mapping
from math import isfinite
from typing import Final

from dashboard.event_list import EventList
from dashboard.model import Event

__all__ = ["EdgeEvents", "event_of"]

# What the edge calls it: what we call it, and how it reads.
_CONTAINER_KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "requested": ("container_starting", "requested"),
    "process_started": ("container_process_started", "process started"),
    "live": ("container_live", "live"),
    "draining": ("container_draining", "draining"),
    "exited": ("container_exited", "exited"),
    "terminated": ("container_gone", "gone"),
    "start_failed": ("container_failed", "failed to start"),
    "kill_requested": ("container_killed", "killed by request"),
}
_LONGEST_TEXT: Final = 300


class EdgeEvents(EventList):
    """Reads ``GET /events`` of the edge at ``admin_url``; each look brings what is not stored."""

    def __init__(self, admin_url: str) -> None:
        super().__init__(f"{admin_url}/events", "events", event_of)


def event_of(item: Mapping[str, object]) -> Event:
    """One event as the edge tells it.

    Raises:
        KeyError, ValueError: it has another form.
    """
    kind, detail = str(item["kind"]), str(item.get("detail") or "")
    at = float(str(item["time"]))
    if not isfinite(at):
        raise ValueError(f"expected a time, got {at}")
    task_id = item.get("task_id")
    if task_id is None:
        text = f"{kind.replace('_', ' ').capitalize()}: {detail}" if detail else kind
        return Event(at=at, kind=kind, text=text[:_LONGEST_TEXT])
    ours, words = _CONTAINER_KINDS.get(kind, (f"container_{kind}", kind.replace("_", " ")))
    text = f"Container {task_id} {words}" + (f" ({detail})" if detail else "")
    return Event(at=at, kind=ours, text=text[:_LONGEST_TEXT], labels={"container": str(task_id)})
