"""Threads that take tasks from the queue, and the clock that asks for what events may have missed."""

from __future__ import annotations

import logging
import threading
import time

from tools.bot.serve import metrics, work
from tools.bot.settings import BotSettings
from tools.bot.store import Store
from tools.bot.tasks import Task, Tasks
from tools.errors import FtError
from tools.formats.base import seconds

THREADS = 4
LOOK = 0.5  # seconds: a task's wait may end, or another process ask, without a call of `wake`
_log = logging.getLogger("ft.bot")


class Workers:
    """Some threads; `stop` lets each finish its task, and what does not end in time is done again after the next start."""

    def __init__(self, settings: BotSettings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._work = threading.Condition()
        # Daemons: a task that hangs must not keep a stopped bot alive; its work is in the queue still.
        names = [f"worker-{number}" for number in range(THREADS)]
        self._threads = [threading.Thread(target=self._take_turns, name=name, daemon=True) for name in names]
        self._threads.append(threading.Thread(target=self._keep_time, name="clock", daemon=True))

    def start(self) -> None:
        """Take up what a killed bot left, then begin."""
        store = self._settings.open_store()
        left = Tasks(store).recover()
        store.close()
        if left:
            _log.info("%d task(s) of an interrupted bot are done again", left)
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Something was asked for."""
        with self._work:
            self._work.notify()

    def stop(self, grace: float) -> bool:
        """Take no more tasks; whether all threads ended within `grace` seconds."""
        self._stopping.set()
        with self._work:
            self._work.notify_all()
        end = time.monotonic() + grace
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return self.ended

    @property
    def ended(self) -> bool:
        """Whether no thread runs any more."""
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def healthy(self) -> bool:
        """Whether all threads run."""
        return all(thread.is_alive() for thread in self._threads)

    def _take_turns(self) -> None:
        store = self._settings.open_store()
        while not self._stopping.is_set():
            try:
                task = Tasks(store).take(work.WRITERS)
                if task is not None:
                    self._do(task, store)
                    continue
            except FtError:
                _log.exception("the queue cannot be read")
            with self._work:
                self._work.wait(LOOK)
        store.close()

    def _do(self, task: Task, store: Store) -> None:
        begun, result = time.time(), "failed"
        try:
            code = work.do(task, self._settings)
            result = "done" if code == 0 else "findings"
            Tasks(store).done(task)
            _log.info("%s %s: done with %d in %.1f s", task.kind, task.key, code, time.time() - begun)
        except FtError as error:
            wait = Tasks(store).again(task)
            _log.warning("%s %s: %s (again in %.0f s)", task.kind, task.key, error, wait)
        except Exception:  # noqa: BLE001 - one task's fault must not end the thread that all tasks need
            wait = Tasks(store).again(task)
            _log.exception("%s %s: a fault of the bot (again in %.0f s)", task.kind, task.key, wait)
        metrics.TASKS.labels(task.kind, result).inc()
        metrics.SECONDS.labels(task.kind).observe(time.time() - begun)
        metrics.DELAY.labels(task.kind).observe(time.time() - task.due)

    def _keep_time(self) -> None:
        """At the start, and again and again: what a lost webhook would have asked for."""
        store = self._settings.open_store()
        follow, reconcile = seconds(self._settings.follow_every), seconds(self._settings.reconcile_every)
        next_follow = next_reconcile = 0.0
        while not self._stopping.is_set():
            now = time.monotonic()
            kinds = []
            if now >= next_follow:
                next_follow, kinds = now + follow, ["follow"]
            if now >= next_reconcile:
                next_reconcile, kinds = now + reconcile, [*kinds, "missed", "authorize", "reconcile", "retire"]
            try:
                for kind in kinds:
                    Tasks(store).ask(kind, "")
                metrics.waiting(Tasks(store).waiting())
            except FtError:
                _log.exception("the queue cannot be written")
            self._stopping.wait(LOOK)
        store.close()
