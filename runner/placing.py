"""models/merged-model/<model_name>/<run id>: merged, certified and described aside, then moved in by one rename.

Each step is skipped when its result is there and valid: a kill costs the step that it hit, never a finished merge.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner import card, certify, merge, staging, symptoms
from runner.certify import certificate
from runner.certify.certificate import Certificate
from runner.certify.merged import Merged, of_copy, of_merge
from runner.completion import Completion
from runner.events import emit, message
from runner.exits import BadSpec, Mismatch, Retry
from runner.hashing import faults, names_in, record, sha256_of, sync, sync_tree
from runner.provenance import tags
from runner.publication import NAME, Publication
from runner.records import Damaged, read
from runner.staging import Staging
from runner.storage import Paths, exclusive

LOCK = ".publish.lock"
HASH_TAG = "publication_sha256"
# Files are written for their owner alone; the process that serves the model has another UID.
FOLDER_MODE, FILE_MODE = 0o755, 0o644


def place(paths: Paths, proof: Completion) -> Path:
    """Make sure that the published folder is there and valid, and return it.

    One publisher of a model name works at a time; the second one waits, and then finds the folder.

    Raises:
        Mismatch: the folder is there but differs from its record. It is immutable, so it is not replaced. Or the merged
            model is not base + adapter.
    """
    parent = paths.merged.parent
    parent.mkdir(parents=True, exist_ok=True)
    signer = card.signer(paths.lock)
    with exclusive(parent / LOCK, wait=True):
        if paths.merged.exists():
            staging.sweep(paths)
            verify(paths)
            _emit("merge", paths.merged, skipped=True)
            return paths.merged
        staged = staging.claim(paths)
        with _kept_or_removed(staged):
            made = _certified(paths, proof, staged)
            card.describe(paths.lock, proof, made, staged.model, signer)
            _emit("describe", staged.model, skipped=False)
            _record(paths, made, staged.model)
            _open_to_readers(staged.model)
            sync_tree(staged.model)
            staged.model.rename(paths.merged)
            sync(parent)
        staged.remove()
        _emit("place", paths.merged, skipped=False)
    return paths.merged


def stage(paths: Paths, proof: Completion) -> Certificate:
    """Merge and certify, and leave both staged: `publish` goes on from there.

    Raises:
        Mismatch: the model is published already, or is not base + adapter.
    """
    parent = paths.merged.parent
    parent.mkdir(parents=True, exist_ok=True)
    with exclusive(parent / LOCK, wait=True):
        if paths.merged.exists():
            raise Mismatch(f"{paths.merged} is published already", "read its certificate.json, or `ft verify model` it")
        staged = staging.claim(paths)
        with _kept_or_removed(staged):
            return _certified(paths, proof, staged)


def verify(paths: Paths) -> Publication:
    """The record of the published folder, every file compared with it.

    Raises:
        Mismatch: record or files are missing, changed or of another run.
    """
    remedy = f"find out who changed it, then move {paths.merged} away and publish again"
    try:
        found = read(Publication, paths.merged / NAME)
        read(Certificate, paths.merged / certificate.NAME)
    except FileNotFoundError as error:
        raise Mismatch(f"{error.filename}: missing", remedy) from error
    except Damaged as error:
        raise Mismatch(str(error), remedy) from error
    if found.run_sha256 != paths.lock.sha256:
        raise Mismatch(f"{paths.merged / NAME} is of the run {found.run_sha256}; allowed: {paths.lock.sha256}", remedy)
    wrong = faults(paths.merged, found.files)
    if wrong:
        raise Mismatch("\n".join(wrong), remedy)
    return found


def published_tag(paths: Paths) -> dict[str, str]:
    """What a promotion compares the folder with: the hash of the file that has the hashes of all others."""
    return {HASH_TAG: sha256_of(paths.merged / NAME)}


def _certified(paths: Paths, proof: Completion, stage: Staging) -> Certificate:
    """The certificate of the staged model, and nothing else beside the model's files."""
    found = stage.merged(paths.lock.sha256)
    if found is not None and (wrong := faults(stage.model, found.result)):
        message("\n".join([*wrong, "merged again"]))
        found = None
    skipped = found is not None
    if found is None:
        found = _merged(paths, proof, stage)
    _emit("merge", stage.model, skipped=skipped)
    for name in names_in(stage.model):
        if name not in found.result and name != certificate.NAME:
            (stage.model / name).unlink()  # of a publisher that was killed while it described the model
    made = _earlier(stage, found)
    skipped = made is not None
    if made is None:
        made = certify.certify(paths, proof, found, stage.model)
        made.write(stage.model / certificate.NAME)
        made = read(Certificate, stage.model / certificate.NAME)
    _emit("certify", stage.model, skipped=skipped)
    return made


def _merged(paths: Paths, proof: Completion, stage: Staging) -> Merged:
    stage.empty()
    report = merge.build(paths, proof, stage.model)
    found = of_copy(paths, proof, stage.model) if report is None else of_merge(paths, report)
    stage.keep(found)
    return found


def _earlier(stage: Staging, merged: Merged) -> Certificate | None:
    """The certificate that is there already, if it vouches for these very files."""
    try:
        found = read(Certificate, stage.model / certificate.NAME)
    except (FileNotFoundError, Damaged):
        return None
    same = found.run_sha256 == merged.run_sha256 and found.result == merged.result
    return found if same and not certificate.faults(found) else None


@contextmanager
def _kept_or_removed(stage: Staging) -> Iterator[None]:
    """After a fault keep the staged model where a retry can use it: its merge is done, and not what is wrong."""
    try:
        yield
    except BaseException as error:
        full = symptoms.full(stage.folder)  # asked first: what follows frees the space
        if isinstance(error, (Mismatch, BadSpec)) or not stage.is_merged:
            stage.remove()
        if full and isinstance(error, Exception):
            raise Retry(
                f"{stage.folder.parent}: no space left on the storage: {error}",
                "free space, then run `publish` again; `ft storage report` says what holds it",
            ) from error
        raise


def _emit(step: str, path: Path, *, skipped: bool) -> None:
    emit("step", name=step, skipped=skipped, path=str(path))


def _open_to_readers(model: Path) -> None:
    for path in (model, *model.rglob("*")):
        path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)


def _record(paths: Paths, made: Certificate, model: Path) -> None:
    """The model's files are as the certificate says: they were hashed for it, and are not read once more."""
    assert paths.lock.run.publish is not None
    others = record(model, (name for name in names_in(model) if name not in made.result and name != NAME))
    publication = Publication(
        version=1,
        run_id=paths.lock.run_id,
        run_sha256=paths.lock.sha256,
        model_name=paths.lock.run.publish.model_name,
        tags=tags(paths.lock),
        files=dict(sorted({**made.result, **others}.items())),
    )
    publication.write(model / NAME)
