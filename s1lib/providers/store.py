"""The store: every answer received and every call sent, in one SQLite file.

An answer and the settling of its call are one transaction, flushed to disk, so that a process
killed at any moment loses nothing it had received. One process writes at a time (an advisory
lock that dies with its holder); anybody may read.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from s1lib.artifacts import RunError, alone

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, request TEXT, reply TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    batch TEXT,                    -- the batch it travelled in, if any
    dollars REAL NOT NULL,         -- reserved while in flight, then what it cost at most
    outcome TEXT                   -- NULL while in flight
);
CREATE TABLE IF NOT EXISTS batches (
    label TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    keys TEXT NOT NULL,
    made REAL NOT NULL,            -- seconds since 1970
    remote TEXT,                   -- the provider's name for it, once known
    open INTEGER DEFAULT 1
);
CREATE TABLE IF NOT EXISTS unclaimed (
    batch TEXT NOT NULL,           -- label of the batch that brought it
    place INTEGER NOT NULL,        -- among those of this batch
    reply TEXT NOT NULL,           -- an answer without its key: paid for, and nobody's
    PRIMARY KEY (batch, place)
);
CREATE TABLE IF NOT EXISTS pauses (
    key TEXT PRIMARY KEY,
    until REAL NOT NULL            -- seconds since 1970; the provider wants no try before
);
CREATE INDEX IF NOT EXISTS flying ON calls (key) WHERE outcome IS NULL;
"""
_SPARE = 64 * 2**20  # bytes that must stay free, so that an answer in flight can be stored


class Lost(NamedTuple):
    """Calls that were in flight when a process died: counted as spent at their worst case."""

    calls: int
    dollars: float


@dataclass
class Batch:
    """A batch that a provider works on. `sent` says that it may have arrived there."""

    label: str
    provider: str
    model: str
    keys: list[str]
    made: float
    remote: str | None = None
    sent: bool = False


