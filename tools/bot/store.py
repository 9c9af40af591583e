"""What the bot remembers: SQLite in its work folder, written in transactions, so that kill -9 leaves all or nothing.

Nothing here decides by itself: a lost store costs repeated comments' ids and the shown runs, hence a new report, never a run.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.bot.errors import StoreFault

BUSY_SECONDS = 30.0
KEEP_DELIVERIES = 30 * 86400  # seconds; GitLab repeats a webhook for hours at most
_SCHEMA = """
CREATE TABLE IF NOT EXISTS comments (iid INTEGER PRIMARY KEY, note INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS shown (
  iid INTEGER NOT NULL, head TEXT NOT NULL, environment TEXT NOT NULL, tenant TEXT NOT NULL, name TEXT NOT NULL,
  run_id TEXT NOT NULL, sha256 TEXT NOT NULL, shown_at TEXT NOT NULL,
  PRIMARY KEY (iid, head, environment, tenant, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS showing (
  iid INTEGER PRIMARY KEY, head TEXT NOT NULL, runs TEXT NOT NULL, body TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS heads (iid INTEGER PRIMARY KEY, head TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS verdicts (
  commit_sha TEXT NOT NULL, environment TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (commit_sha, environment)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS intents (
  environment TEXT NOT NULL, commit_sha TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (environment, commit_sha)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (sha256 TEXT PRIMARY KEY, run_id TEXT NOT NULL, data TEXT NOT NULL, at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS runs_by_id ON runs (run_id);
CREATE TABLE IF NOT EXISTS deliveries (key TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tasks (
  kind TEXT NOT NULL, key TEXT NOT NULL, asked INTEGER NOT NULL, begun INTEGER NOT NULL DEFAULT 0,
  tries INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


Runs = Iterable[tuple[str, str, str, str, str]]


@dataclass(frozen=True)
class Showing:
    """What a comment was about to show; `body` is the SHA-256 of its text."""

    iid: int
    head: str
    runs: list[tuple[str, str, str, str, str]]
    body: str
    at: datetime


@dataclass(frozen=True)
class Shown:
    """One run that the comment of a merge request showed; `shown_at` is when it first did for that head."""

    environment: str
    tenant: str
    name: str
    run_id: str
    sha256: str
    shown_at: datetime


class Store:
    """One connection; several threads and processes may each have their own."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._faults():
            file.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)
            with file.with_suffix(".lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # SQLite does not wait for its turn to change the journal's mode
                self._set_up()

    def _set_up(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # a power cut too
        if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
            self._db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")

    def close(self) -> None:
        """Give the file back."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, alone among writers."""
        with self._faults():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            remedy = "check the disk, and that `work` of the bot's settings is the bot's own folder"
            raise StoreFault(f"{self._file}: {error}; {remedy}") from None

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._faults():
            return self._db.execute(query, values).fetchall()

    # --- comments ------------------------------------------------------------------------------------------------------
    def comment(self, iid: int) -> int | None:
        """The id of our comment on a merge request, if it is known."""
        return next((int(row[0]) for row in self._rows("SELECT note FROM comments WHERE iid = ?", iid)), None)

    def note_comment(self, iid: int, note: int | None) -> None:
        """Remember the comment; None: it is gone."""
        with self.transaction() as db:
            if note is None:
                db.execute("DELETE FROM comments WHERE iid = ?", (iid,))
            else:
                db.execute("INSERT OR REPLACE INTO comments VALUES (?, ?)", (iid, note))

    def save_showing(self, iid: int, head_sha: str, runs: Runs, body: str, at: datetime) -> None:
        """What the comment is about to show, before it is written: `tools.bot.showing` finds out whether it was."""
        with self.transaction() as db:
            row = (iid, head_sha, json.dumps(list(runs)), body, _text(at))
            db.execute("INSERT OR REPLACE INTO showing VALUES (?, ?, ?, ?, ?)", row)

    def showing(self) -> list[Showing]:
        """Comments of which nobody knows whether they were written: the bot died, or GitLab's answer was lost."""
        rows = self._rows("SELECT iid, head, runs, body, at FROM showing ORDER BY iid")
        return [
            Showing(iid, head, [tuple(run) for run in json.loads(runs)], body, _time(at))
            for iid, head, runs, body, at in rows
        ]

    def drop_showing(self, iid: int) -> None:
        """It was not written."""
        with self.transaction() as db:
            db.execute("DELETE FROM showing WHERE iid = ?", (iid,))

    def save_shown(self, iid: int, head_sha: str, runs: Runs, at: datetime) -> None:
        """What the comment shows from now on for a head: (environment, tenant, name, run id, full hash) of each run.

        A run that it showed already keeps its time: who approved then approved this one.
        """
        with self.transaction() as db:
            before = {(row[0], row[1], row[2], row[4]): row[5] for row in self._shown(db, iid, head_sha)}
            db.execute("DELETE FROM shown WHERE iid = ? AND head = ?", (iid, head_sha))
            for environment, tenant, name, run_id, sha256 in runs:
                since = before.get((environment, tenant, name, sha256), _text(at))
                row = (iid, head_sha, environment, tenant, name, run_id, sha256, since)
                db.execute("INSERT OR REPLACE INTO shown VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            db.execute("INSERT OR REPLACE INTO heads VALUES (?, ?)", (iid, head_sha))
            db.execute("DELETE FROM showing WHERE iid = ?", (iid,))

    def shown(self, iid: int, head_sha: str, environment: str | None = None) -> list[Shown]:
        """What the comment shows for a head, in one environment or in all."""
        with self._faults():
            found = [
                Shown(environment, tenant, name, run_id, sha256, _time(at))
                for environment, tenant, name, run_id, sha256, at in self._shown(self._db, iid, head_sha)
            ]
        return [each for each in found if environment in {None, each.environment}]

    def last_shown(self, iid: int) -> tuple[str, list[Shown]] | None:
        """The head that was reported last, and its runs."""
        head = next((str(row[0]) for row in self._rows("SELECT head FROM heads WHERE iid = ?", iid)), None)
        return None if head is None else (head, self.shown(iid, head))

    @staticmethod
    def _shown(db: sqlite3.Connection, iid: int, head: str) -> list[tuple[Any, ...]]:
        query = """SELECT environment, tenant, name, run_id, sha256, shown_at FROM shown WHERE iid = ? AND head = ?
                   ORDER BY environment, tenant, name"""
        return db.execute(query, (iid, head)).fetchall()

    # --- verdicts and intents ------------------------------------------------------------------------------------------
    def save_verdict(self, commit: str, environment: str, verdict: dict[str, Any]) -> None:
        """What was decided about a commit of main: {"state": waiting | decided, "runs": [...], "reasons": [...]}."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?)", (commit, environment, json.dumps(verdict)))

    def verdict(self, commit: str, environment: str) -> dict[str, Any] | None:
        """What was decided, None before."""
        return self.verdicts(commit).get(environment)

    def verdicts(self, commit: str) -> dict[str, dict[str, Any]]:
        """What was decided in each environment."""
        rows = self._rows("SELECT environment, data FROM verdicts WHERE commit_sha = ? ORDER BY environment", commit)
        return {environment: json.loads(data) for environment, data in rows}

    def save_intent(self, environment: str, commit: str, payload: dict[str, Any]) -> None:
        """What is about to be pushed."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO intents VALUES (?, ?, ?)", (environment, commit, json.dumps(payload)))

    def intents(self, environment: str) -> list[tuple[str, dict[str, Any]]]:
        """What was about to be pushed: commit and payload."""
        rows = self._rows("SELECT commit_sha, data FROM intents WHERE environment = ?", environment)
        return [(commit, json.loads(data)) for commit, data in rows]

    def drop_intent(self, environment: str, commit: str) -> None:
        """It is done, or will never be."""
        with self.transaction() as db:
            db.execute("DELETE FROM intents WHERE environment = ? AND commit_sha = ?", (environment, commit))

    # --- runs ----------------------------------------------------------------------------------------------------------
    def save_run(self, sha256: str, run_id: str, data: dict[str, Any]) -> None:
        """The last known state of a run, as /runs/{run id} answers it."""
        with self.transaction() as db:
            row = (sha256, run_id, json.dumps(data), _text(datetime.now(UTC)))
            db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)", row)

    def run(self, name: str) -> dict[str, Any] | None:
        """A run by its full hash, or by its run id where only one has it."""
        rows = self._rows("SELECT data FROM runs WHERE sha256 = ? OR run_id = ?", name, name)
        return dict(json.loads(rows[0][0])) if len(rows) == 1 else None

    def following(self, over: Iterable[str]) -> list[int]:
        """Merge requests whose comment told of a run, where the run's last known state is none of `over`."""
        states = sorted(over)
        marks = ", ".join("?" * len(states))
        rows = self._rows(
            f"""SELECT DISTINCT told.key FROM runs, json_each(runs.data, '$.told') AS told
                WHERE json_extract(runs.data, '$.state') NOT IN ({marks})""",  # noqa: S608 - question marks alone
            *states,
        )
        return sorted(int(row[0]) for row in rows)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
