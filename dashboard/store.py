"""The dashboard's own store: SQLite, one thread that writes, increments instead of raw counters.

A row holds one metric family of one target for one second, or for five seconds up to an hour rolled
up from it; its key is the family's number and the time, so that a line of a chart is one range of
keys. :mod:`dashboard.rows` says how a row's bytes are laid out. What a target's counters stood at
is written in the same transaction as the increments it led to, so whatever moment the process dies
at, nothing is counted twice and nothing stored is lost.

Write-ahead logging with ``synchronous=NORMAL``: a killed process loses nothing that was committed;
a machine that loses power may lose the last second or so, but never becomes inconsistent.
"""

import asyncio
import fcntl
import json
import os
import queue
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import numpy as np

from dashboard.erasure import Erased, delete_run
from dashboard.errors import StoreError
from dashboard.increments import Memory
from dashboard.ingest import Catalogue
from dashboard.model import Event, ScrapeResult
from dashboard.rollup import FINE, LEVELS, TIME_BITS, roll_up, row_key

__all__ = ["SCHEMA_VERSION", "STORING", "Kept", "Store", "check_readable", "read_only"]

SCHEMA_VERSION: Final = 2

STORING: Final = "storing"
"""What it is called in a log when the store fails: all its work fails and recovers together."""

_APPLICATION_ID: Final = 0x666C6761  # "flga"

_SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE target (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, job TEXT NOT NULL, url TEXT NOT NULL,
    labels TEXT NOT NULL, first_second INTEGER NOT NULL, last_second INTEGER NOT NULL);
CREATE TABLE memory (
    target INTEGER PRIMARY KEY REFERENCES target ON DELETE CASCADE,
    series BLOB NOT NULL, vals BLOB NOT NULL, gone TEXT NOT NULL, started_s REAL);
CREATE TABLE family (
    id INTEGER PRIMARY KEY, target INTEGER NOT NULL REFERENCES target ON DELETE CASCADE,
    name TEXT NOT NULL, kind TEXT NOT NULL, bounds BLOB NOT NULL,
    UNIQUE (target, name, kind, bounds));
CREATE INDEX family_name ON family (name);
CREATE TABLE series (
    family INTEGER NOT NULL REFERENCES family ON DELETE CASCADE, position INTEGER NOT NULL,
    labels TEXT NOT NULL, first_second INTEGER NOT NULL,
    PRIMARY KEY (family, position)) WITHOUT ROWID;
CREATE TABLE event (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL,
    labels TEXT NOT NULL, UNIQUE (at, kind, text));
CREATE TABLE run (
    run TEXT PRIMARY KEY, start REAL NOT NULL, end REAL, labels TEXT NOT NULL,
    last_second INTEGER NOT NULL) WITHOUT ROWID;
"""

# A store of version 1 has only some of them; the others are rolled up from these.
_POINTS: Final = "".join(
    f"CREATE TABLE IF NOT EXISTS point_{level} "
    "(id INTEGER PRIMARY KEY, data BLOB NOT NULL, sums BLOB);\n"
    for level in LEVELS
)

_T = TypeVar("_T")
_Work = tuple[Callable[[sqlite3.Connection], object], "Future[object]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a store holds: its file's bytes, those in use, and its oldest rows (Unix seconds).

    ``raw_from`` is the oldest second of the finest points, ``all_from`` that of any; ``None``
    where there is none.
    """

    file_bytes: int
    used_bytes: int
    raw_from: int | None
    all_from: int | None