class Store:
    """Answers by key, and a ledger of calls. Open it with `with`; raises only `RunError`.

    `write=False` reads beside a writer and takes no lock.
    """

    def __init__(self, path: str | Path, write: bool = True) -> None:
        self.path = Path(path)
        self.spent = 0.0
        self.lost = Lost(0, 0.0)
        with contextlib.ExitStack() as stack, self._errors():
            if write:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(alone(self.path.with_suffix(".lock"), self.path))
            mode = "rwc" if write else "ro"
            self._db = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None
            )
            stack.callback(self._db.close)
            if write:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.executescript(_SCHEMA)
                self._recover()
                (self.spent,) = self._db.execute("SELECT total(dollars) FROM calls").fetchone()
            self._close = stack.pop_all().close

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    # Answers

    def get(self, keys: Iterable[str]) -> dict[str, Any]:
        """The stored replies among `keys` (decoded JSON)."""
        query = "SELECT key, reply FROM answers WHERE key IN (SELECT value FROM json_each(?))"
        return {key: json.loads(text) for key, text in self._rows(query, json.dumps(list(keys)))}

    def put(self, replies: dict[str, Any]) -> None:
        """Store free replies (JSON values), all or none. The first stored answer stays."""
        with self._transaction():
            for key, reply in replies.items():
                self._insert(key, None, reply)

    def forget(self, keys: Iterable[str]) -> None:
        """Take stored replies away, so that they can be asked again."""
        with self._transaction():
            self._db.executemany("DELETE FROM answers WHERE key=?", [(key,) for key in keys])

    def accepted(self, request: dict[str, Any]) -> bool:
        """Whether a request like this, whatever its prompt, was ever taken by its provider."""
        like = [name for name in request if name not in ("prompt", "ask")]
        where = "".join(f"json_extract(request, '$.{name}') IS ? AND " for name in like)
        query = f"SELECT 1 FROM answers WHERE {where} json_extract(reply, '$.status') <> 'invalid'"
        values = [
            json.dumps(value, separators=(",", ":")) if isinstance(value, dict) else value
            for value in (request[name] for name in like)
        ]
        return bool(self._rows(f"{query} LIMIT 1", *values))

    # The ledger

    def send(self, key: str, reserved: float) -> int:
        """Note a call before it is sent; returns its id."""
        if shutil.disk_usage(self.path.parent).free < _SPARE:
            raise RunError(f"the disk of {self.path} is nearly full: free some space, run again")
        with self._errors():
            cursor = self._db.execute(
                "INSERT INTO calls (key, dollars) VALUES (?, ?)", (key, reserved)
            )
        self.spent += reserved
        return int(cursor.lastrowid or 0)

    def settle(
        self,
        call: int,
        dollars: float,
        outcome: str,
        request: Any = None,
        reply: Any = None,
        wait: float | None = None,
    ) -> None:
        """Note how a call ended and what it cost, with its answer or the pause it brought.

        `wait` is in seconds: the key is not to be asked again before, by whatever process.
        """
        with self._transaction():
            key, reserved = self._db.execute(
                "SELECT key, dollars FROM calls WHERE id=?", (call,)
            ).fetchone()
            if reply is not None:
                self._insert(key, request, reply)
            if wait:
                until = time.time() + wait
                self._db.execute("INSERT OR REPLACE INTO pauses VALUES (?, ?)", (key, until))
            self._db.execute(
                "UPDATE calls SET dollars=?, outcome=? WHERE id=?", (dollars, outcome, call)
            )
        self.spent = max(0.0, self.spent + dollars - reserved)  # not a hair below

    def send_batch(self, batch: Batch, reserved: dict[str, float]) -> None:
        """Note a batch, and one call per key, before it is sent."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO batches (label, provider, model, keys, made) VALUES (?, ?, ?, ?, ?)",
                (batch.label, batch.provider, batch.model, json.dumps(batch.keys), batch.made),
            )
            self._db.executemany(
                "INSERT INTO calls (key, batch, dollars) VALUES (?, ?, ?)",
                [(key, batch.label, reserved[key]) for key in batch.keys],
            )
        self.spent += sum(reserved.values())

    def name_batch(self, label: str, remote: str) -> None:
        """Note what the provider calls a batch."""
        self._rows("UPDATE batches SET remote=? WHERE label=?", remote, label)

    def end_batch(self, label: str) -> None:
        """Note that a batch is collected (all its calls are settled)."""
        self._rows("UPDATE batches SET open=0 WHERE label=?", label)

    def batches(self, provider: str) -> list[Batch]:
        """The batches of a provider that are still to be collected."""
        query = "SELECT label, model, keys, made, remote FROM batches WHERE open AND provider=?"
        return [
            Batch(label, provider, model, json.loads(keys), made, remote, sent=True)
            for label, model, keys, made, remote in self._rows(query, provider)
        ]

    def set_aside(self, label: str, replies: Iterable[Any]) -> None:
        """Keep answers of a batch (JSON values) of which nobody can say what they answer."""
        rows = [(label, place, _text(reply)) for place, reply in enumerate(replies)]
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO unclaimed VALUES (?, ?, ?)", rows)

    def remotes(self) -> set[str]:
        """The providers' names of all batches, open or not."""
        return {name for (name,) in self._rows("SELECT remote FROM batches")}

    def flying(self, label: str) -> dict[str, tuple[int, float]]:
        """What a batch still has in flight: by key, call id and reserved dollars."""
        query = "SELECT key, id, dollars FROM calls WHERE batch=? AND outcome IS NULL"
        return {key: (call, worst) for key, call, worst in self._rows(query, label)}

    def matched(self, provider: str) -> bool:
        """Whether a batch of this provider has ever brought answers under their keys."""
        query = (
            "SELECT 1 FROM calls JOIN batches ON batch = label "
            "WHERE provider=? AND outcome='answered' LIMIT 1"
        )
        return bool(self._rows(query, provider))

    def settled(self) -> float:
        """Dollars of all calls that have ended."""
        ((dollars,),) = self._rows("SELECT total(dollars) FROM calls WHERE outcome IS NOT NULL")
        return float(dollars)

    def pause(self, key: str) -> float:
        """Seconds for which a key is not to be asked."""
        rows = self._rows("SELECT until FROM pauses WHERE key=?", key)
        return max(0.0, rows[0][0] - time.time()) if rows else 0.0

    # Inside

    def _rows(self, query: str, *values: Any) -> list[Any]:
        """What a single statement answers."""
        with self._errors():
            return self._db.execute(query, values).fetchall()

    def _insert(self, key: str, request: Any, reply: Any) -> None:
        self._db.execute(
            "INSERT OR IGNORE INTO answers VALUES (?, ?, ?)",
            (key, request and json.dumps(request), _text(reply)),
        )

    def _recover(self) -> None:
        """Whatever was in flight when its process died may have cost its worst case."""
        where = "outcome IS NULL AND batch IS NULL"
        query = f"SELECT count(*), total(dollars) FROM calls WHERE {where}"
        self.lost = Lost(*self._db.execute(query).fetchone())
        self._db.execute(f"UPDATE calls SET outcome='killed' WHERE {where}")
        self._db.execute("DELETE FROM pauses WHERE until < ?", (time.time(),))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is within, or nothing."""
        with self._errors(), self._db:  # which commits, or rolls back what still can be
            self._db.execute("BEGIN IMMEDIATE")
            yield

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise RunError(
                f"{self.path} cannot be used ({error}): free disk space, or, if the file is "
                f"damaged, repair a copy with `sqlite3 {self.path.name} .recover`"
            ) from None


def _text(reply: Any) -> str:
    """JSON, which may hold half a surrogate pair as no UTF-8 file can: it becomes U+FFFD."""
    text = json.dumps(reply, ensure_ascii=False)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
