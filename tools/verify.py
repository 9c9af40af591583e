"""Whether an overlay is what was approved, from the clone alone: lock, content, signature, trailer and audit record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from tools.expand import audit, locks, overlay, store
from tools.findings import compose
from tools.formats.audit import path_of
from tools.formats.lock import Lock, is_sealed
from tools.repository import Repository
from tools.signatures import History

TRAILER = "Merge-Request"
_RESTORE = "restore it from git; only the bot writes here"


@dataclass
class Verified:
    """One overlay and what was found about it; without faults it is what was approved.

    commit: that which last wrote it. signed_by: fingerprint of the key; empty when no accepted key signed.
    """

    overlay: str
    run_id: str = ""
    sha256: str = ""
    commit: str = ""
    signed_by: str = ""
    merge_request: int | None = None
    approvers: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """As `--format json` prints it."""
        return {**asdict(self), "ok": not self.faults}


@dataclass(frozen=True)
class Verifier:
    """Verifies overlays of one clone.

    given: whether the keys were named on the command line: any of them will do then. Otherwise the key must be one of
    those that environments/<env>.yaml names, found in the caller's own keyring.
    """

    repository: Repository
    history: History
    given: bool

    def verify(self, folder: str) -> Verified:
        """Look at one overlay folder (relative to the root); every fault is named."""
        found = Verified(folder)
        parsed = locks.read(self.repository, folder)
        lock = parsed.value
        if lock is None or parsed.findings:
            found.faults += [f"{finding.place}: {finding.message}" for finding in parsed.findings]
            return found
        found.run_id, found.sha256 = lock.run_id, lock.sha256
        if lock.authorized is not None:
            found.merge_request, found.approvers = lock.authorized.merge_request, lock.authorized.approvers
        found.faults += _sealed(folder, lock)
        found.commit = self.history.last_commit(folder) or ""
        found.faults += self._content(folder, lock, found.commit)
        if found.commit:
            found.faults += self._signature(found, lock.run.environment)
            found.faults += self._trailer(lock, found.commit)
        found.faults += self._record(lock)
        return found

    def _content(self, folder: str, lock: Lock, commit: str) -> Iterator[str]:
        """Both what lies there and what was committed follow from the lock."""
        expected = overlay.files(lock)
        if not store.holds(self.repository.root / folder, expected):
            yield compose(f"{folder} is not what its lock gives", "those files, byte for byte", "`ft expand --check`")
        elif not commit:
            yield compose(f"{folder} was never committed", "overlays that the bot pushed", "`git pull`")
        elif self.history.names(commit, folder) != set(expected) or any(
            self.history.blob(commit, f"{folder}/{name}") != content for name, content in expected.items()
        ):
            yield compose(f"{folder} differs from commit {commit[:12]}, which last wrote it", "no difference", _RESTORE)

    def _signature(self, found: Verified, environment: str) -> Iterator[str]:
        fault, key = self._signed(found.commit, environment)
        found.signed_by = key
        if fault:
            yield fault

    def _signed(self, commit: str, environment: str) -> tuple[str, str]:
        """The fault of a commit's signature, or the fingerprint of the key."""
        signature = self.history.signature(commit)
        if signature.fault:
            remedy = (
                "give the bot's public key with --key FILE" if "key" in signature.fault else "find out who wrote it"
            )
            return compose(f"commit {commit[:12]}: {signature.fault}", "commits signed by the bot", remedy), ""
        known = self.repository.environment(environment)
        ids = known.git.signing_keys if known is not None and known.git is not None else []
        if not self.given and not signature.is_of(ids):
            allowed = f"{', '.join(ids) or 'none'} (git.signing_keys of environments/{environment}.yaml)"
            return compose(f"commit {commit[:12]} is signed by {signature.keys[0]}", allowed, "find out who signed"), ""
        return "", signature.keys[0]

    def _trailer(self, lock: Lock, commit: str) -> Iterator[str]:
        if lock.authorized is None:
            allowed = "overlays that the bot wrote for an approved merge request"
            yield compose(f"{lock.run_id} is not authorized", allowed, "remove the overlay; nothing may run it")
            return
        wanted = f"!{lock.authorized.merge_request}"
        trailers = self.history.trailers(commit, TRAILER)
        if wanted not in trailers:
            found = f"commit {commit[:12]} names merge request {', '.join(trailers) or 'none'}"
            yield compose(found, f"{TRAILER}: {wanted}, which its lock names", "find out who wrote it")

    def _record(self, lock: Lock) -> Iterator[str]:
        """The audit record says the same as the lock, and the bot signed it too."""
        file = path_of(lock)
        parsed = audit.read(self.repository, file)
        if parsed.value is None or parsed.findings:
            yield compose(f"{file} is missing or no audit record", "a record for each run", _RESTORE)
            return
        yield from (compose(fault, f"what {file} says", _RESTORE) for fault in audit.disagreements(parsed.value, lock))
        commit = self.history.last_commit(file)
        if commit is None or self.history.blob(commit, file) != (self.repository.root / file).read_bytes():
            yield compose(f"{file} differs from git", "what the bot committed", _RESTORE)
            return
        fault, _ = self._signed(commit, lock.run.environment)
        if fault:
            yield f"{file}: {fault}"


def _sealed(folder: str, lock: Lock) -> Iterator[str]:
    if not is_sealed(lock):
        yield compose(f"{folder}: hash and run id are not those of the lock's content", "both computed", _RESTORE)
    if overlay.folder(lock.run) != folder:
        yield compose(f"the lock belongs to {overlay.folder(lock.run)}", "each lock in its own folder", _RESTORE)