class Store:
    """The store at ``path``, opened for writing. Callers of any thread or task; one process.

    Raises:
        StoreError: the file is something else, damaged, of another version, or in use by
            another dashboard.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._lock = _locked(path)
        try:
            self._connection = _open(path, clock())
        except StoreError:
            self._lock.close()
            raise
        self._catalogue: Catalogue | None = None
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="dashboard-store", daemon=True)
        self._thread.start()

    async def write(self, results: Sequence[ScrapeResult]) -> int:
        """Store scrapes in one transaction; on return they outlive this process.

        How many of their series were left out, since their targets have had too many, is returned.

        Raises:
            StoreError: they could not be written; none of them is then.
        """
        return await asyncio.wrap_future(
            self._submit(lambda connection: self._known(connection).add(connection, results))
        )

    async def add_events(self, events: Iterable[Event]) -> None:
        """Store events in one transaction; those that are there already are not added again."""
        rows = [(e.at, e.kind, e.text, json.dumps(dict(e.labels))) for e in events]
        await self._run(
            lambda connection: connection.executemany(
                "INSERT OR IGNORE INTO event (at, kind, text, labels) VALUES (?, ?, ?, ?)", rows
            )
        )

    async def roll_up(self, until: int) -> None:
        """Roll up all seconds before ``until`` (Unix seconds) that were not yet."""
        await self._run(lambda connection: roll_up(connection, until))

    async def forget(self, *, raw_before: int, all_before: int) -> None:
        """Delete the finest points before one time, and everything before the other."""

        def work(connection: sqlite3.Connection) -> None:
            self._known(connection).forget(connection, raw_before, all_before)
            self._catalogue = None  # it may know more than there is

        await self._run(work)

    async def delete_run(self, name: str) -> Erased:
        """Delete a run, and of its time what no other run shares (:mod:`dashboard.erasure`).

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it is still going on.
        """

        def work(connection: sqlite3.Connection) -> Erased:
            erased = delete_run(connection, name, self._clock())
            self._catalogue = Catalogue(connection)
            return erased

        return await asyncio.wrap_future(self._submit(work))

    async def kept(self) -> Kept:
        """What there is, for those who decide what is too much."""
        return await asyncio.wrap_future(self._submit(_kept))

    async def give_back(self) -> None:
        """Give pages of the file that nothing is in back to the file system, a part at a time."""
        await self._run(_give_back)

    def size_bytes(self) -> float:
        """Bytes of the file, and of the log beside it that SQLite has not yet taken over."""
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return float(sum(file.stat().st_size for file in files if file.exists()))

    def memories(self) -> dict[str, Memory]:
        """What every target's counters stood at when last written, by the targets' keys."""
        return self._submit(_memories).result()

    def watching_since(self) -> float:
        """Since when (Unix seconds) this store has been watching without a longer break."""
        value = self._submit(
            lambda c: c.execute("SELECT value FROM meta WHERE name = 'watching_since'").fetchone()
        ).result()
        return float(value[0])

    def close(self) -> None:
        """Finish what was asked for and close the file. Harmless when closed."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._lock.close()

    async def _run(self, work: Callable[[sqlite3.Connection], object]) -> None:
        await asyncio.wrap_future(self._submit(work))

    def _submit(self, work: "Callable[[sqlite3.Connection], _T]") -> "Future[_T]":
        if self._closed:
            raise StoreError(f"store {self.path} is closed")
        future: Future[_T] = Future()
        self._queue.put((work, future))  # type: ignore[arg-type]  # Future is invariant
        return future

    def _work(self) -> None:
        connection = self._connection
        while (item := self._queue.get()) is not None:
            work, future = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                connection.execute("BEGIN IMMEDIATE")
                answer = work(connection)
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._roll_back()
                future.set_exception(
                    StoreError(f"cannot write {self.path}: {error}{_what_to_do(error)}")
                )
            except Exception as error:  # the caller gets it; this thread serves the next one
                self._roll_back()
                future.set_exception(error)
            else:
                future.set_result(answer)
        connection.close()

    def _known(self, connection: sqlite3.Connection) -> Catalogue:
        if self._catalogue is None:
            self._catalogue = Catalogue(connection)
        return self._catalogue

    def _roll_back(self) -> None:
        # What the catalogue learnt in the failed transaction is not in the file.
        self._catalogue = None
        # On a failing disk this may fail too; the next transaction then begins with it.
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"


# After a longer break what a process started in between has counted is not what we watched.
_BREAK_S: Final = 60.0

_PAGES: Final = 4096  # 16 MiB

# Of what is written only the last pages are needed again, and the system has the file in its
# memory anyway: a larger cache is no quicker, and fills with the past for an hour and more.
_CACHE_KIB: Final = 2000


