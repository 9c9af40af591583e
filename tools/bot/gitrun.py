"""Git as a child process that nothing on the machine or in a repository can steer: no hooks, filters, prompts or user settings.

The token reaches git through a credential helper that reads its file: it is in no argument, no environment and no log.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tools.bot.errors import MirrorAway, MirrorFault

LOCAL_SECONDS, REMOTE_SECONDS = 120.0, 180.0
_HELPER = (
    '!f() { test "$1" = get && echo username=oauth2 && printf \'password=%s\\n\' "$(cat "$FT_BOT_TOKEN_FILE")"; }; f'
)
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "credential.helper=",
    f"credential.helper={_HELPER}",
    "diff.external=",
    "fetch.recurseSubmodules=no",
    "gc.auto=0",
    "gpg.format=openpgp",
    "gpg.program=gpg",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
    "maintenance.auto=false",
    "protocol.allow=never",
    "protocol.file.allow=always",
    "protocol.http.allow=always",
    "protocol.https.allow=always",
    "submodule.recurse=false",
)
_AWAY = (
    "could not resolve", "couldn't connect", "failed to connect", "timed out", "connection re", "broken pipe",
    "returned error: 5", "returned error: 429", "early eof", "remote end hung up", "operation too slow", "empty reply",
    "unexpected disconnect",
)  # fmt: skip
_NO = (
    "authentication failed", "returned error: 401", "returned error: 403", "returned error: 404", "not found",
    "could not read username",
)  # fmt: skip


class Git:
    """One bare repository; `lock` is a file descriptor that children keep open, so that the lock outlives a killed bot."""

    def __init__(self, folder: Path, token_file: Path | None, gnupghome: Path | None) -> None:
        self.folder = folder
        self.lock: int | None = None
        passed = {
            name: os.environ[name]
            for name in ("PATH", "GIT_SSL_CAINFO", "https_proxy", "http_proxy", "no_proxy")
            if name in os.environ
        }
        self.environment = {
            **passed,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "HOME": str(folder),
        }
        if token_file is not None:
            self.environment["FT_BOT_TOKEN_FILE"] = str(token_file)
        if gnupghome is not None:
            self.environment["GNUPGHOME"] = str(gnupghome)

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        seconds: float = LOCAL_SECONDS,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run to the end, whatever the exit code.

        Raises:
            MirrorAway: it took longer than `seconds`.
        """
        with self._start(
            arguments, subprocess.PIPE if stdin is not None else subprocess.DEVNULL, environment
        ) as process:
            try:
                out, err = process.communicate(stdin, timeout=seconds)
            except subprocess.TimeoutExpired:
                raise MirrorAway(
                    f"git {arguments[0]}: no end within {seconds:.0f} s; the bot tries again later"
                ) from None
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def out(self, *arguments: str, stdin: bytes | None = None, environment: Mapping[str, str] | None = None) -> bytes:
        """What git prints.

        Raises:
            MirrorFault: it failed.
        """
        done = self.run(*arguments, stdin=stdin, environment=environment)
        if done.returncode:
            raise fault(arguments[0], done.stderr)
        return done.stdout

    @contextmanager
    def reading(self, arguments: Sequence[str], stdin: IO[bytes]) -> Iterator[IO[bytes]]:
        """Git's output as a stream."""
        with self._start(arguments, stdin, None) as process:
            assert process.stdout is not None
            yield process.stdout

    @contextmanager
    def _start(
        self, arguments: Sequence[str], stdin: int | IO[bytes], environment: Mapping[str, str] | None
    ) -> Iterator[subprocess.Popen[bytes]]:
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        process = subprocess.Popen(
            ["git", *settings, f"--git-dir={self.folder}", *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**self.environment, **(environment or {})},
            pass_fds=() if self.lock is None else (self.lock,),
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # git's own children too
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


def fault(what: str, stderr: bytes) -> MirrorFault:
    """The error for git's words; only the last line of them, which names no credential."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    said = lines[-1][:300] if lines else "it said nothing"
    lower = " ".join(lines).lower()
    if any(word in lower for word in _NO):
        return MirrorFault(
            f"git {what}: {said}; give the bot's account the role Maintainer and its token the scope api"
        )
    if any(word in lower for word in _AWAY):
        return MirrorAway(f"git {what}: {said}; the bot tries again later")
    return MirrorFault(f"git {what}: {said}")
