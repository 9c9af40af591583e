"""The bot's memory and its queue: what is written stays, whatever kills the bot, and nothing is done by two."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tools.bot.errors import StoreFault
from tools.bot.store import Store
from tools.bot.tasks import Task, Tasks

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
RUN = ("dev", "team-a", "exp-002", "exp-002-aaaaaaaa", "a" * 64)
OTHER = ("dev", "team-a", "exp-002", "exp-002-bbbbbbbb", "b" * 64)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "work" / "store.sqlite")


def test_a_comment_is_remembered_until_it_is_gone(store: Store) -> None:
    """One id for each merge request."""
    assert store.comment(7) is None
    store.note_comment(7, 100)
    store.note_comment(7, 101)
    assert store.comment(7) == 101
    store.note_comment(7, None)
    assert store.comment(7) is None


def test_a_run_shown_again_keeps_its_first_time(store: Store) -> None:
    """Who approved at one o'clock approved what was shown at noon, however often the comment was written since."""
    store.save_shown(7, "c" * 40, [RUN], NOON)
    store.save_shown(7, "c" * 40, [RUN], NOON + timedelta(hours=2))
    assert [(each.sha256, each.shown_at) for each in store.shown(7, "c" * 40, "dev")] == [("a" * 64, NOON)]


def test_another_run_in_its_place_has_its_own_time(store: Store) -> None:
    """When main changes what the same head would run, the old run is shown no longer and the new one is new."""
    store.save_shown(7, "c" * 40, [RUN], NOON)
    store.save_shown(7, "c" * 40, [OTHER], NOON + timedelta(hours=2))
    (shown,) = store.shown(7, "c" * 40)
    assert (shown.sha256, shown.shown_at) == ("b" * 64, NOON + timedelta(hours=2))


def test_heads_and_environments_are_kept_apart(store: Store) -> None:
    """What was shown for another head or environment does not count here."""
    store.save_shown(7, "c" * 40, [RUN], NOON)
    store.save_shown(7, "d" * 40, [], NOON)
    assert store.shown(7, "d" * 40) == []
    assert store.shown(7, "c" * 40, "prod") == []
    assert store.last_shown(7) == ("d" * 40, [])
    assert store.last_shown(8) is None


def test_verdicts_intents_and_runs_are_kept(store: Store, tmp_path: Path) -> None:
    """What was decided, what was about to be pushed and where runs stand survive a restart."""
    store.save_verdict("c" * 40, "dev", {"state": "decided", "runs": [], "reasons": []})
    store.save_intent("dev", "d" * 40, {"verdicts": {}})
    store.save_run("a" * 64, "exp-002-aaaaaaaa", {"state": "running"})
    store.close()
    again = Store(tmp_path / "work" / "store.sqlite")
    assert again.verdict("c" * 40, "dev") == {"state": "decided", "runs": [], "reasons": []}
    assert again.verdict("c" * 40, "prod") is None
    assert again.intents("dev") == [("d" * 40, {"verdicts": {}})]
    assert again.run("exp-002-aaaaaaaa") == again.run("a" * 64) == {"state": "running"}
    again.drop_intent("dev", "d" * 40)
    assert again.intents("dev") == []


def test_a_run_id_that_two_runs_have_names_neither(store: Store) -> None:
    """Eight characters may be shared; the full hash never is."""
    store.save_run("a" * 64, "exp-002-aaaaaaaa", {"state": "running"})
    store.save_run("b" * 64, "exp-002-aaaaaaaa", {"state": "failed"})
    assert store.run("exp-002-aaaaaaaa") is None
    assert store.run("b" * 64) == {"state": "failed"}


def test_a_store_that_is_no_database_says_what_to_check(tmp_path: Path) -> None:
    """A file of something else is a fault with a remedy."""
    (tmp_path / "store.sqlite").write_text("no database, but long enough to be looked at as one" * 50)
    with pytest.raises(StoreFault, match="check the disk"):
        Store(tmp_path / "store.sqlite")


def test_a_delivery_is_taken_once(store: Store) -> None:
    """GitLab's repetition of a webhook adds no work, one without a name is always taken."""
    tasks = Tasks(store)
    assert tasks.receive("d1", [("report", "7")])
    assert not tasks.receive("d1", [("report", "8")])
    assert tasks.receive(None, [("report", "7")])
    assert tasks.waiting() == {"report": 1}


def taken(tasks: Tasks) -> Task:
    """The next task, which must be there."""
    task = tasks.take()
    assert task is not None
    return task


