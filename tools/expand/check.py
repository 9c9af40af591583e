"""Regenerates every overlay from its lock and compares both ways: nothing changed, missing, left over or unaccounted for.

Every audit record is looked at as well, and that of each authorized lock says the same as the lock. An experiment without an
overlay is no fault: nobody has authorized it yet, or its run was retired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tools.expand import audit, base, locks, overlay, platform, serving, serving_check, tenant, tenant_removal
from tools.expand.experiments import differences
from tools.findings import Finding, compose
from tools.formats.digest import digest
from tools.formats.experiment import Experiment
from tools.formats.lock import Lock, is_sealed
from tools.formats.parse import parse
from tools.formats.platform_lock import PlatformLock
from tools.formats.tenant_lock import TenantLock
from tools.repository import Repository
from tools.validate import Result

T = TypeVar("T", TenantLock, PlatformLock)
_REMEDY = "restore it from git; only the bot writes here"


def check(repository: Repository, only: Sequence[str] | None = None) -> Result:
    """All locks and audit records, and all faults of both and of the bases that the locks use, sorted by place.

    only: overlay folders of experiments; nothing else is regenerated then.
    """
    bases: set[str] = set()
    findings = list(_strangers(repository))
    runs = locks.runs(repository) if only is None else [*only]
    for folder in runs:
        findings += _run(repository, folder, bases)
    files = [f"{folder}/{overlay.LOCK_FILE}" for folder in runs]
    if only is None:
        rest = _rest(repository, bases)
        files += rest.files
        findings += rest.findings
    for each in sorted(bases):
        findings += base.check(repository.root, each)
    return Result(files, sorted(findings))


def _rest(repository: Repository, bases: set[str]) -> Result:
    """Tenants' and the platform's own overlays, and the audit records."""
    findings: list[Finding] = []
    tenants, platforms, records = locks.tenants(repository), locks.platforms(repository), audit.files(repository)
    for folder in tenants:
        findings += _tenant(repository, folder)
        findings += tenant_removal.check(repository, folder)
    for folder in platforms:
        findings += _platform(repository, folder)
    served = serving.folders(repository)
    for folder in served:
        findings += _served(repository, folder, bases)
    for file in records:
        findings += audit.check(repository, file)
    return Result([*(f"{folder}/{tenant.LOCK_FILE}" for folder in [*tenants, *platforms, *served]), *records], findings)


def _strangers(repository: Repository) -> Iterator[Finding]:
    """Whatever lies in overlays/ where only folders of generated files may."""
    root = repository.root / locks.OVERLAYS
    levels = (root, *locks.folders(root), *(child for parent in locks.folders(root) for child in locks.folders(parent)))
    for level in levels:
        if level.name == platform.PLATFORM:  # holds files itself, which `_platform` compares
            continue
        known = {path.name for path in locks.folders(level)}
        for path in sorted(level.iterdir()) if level.is_dir() else []:
            if path.name not in known:
                yield _leftover(repository, path)
    yield from (_leftover(repository, path) for path in serving_check.strangers(repository))


def _run(repository: Repository, folder: str, bases: set[str]) -> Iterator[Finding]:
    file = f"{folder}/{overlay.LOCK_FILE}"
    parsed = locks.read(repository, folder)
    lock = parsed.value
    if lock is None or parsed.findings:
        yield from parsed.findings
        return
    if not is_sealed(lock):
        found = "sha256 and run_id are not those of `run`"
        yield parsed.document.finding(("sha256",), "expand-hash", found, "a lock as `ft expand` made it", _REMEDY)
    elif overlay.folder(lock.run) != folder:
        found = f"the lock belongs to {overlay.folder(lock.run)}"
        yield parsed.document.finding(("run", "name"), "expand-path", found, "each lock in its own folder", _REMEDY)
    else:
        bases.add(f"{base.TRAINING}/{lock.run.base}")
        yield from _compare(repository, folder, overlay.files(lock))
        yield from _experiment(repository, lock, file)
        yield from audit.accounted(repository, parsed, lock)


def _experiment(repository: Repository, lock: Lock, file: str) -> Iterator[Finding]:
    """The experiment that the lock was made of must still say the same."""
    source = f"experiments/{lock.run.tenant}/{lock.run.name}.yaml"
    if not (repository.root / source).is_file():
        found, remedy = f"{source} is gone", "put the experiment back; `state: cancelled` in it removes the overlay"
        yield Finding(
            file, 1, 1, "expand-experiment", "error", compose(found, "an experiment for each overlay", remedy)
        )
        return
    parsed = parse(Experiment, repository.document(source))
    if parsed.value is None or parsed.findings:
        yield from parsed.findings
    elif changed := differences(parsed.value, lock):
        found = f"{', '.join(changed)} changed after the experiment was authorized ({file})"
        remedy = "copy it to a file with a new name and undo the change here"
        yield parsed.document.finding((changed[0],), "expand-experiment", found, "changes of state and attempt", remedy)


def _administered(
    repository: Repository, folder: str, cls: type[T], generated: Callable[[T], tuple[str, Mapping[str, bytes]]]
) -> Iterator[Finding]:
    """A tenant's or the platform's own overlay; `generated` gives the folder and the files that its lock stands for."""
    parsed = parse(cls, repository.document(f"{folder}/{tenant.LOCK_FILE}"))
    lock = parsed.value
    if lock is None or parsed.findings:
        yield from parsed.findings
        return
    if lock.sha256 != digest(lock.content):
        found = "sha256 is not that of `content`"
        yield parsed.document.finding(("sha256",), "expand-hash", found, "a lock as `ft expand` made it", _REMEDY)
        return
    own, files = generated(lock)
    if own != folder:
        found = f"the lock belongs to {own}"
        place = ("content", "name" if cls is TenantLock else "environment")
        yield parsed.document.finding(place, "expand-path", found, "each lock in its own folder", _REMEDY)
    else:
        yield from _compare(repository, folder, files)


def _tenant(repository: Repository, folder: str) -> Iterator[Finding]:
    def generated(lock: TenantLock) -> tuple[str, Mapping[str, bytes]]:
        return tenant.folder(lock.content), tenant.files(lock)

    yield from _administered(repository, folder, TenantLock, generated)


def _platform(repository: Repository, folder: str) -> Iterator[Finding]:
    def generated(lock: PlatformLock) -> tuple[str, Mapping[str, bytes]]:
        return platform.folder(lock.content), platform.files(lock)

    yield from _administered(repository, folder, PlatformLock, generated)


def _served(repository: Repository, folder: str, bases: set[str]) -> Iterator[Finding]:
    faults, lock = serving_check.check(repository, folder)
    yield from faults
    if lock is not None:
        bases.add(f"{base.SERVING}/{lock.content.base}")
        yield from _compare(repository, folder, serving.files(lock))


def _compare(repository: Repository, folder: str, expected: Mapping[str, bytes]) -> Iterator[Finding]:
    """The folder against the files that its lock gives."""
    root = repository.root / folder
    for path in sorted(root.iterdir()):
        if path.name not in expected or path.is_symlink() or not path.is_file():
            yield _leftover(repository, path)
    for name, content in expected.items():
        path = root / name
        if not path.exists():
            found = f"{name} is missing"
            yield Finding(f"{folder}/{name}", 1, 1, "expand-missing", "error", compose(found, "all files", _REMEDY))
        elif path.is_file() and (found_bytes := path.read_bytes()) != content:
            yield _different(f"{folder}/{name}", found_bytes, content)


def _leftover(repository: Repository, path: Path) -> Finding:
    file = path.relative_to(repository.root).as_posix()
    message = compose(f"{path.name} is no generated file", "what `ft expand` writes and nothing else", "delete it")
    return Finding(file, 1, 1, "expand-leftover", "error", message)


def _different(file: str, found: bytes, expected: bytes) -> Finding:
    """The first line that differs."""
    there, wanted = found.decode("utf-8", "replace").split("\n"), expected.decode().split("\n")
    pairs = enumerate(zip(there, wanted, strict=False))
    line = next((index for index, (a, b) in pairs if a != b), min(len(there), len(wanted)) - 1)
    allowed = f'"{wanted[line].strip()}", which its lock gives'
    message = compose(f'"{there[line].strip()}"', allowed, _REMEDY)
    return Finding(file, line + 1, 1, "expand-changed", "error", message)
