"""The bot's queue, in its store: what a webhook or the clock asked for stays until it is done, through kill -9 and restarts.

A task is a kind and a key (`report` of merge request 12). Asking again while it waits changes nothing; asking while it runs
makes it run once more afterwards, as what it read may be old by then.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from tools.bot.store import KEEP_DELIVERIES, Store

FIRST_WAIT, LONGEST_WAIT = 2.0, 600.0  # seconds between tries


@dataclass(frozen=True)
class Task:
    """One piece of work; `asked` tells whether somebody asked again while it ran, `due` since when it could be done."""

    kind: str
    key: str
    asked: int
    tries: int
    due: float


class Tasks:
    """The queue over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def recover(self) -> int:
        """What ran when the bot ended without warning waits again; how many those are."""
        with self._store.transaction() as db:
            return db.execute("UPDATE tasks SET begun = 0 WHERE begun = 1").rowcount

    def ask(self, kind: str, key: str, *, after: float = 0.0) -> None:
        """Ask for work, `after` seconds from now at the latest."""
        with self._store.transaction() as db:
            db.execute(_ASK, (kind, key, time.time() + after))

    def receive(self, delivery: str | None, wanted: list[tuple[str, str]]) -> bool:
        """Take a webhook's work; False when this very delivery came before. Both or neither is remembered."""
        now = time.time()
        with self._store.transaction() as db:
            if delivery is not None:
                db.execute("DELETE FROM deliveries WHERE at < ?", (now - KEEP_DELIVERIES,))
                if not db.execute("INSERT OR IGNORE INTO deliveries VALUES (?, ?)", (delivery, now)).rowcount:
                    return False
            for kind, key in wanted:
                db.execute(_ASK, (kind, key, now))
        return True

    def take(self, one_of: Collection[str] = ()) -> Task | None:
        """The next task that is due; nobody else gets it until `done` or `again`.

        one_of: kinds of which only one task may be under way at a time; the others wait, and hold no thread up.
        """
        marks = ", ".join("?" * len(one_of))
        with self._store.transaction() as db:
            query = f"""SELECT kind, key, asked, tries, due FROM tasks WHERE begun = 0 AND due <= ?
                        AND (kind NOT IN ({marks}) OR NOT EXISTS (
                            SELECT 1 FROM tasks WHERE begun = 1 AND kind IN ({marks})))
                        ORDER BY due LIMIT 1"""  # noqa: S608 - question marks alone
            row = db.execute(query, (time.time(), *one_of, *one_of)).fetchone()
            if row is None:
                return None
            db.execute("UPDATE tasks SET begun = 1 WHERE kind = ? AND key = ?", row[:2])
        return Task(*row)

    def done(self, task: Task) -> None:
        """Finished; it stays when it was asked for again meanwhile."""
        with self._store.transaction() as db:
            db.execute("DELETE FROM tasks WHERE kind = ? AND key = ? AND asked = ?", (task.kind, task.key, task.asked))
            db.execute(
                "UPDATE tasks SET begun = 0, tries = 0, due = ? WHERE kind = ? AND key = ?",
                (time.time(), task.kind, task.key),
            )

    def again(self, task: Task, *, at_once: bool = False) -> float:
        """Not finished; it waits longer each time. Returns the seconds of the wait."""
        wait = 0.0 if at_once else min(FIRST_WAIT * 2**task.tries, LONGEST_WAIT)
        with self._store.transaction() as db:
            db.execute(
                "UPDATE tasks SET begun = 0, tries = ?, due = ? WHERE kind = ? AND key = ?",
                (task.tries + (not at_once), time.time() + wait, task.kind, task.key),
            )
        return wait

    def waiting(self) -> dict[str, int]:
        """How many tasks of each kind are not finished."""
        with self._store.transaction() as db:
            return dict(db.execute("SELECT kind, count(*) FROM tasks GROUP BY kind").fetchall())


_ASK = """INSERT INTO tasks (kind, key, asked, due) VALUES (?, ?, 1, ?)
          ON CONFLICT DO UPDATE SET asked = asked + 1, due = min(due, excluded.due)"""