def _locked(path: Path) -> BinaryIO:
    """A lock that lasts as long as this process: two that wrote would count everything twice."""
    if path.is_dir():
        raise StoreError(f"store {path} is a folder; pass a file with --store")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(f"{path}.lock", "wb")  # held open until the store is closed
    except OSError as error:
        raise StoreError(
            f"cannot open store {path}: {error}; pass another file with --store"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StoreError(
            f"store {path} is in use by another dashboard; stop that one, "
            "or pass another file with --store"
        ) from error
    return lock


def _what_to_do(error: sqlite3.Error) -> str:
    # Where a quota is the limit, SQLite cannot tell that; errors of Python's own have no name.
    full = getattr(error, "sqlite_errorname", "") in ("SQLITE_FULL", "SQLITE_IOERR_WRITE")
    return "; make room on its disk, and it goes on by itself" if full else ""


_WAY_OUT: Final = "it is left as it is: move it away, or pass another file with --store"


def read_only(path: Path) -> str:
    """What SQLite opens to read the store at ``path`` only, as a URI.

    It makes files beside a store that is read, unless it is told that nobody will write to it,
    which holds where nobody can.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    log = path.with_name(f"{path.name}-wal")
    still = not os.access(path.absolute().parent, os.W_OK) and not log.exists()
    return f"{uri}&immutable=1" if still else uri


def check_readable(path: Path) -> None:
    """See that the file at ``path`` is a store of a version that is known; it is left as it is.

    Raises:
        StoreError: it is not, or it cannot be opened.
    """
    try:
        with closing(sqlite3.connect(read_only(path), uri=True)) as store:
            version = _check_kind(store, path)
            if not version:
                raise StoreError(f"store {path} is empty; pass another file with --store")
            if version < SCHEMA_VERSION:
                raise StoreError(
                    f"store {path} has version {version}, written by an older dashboard; start "
                    "this one with it once, which brings it up to date"
                )
    except sqlite3.Error as error:
        raise StoreError(f"store {path} cannot be read: {error}; see --store") from error


def _open(path: Path, now: float) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            path, timeout=2.0, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise StoreError(
            f"cannot open store {path}: {error}; pass another file with --store"
        ) from error
    try:
        _prepare(connection, path)
        _set_watching_since(connection, now)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise StoreError(f"store {path} cannot be used: {error}; {_WAY_OUT}") from error
    except StoreError:
        connection.close()
        raise
    return connection


def _check_kind(connection: sqlite3.Connection, path: Path) -> int:
    """The version of a store of ours, 0 of an empty database.

    Raises:
        StoreError: it is something else, or of a version that is not known.
    """
    application, version, objects = (
        connection.execute(statement).fetchone()[0]
        for statement in (
            "PRAGMA application_id",
            "PRAGMA user_version",
            "SELECT count(*) FROM sqlite_master",
        )
    )
    if objects and application != _APPLICATION_ID:
        raise StoreError(f"store {path} is a database of another program; {_WAY_OUT}")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"store {path} has version {version}, written by a newer dashboard; this one knows "
            f"versions up to {SCHEMA_VERSION}: update it, or {_WAY_OUT}"
        )
    return int(version) if objects else 0


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    version = _check_kind(connection, path)
    if not version:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first page is written
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    if version:
        (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            why = " ".join(state.split())
            raise StoreError(f"store {path} is damaged ({why}); {_WAY_OUT}")
    if version == SCHEMA_VERSION:
        return
    connection.execute("BEGIN EXCLUSIVE")
    for statement in (_POINTS if version else _SCHEMA + _POINTS).split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _set_watching_since(connection: sqlite3.Connection, now: float) -> None:
    (last,) = connection.execute("SELECT max(last_second) FROM target").fetchone()
    if last is None or now - last > _BREAK_S:
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('watching_since', ?)", (now,))


def _kept(connection: sqlite3.Connection) -> Kept:
    size, pages, free = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count")
    )
    families = [row[0] for row in connection.execute("SELECT id FROM family")]
    # Coarser rows than these may begin before what they are made of.
    oldest = [_oldest(connection, level, families) for level in (LEVELS[0], LEVELS[len(FINE)])]
    there = [second for second in oldest if second is not None]
    return Kept(
        file_bytes=size * pages,
        used_bytes=size * (pages - free),
        raw_from=oldest[0],
        all_from=min(there, default=None),
    )


def _give_back(connection: sqlite3.Connection) -> None:
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    for _ in range(min(free, _PAGES)):
        # Python takes one step of a statement without rows, which is one page.
        connection.execute("PRAGMA incremental_vacuum(1)")


def _oldest(connection: sqlite3.Connection, level: int, families: list[int]) -> int | None:
    found = (
        connection.execute(
            f"SELECT min(id) FROM point_{level} WHERE id >= ? AND id < ?",
            (row_key(family, 0), row_key(family + 1, 0)),
        ).fetchone()[0]
        for family in families
    )
    return min((key & (1 << TIME_BITS) - 1 for key in found if key is not None), default=None)


def _memories(connection: sqlite3.Connection) -> dict[str, Memory]:
    rows = connection.execute(
        "SELECT key, series, vals, gone, started_s FROM memory JOIN target ON target = target.id"
    )
    return {
        key: Memory(
            zlib.decompress(series).decode().split("\n") if series else [],
            np.frombuffer(values, dtype="<f8").copy(),
            json.loads(gone),
            started,
        )
        for key, series, values, gone, started in rows
    }
