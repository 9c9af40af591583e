"""What an absent MLflow costs a step: `python -m runner train` beside a server that works and four that do not, alternating.

The working one is a real `mlflow server`, so that both sides talk HTTP. The others hang behind an accepted connection, refuse it, or
answer every request with 500 or 429.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.measure import BenchError, Measure
from bench.options import RUNNER_PYTHON, Options
from bench.runner_share import EVERY, Training, forget, lay_out, per_step, runner_command, train
from bench.table import Row

NAME = "outage"
STEPS = 40
QUICK_STEPS = 20
ROUNDS = 3
GOAL = 1.01
START_SECONDS = 120.0
_WORKS = "works"


def rows(options: Options) -> Iterator[Row]:
    """A step beside the working server, then beside each other one."""
    if not RUNNER_PYTHON.exists():
        yield Row(NAME, "python -m runner train", None, remark="no .venv-runner; make setup-runner")
        return
    steps = QUICK_STEPS if options.quick else STEPS
    lay_out(options, steps)
    trainings: dict[str, list[Training]] = {}
    with ExitStack() as stack:
        servers = {_WORKS: stack.enter_context(_mlflow(options))} | {
            "hangs": stack.enter_context(_answering(None)),
            "refuses": f"http://127.0.0.1:{_free_port()}",
            "answers 500": stack.enter_context(_answering(500)),
            "answers 429": stack.enter_context(_answering(429)),
        }
        for _ in range(1 if options.quick else ROUNDS):
            for name, address in servers.items():
                forget(options)
                found = train(runner_command(options, "run"), options, steps // EVERY + 1, mlflow=address)
                trainings.setdefault(name, []).append(found)
    measured = {name: per_step(found, steps - 1) for name, found in trainings.items()}
    yield from _rows(measured)


def _rows(measured: dict[str, Measure]) -> Iterator[Row]:
    works = measured[_WORKS]
    yield Row(NAME, f"MLflow {_WORKS}", works, unit="step", remark="CPU with the sender's")
    for name, found in measured.items():
        if name != _WORKS:
            share = f"{found.cpu / works.cpu - 1:+.1%} CPU, {found.wall / works.wall - 1:+.1%} wall"
            yield Row(NAME, f"MLflow {name}", found, unit="step", goal=works.cpu * GOAL, remark=share)


@contextmanager
def _mlflow(options: Options) -> Iterator[str]:
    """A real server with a database of its own; its address.

    Raises:
        BenchError: it does not answer in two minutes.
    """
    address = f"http://127.0.0.1:{(port := _free_port())}"
    store = [
        "--backend-store-uri",
        f"sqlite:///{options.work}/server.db",
        "--artifacts-destination",
        options.work / "artifacts",
    ]
    command = [RUNNER_PYTHON, "-m", "mlflow", "server", *store, "--host", "127.0.0.1", "--port", port, "--workers", 1]
    with (options.work / "server.log").open("wb") as log:
        server = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, start_new_session=True)
        try:
            end = time.monotonic() + START_SECONDS
            while not _listens(port):
                if server.poll() is not None or time.monotonic() > end:
                    text = (options.work / "server.log").read_text(errors="replace")[-1000:]
                    raise BenchError(f"mlflow server does not answer: {text}")
                time.sleep(0.2)
            yield address
        finally:
            os.killpg(server.pid, signal.SIGTERM)  # its workers too
            server.wait()


@contextmanager
def _answering(status: int | None) -> Iterator[str]:
    """A server that gives every request this answer, or none; its address."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            if status is None:
                over.wait()
                self.close_connection = True
            else:
                super().handle_one_request()

        def answer(self) -> None:
            assert status is not None
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_PATCH = answer  # noqa: N815 - names that the base class looks for

        def log_message(self, *_: object) -> None:
            """Nothing is written about requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