def test_a_task_is_worked_on_by_one(store: Store) -> None:
    """While one works on a merge request, nobody else gets it; another merge request is free."""
    tasks = Tasks(store)
    tasks.ask("report", "7")
    tasks.ask("report", "8")
    assert {taken(tasks).key, taken(tasks).key} == {"7", "8"}
    assert tasks.take() is None


def test_what_is_asked_for_during_the_work_is_done_afterwards(store: Store) -> None:
    """A push during the report: the report may have read the old head, so it is made once more, and only once."""
    tasks = Tasks(store)
    tasks.ask("report", "7")
    first = taken(tasks)
    tasks.ask("report", "7")
    tasks.ask("report", "7")
    assert tasks.take() is None
    tasks.done(first)
    tasks.done(taken(tasks))
    assert tasks.take() is None
    assert tasks.waiting() == {}


def test_a_failed_task_waits_longer_each_time(store: Store) -> None:
    """Two, four, eight seconds; and it is not lost."""
    tasks = Tasks(store)
    tasks.ask("report", "7")
    task = taken(tasks)
    waits = [tasks.again(Task("report", "7", task.asked, tries, task.due)) for tries in range(20)]
    assert waits[:3] == [2.0, 4.0, 8.0]
    assert waits[-1] == 600.0
    assert tasks.take() is None
    assert tasks.waiting() == {"report": 1}


def test_many_open_a_store_that_is_not_there_yet(tmp_path: Path) -> None:
    """The first deliveries after an installation come at once; none finds the file locked or half made."""
    start = threading.Barrier(8)

    def opened(file: Path) -> None:
        start.wait()
        Store(file).close()

    with ThreadPoolExecutor(8) as pool:
        for turn in range(30):
            list(pool.map(opened, [tmp_path / str(turn) / "store.sqlite"] * 8))


def test_many_threads_take_each_task_once(store: Store, tmp_path: Path) -> None:
    """Eight workers on a hundred tasks: each task is taken exactly once."""
    for number in range(100):
        Tasks(store).ask("report", str(number))
    seen: list[str] = []

    def work() -> None:
        mine = Store(tmp_path / "work" / "store.sqlite")
        while (task := Tasks(mine).take()) is not None:
            seen.append(task.key)
            Tasks(mine).done(task)
        mine.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen, key=int) == [str(number) for number in range(100)]


KILLED = {
    "in the middle of a transaction": """
        with store.transaction() as db:
            db.execute("INSERT INTO comments VALUES (8, 1)")
            os.kill(os.getpid(), 9)
    """,
    "after taking a task": """
        Tasks(store).ask("report", "7")
        assert Tasks(store).take() is not None
        os.kill(os.getpid(), 9)
    """,
    "after receiving": """
        assert Tasks(store).receive("d1", [("report", "7")])
        os.kill(os.getpid(), 9)
    """,
}


@pytest.mark.parametrize("when", KILLED)
def test_kill_9_leaves_all_or_nothing(tmp_path: Path, when: str) -> None:
    """A killed bot: half a transaction is gone, a received event and a begun task are still to be done."""
    file = tmp_path / "store.sqlite"
    head = f"import os\nfrom pathlib import Path\nfrom tools.bot.store import Store\nfrom tools.bot.tasks import Tasks\nstore = Store(Path({str(file)!r}))\nstore.note_comment(7, 100)\n"
    done = subprocess.run([sys.executable, "-c", head + textwrap.dedent(KILLED[when])], check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    store = Store(file)
    assert (store.comment(7), store.comment(8)) == (100, None)
    Tasks(store).recover()
    assert Tasks(store).waiting() == ({} if "transaction" in when else {"report": 1})
    if "receiving" in when:
        assert not Tasks(store).receive("d1", [("report", "7")])
    if "task" in when or "receiving" in when:
        assert taken(Tasks(store)).key == "7"


def test_of_tasks_that_exclude_each_other_one_is_under_way(tmp_path: Path) -> None:
    """While one that writes main is under way the other waits, and tasks of other kinds are taken meanwhile."""
    tasks = Tasks(Store(tmp_path / "store.sqlite"))
    for kind in ("authorize", "reconcile", "report"):
        tasks.ask(kind, "")
    writers = ("authorize", "reconcile")
    first, second = tasks.take(writers), tasks.take(writers)
    assert first is not None
    assert second is not None
    assert (first.kind, second.kind, tasks.take(writers)) == ("authorize", "report", None)
    tasks.done(first)
    third = tasks.take(writers)
    assert third is not None
    assert third.kind == "reconcile"
