"""Whether a published model's folder is what its records say, from the folder alone: files, certificate, provenance, signature.

publication.json lists every other file; provenance.intoto.json lists every file but these two, and its signature vouches for
that list; certificate.json says what the model was made of. Each is held against the others and against the files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any, TypeVar

from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from runner.card import bom, provenance, readme
from runner.certify import certificate
from runner.certify.certificate import Certificate
from runner.hashing import fault, sha256_of
from runner.publication import NAME, Publication
from runner.records import Damaged, Record, read
from tools.dsse import opened, signed_by
from tools.findings import compose, quote

T = TypeVar("T", bound=Record)

UNSIGNED = "unsigned"
_DATA = "dataset_sha256."
_MOVE = "find out who changed it; publish the run again from its adapter (`ft publish RUN_ID`) and serve nothing of this folder"
_RECORDS = (certificate.NAME, readme.NAME, bom.NAME, provenance.NAME)


@dataclass
class VerifiedModel:
    """One folder and what was found about it; without faults it is what was published.

    signature: id of the key (SHA-256) that signed, `unsigned`, or empty where that is not known.
    publication_sha256: hash of publication.json, by which a promotion knows the folder.
    """

    folder: str
    model_name: str = ""
    run_id: str = ""
    run_sha256: str = ""
    environment: str = ""
    publication_sha256: str = ""
    signature: str = ""
    approvers: list[str] = field(default_factory=list)
    files: int = 0
    faults: list[str] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """As `--format json` prints it."""
        return {**asdict(self), "ok": not self.faults}


def verify(folder: Path, keys: Sequence[SSlibKey], *, must_be_signed: bool) -> VerifiedModel:
    """Look at one folder; every fault is named.

    keys: public keys of which one must have signed. must_be_signed: an unsigned model is a fault.

    Raises:
        OSError: the folder cannot be read.
    """
    found = VerifiedModel(str(folder))
    regular = list(_regular(folder, found))
    publication = _record(folder, NAME, Publication, found)
    made = _record(folder, certificate.NAME, Certificate, found)
    if publication is not None:
        found.publication_sha256 = sha256_of(folder / NAME)
        found.model_name, found.run_id, found.run_sha256 = (
            publication.model_name, publication.run_id, publication.run_sha256,
        )  # fmt: skip
        found.environment = publication.tags.get("environment", "")
        found.files = len(publication.files)
        found.faults += _files(folder, publication, regular)
    if made is not None:
        found.faults += (f"{certificate.NAME}: {reason}; {_MOVE}" for reason in certificate.faults(made))
    if publication is not None and made is not None:
        found.faults += _agreement(publication, made)
    found.faults += _provenance(folder, found, publication, made, keys, must_be_signed=must_be_signed)
    found.faults += _bom(folder, publication, made)
    return found


def environment_of(folder: Path) -> str:
    """The environment that a folder says it was published in; empty where it says nothing readable."""
    try:
        return read(Publication, folder / NAME).tags.get("environment", "")
    except (OSError, Damaged):
        return ""


def _regular(folder: Path, found: VerifiedModel) -> Iterator[str]:
    """Names of the plain files; a link, a pipe or a device is a fault, and is not opened."""
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        name = path.relative_to(folder).as_posix()
        if S_ISREG(mode):
            yield name
        elif not S_ISDIR(mode):
            found.faults.append(compose(f"{quote(name)} is no plain file", "files that lie in the folder", _MOVE))


def _record(folder: Path, name: str, cls: type[T], found: VerifiedModel) -> T | None:
    try:
        if (folder / name).is_symlink():
            return None  # named already
        return read(cls, folder / name)
    except FileNotFoundError:
        found.faults.append(compose(f"{name} is missing", "a folder that `publish` wrote", _MOVE))
    except Damaged as error:
        found.faults.append(compose(str(error).removeprefix(f"{folder}/"), "as it was written", _MOVE))
    return None


def _files(folder: Path, publication: Publication, regular: list[str]) -> Iterator[str]:
    """The folder holds the listed files and no others."""
    links = set(publication.files) - set(regular)
    for name, expected in publication.files.items():
        if name in links:
            if not (folder / name).is_symlink():
                yield compose(f"{name} is missing", f"every file that {NAME} lists", _MOVE)
        elif reason := fault(folder / name, expected):
            yield f"{reason.removeprefix(f'{folder}/')}; {_MOVE}"
    for name in sorted(set(regular) - {*publication.files, NAME}):
        yield compose(f"{quote(name)} is not listed", f"the files that {NAME} lists", _MOVE)
    for name in _RECORDS:
        if name not in publication.files:
            yield compose(f"{NAME} does not list {name}", "all of a model's records", _MOVE)


def _agreement(publication: Publication, made: Certificate) -> Iterator[str]:
    if (made.run_id, made.run_sha256) != (publication.run_id, publication.run_sha256):
        yield compose(
            f"{certificate.NAME} is of the run {made.run_id} ({made.run_sha256})", publication.run_sha256, _MOVE
        )
    for name, file in made.result.items():
        if publication.files.get(name) != file:
            yield compose(f"{certificate.NAME} certifies another {name}", f"the file that {NAME} lists", _MOVE)
    for name in sorted(set(publication.files) - {*made.result, *_RECORDS}):
        yield compose(f"{name} is not certified", "model files that the certificate names", _MOVE)


def _provenance(
    folder: Path,
    found: VerifiedModel,
    publication: Publication | None,
    made: Certificate | None,
    keys: Sequence[SSlibKey],
    *,
    must_be_signed: bool,
) -> Iterator[str]:
    file = folder / provenance.NAME
    if file.is_symlink():
        return
    try:
        envelope = opened(file.read_bytes())
        statement = _statement(envelope)
    except FileNotFoundError:
        if publication is None:
            yield compose(f"{provenance.NAME} is missing", "a folder that `publish` wrote", _MOVE)
        return
    except ValueError as error:
        yield compose(f"{provenance.NAME}: {error}", "an in-toto statement with SLSA provenance", _MOVE)
        return
    yield from _signature(envelope, found, keys, must_be_signed=must_be_signed)
    authorization = statement["predicate"]["buildDefinition"]["externalParameters"].get("authorization") or {}
    found.approvers = [str(each) for each in authorization.get("approvers") or []]
    if publication is not None:
        yield from _subjects(statement, publication)
    yield from _dependencies(statement, publication, made)


def _statement(envelope: Envelope) -> dict[str, Any]:
    """The envelope's content, with the parts in it that are looked at.

    Raises:
        ValueError: it is none.
    """
    if envelope.payload_type != provenance.PAYLOAD_TYPE:
        raise ValueError(f"payload type {quote(envelope.payload_type)}")
    try:
        statement = json.loads(envelope.payload)
        kinds = (statement["_type"], statement["predicateType"])
        definition = statement["predicate"]["buildDefinition"]
        shaped = isinstance(definition["externalParameters"], dict) and isinstance(
            definition["internalParameters"], dict
        )
        dict(_digests(statement["subject"]))
        dict(_digests(definition["resolvedDependencies"]))
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError("no statement of the form that `publish` writes") from error
    if kinds != (provenance.STATEMENT, provenance.PREDICATE) or not shaped:
        raise ValueError(f"of the kind {quote(' '.join(map(str, kinds)))}")
    found: dict[str, Any] = statement
    return found


def _digests(descriptors: Any) -> Iterator[tuple[str, str]]:
    for each in descriptors:
        digest = each["digest"]
        yield str(each["name"]), str(digest.get("sha256") or digest.get("gitCommit"))


def _signature(
    envelope: Envelope, found: VerifiedModel, keys: Sequence[SSlibKey], *, must_be_signed: bool
) -> Iterator[str]:
    given = ", ".join(key.keyid for key in keys) or "none is known here"
    if not envelope.signatures:
        found.signature = UNSIGNED
        if must_be_signed:
            remedy = "put the key into the Secret model-signing, move the folder away and publish again"
            yield compose(f"{provenance.NAME} is unsigned", f"signed by one of {given}", remedy)
        return
    found.signature = signed_by(envelope, keys)
    if not found.signature:
        names = ", ".join(quote(keyid, 80) for keyid in envelope.signatures)
        remedy = "give the public key with --key FILE, or find out who signed" if not keys else _MOVE
        yield compose(f"{provenance.NAME}: the signature of {names} is not that of a known key", given, remedy)


def _subjects(statement: Mapping[str, Any], publication: Publication) -> Iterator[str]:
    expected = {name: file.sha256 for name, file in publication.files.items() if name != provenance.NAME}
    subjects = dict(_digests(statement["subject"]))
    for name in sorted({*expected, *subjects}):
        if subjects.get(name) != expected.get(name):
            said = subjects.get(name, "nothing")
            yield compose(
                f"{provenance.NAME} says {quote(said, 64)} of {quote(name)}",
                str(expected.get(name, "no such file")),
                _MOVE,
            )


def _dependencies(
    statement: Mapping[str, Any], publication: Publication | None, made: Certificate | None
) -> Iterator[str]:
    """Run, base model and data are the same in all three."""
    definition = statement["predicate"]["buildDefinition"]
    decided = definition["internalParameters"]
    if publication is not None:
        said = (decided.get("runId"), decided.get("runSha256"), decided.get("modelName"))
        if said != (publication.run_id, publication.run_sha256, publication.model_name):
            yield compose(f"{provenance.NAME} is of the run {quote(str(said[1]), 64)}", publication.run_sha256, _MOVE)
        data = {tag.removeprefix(_DATA): value for tag, value in publication.tags.items() if tag.startswith(_DATA)}
        if data != _of_role(definition, provenance.DATASET):
            yield compose(f"{provenance.NAME} and {NAME} name different data", "the same hashes in both", _MOVE)
    if made is not None and made.base != _of_role(definition, provenance.BASE):
        found = f"{provenance.NAME} and {certificate.NAME} name different files of the base model"
        yield compose(found, "the same hashes in both", _MOVE)


def _of_role(definition: Mapping[str, Any], role: str) -> dict[str, str]:
    """Name -> SHA-256 of what went in, in one role."""
    found = {}
    for each in definition["resolvedDependencies"]:
        annotations = each.get("annotations")
        if isinstance(annotations, dict) and annotations.get("role") == role:
            found[str(annotations.get("file"))] = str(each["digest"].get("sha256"))
    return found


def _bom(folder: Path, publication: Publication | None, made: Certificate | None) -> Iterator[str]:
    """The bill of materials names the same files."""
    file = folder / bom.NAME
    if not file.is_file() or file.is_symlink() or publication is None or made is None:
        return
    try:
        model = json.loads(file.read_bytes())["metadata"]["component"]
        files = {each["name"]: each["hashes"][0]["content"] for each in model["components"]}
        name = model["name"]
    except (KeyError, TypeError, IndexError, ValueError, RecursionError):
        yield compose(f"{bom.NAME} is no bill of materials of a model", "what `publish` wrote", _MOVE)
        return
    if name != publication.model_name or files != {name: each.sha256 for name, each in made.result.items()}:
        yield compose(f"{bom.NAME} is of other files", f"those of {certificate.NAME}", _MOVE)
