"""What a user would pick instead of `ft validate` and `ft render --check`, on a sample of a generated repository.

Libraries are measured in their loops alone, without start-up; `ft`'s own figures include it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.measure import Measure, reported, run, total
from bench.options import FT, PROGRAMS, PYTHON, ROOT, Options
from bench.table import Row

UNIT = "experiment"
MINOR = "1.34"
FILES_PER_OVERLAY = 10  # how many more experiment files than overlays the fast alternatives get


def rows(options: Options, repository: Path, ours: Mapping[str, float]) -> Iterator[Row]:
    """Rows beside `ours`: CPU seconds an experiment of each command of ft, by its name."""
    name = f"instead, sample of {options.sizes[0]:,}"
    check, validate = ours["ft render --check --all"], ours["ft validate"]
    overlays = _sample(sorted((repository / "overlays").glob("*/*/*")), options.sample)
    files = _sample(sorted((repository / "experiments").glob("*/*")), options.sample * FILES_PER_OVERLAY)
    manifests = options.work / "manifests"
    manifests.mkdir()

    yield Row(
        name,
        "kustomize, a process each",
        _kustomize(overlays, manifests),
        len(overlays),
        UNIT,
        ours=check,
        remark=_program(),
    )
    whole = sorted(manifests.iterdir())
    measure, documents = reported([PYTHON, PROGRAMS / "validate_documents.py", MINOR, *whole], cwd=ROOT)
    remark = f"{documents / len(whole):g} documents each, one minor"
    yield Row(name, "kubernetes-validate's validate()", measure, len(whole), UNIT, ours=check, remark=remark)
    yield from _kubeconform(name, whole, check, options.work / "schemas")
    schema = ROOT / "schemas" / "experiment.schema.json"
    measure, count = reported([PYTHON, PROGRAMS / "jsonschema_files.py", schema, *files], cwd=ROOT)
    remark = "the format only: no other rule"
    yield Row(name, "PyYAML safe_load + jsonschema", measure, count, UNIT, ours=validate, remark=remark)
    measure = total([run([FT, "validate", file, "--repo", repository], cwd=ROOT) for file in files[: options.sample]])
    yield Row(name, "ft validate, a process each", measure, options.sample, UNIT, ours=validate)


def _kustomize(overlays: Sequence[Path], manifests: Path) -> Measure:
    command = _kustomize_command()
    measures = []
    for index, overlay in enumerate(overlays):
        measures.append(run([*command, overlay], cwd=ROOT, output=manifests / f"{index:03d}.yaml"))
    return total(measures)


def _kustomize_command() -> tuple[str, ...]:
    from tools.render.kustomize import Kustomize

    return Kustomize.find().command


def _program() -> str:
    return " ".join((Path(_kustomize_command()[0]).name, *_kustomize_command()[1:]))


def _kubeconform(name: str, manifests: Sequence[Path], check: float, schemas: Path) -> Iterator[Row]:
    program = shutil.which("kubeconform")
    if program is None:
        remark = "not on PATH; go install github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0"
        yield Row(name, "kubeconform", None, unit=UNIT, remark=remark)
        return
    command = [program, "-strict", "-kubernetes-version", f"{MINOR}.0", "-schema-location", _schemas(schemas)]
    each = total([run([*command, file], cwd=ROOT) for file in manifests])
    remark = "one minor, the same schemas"
    yield Row(name, "kubeconform, a process each", each, len(manifests), UNIT, ours=check, remark=remark)
    together = run([*command, *manifests], cwd=ROOT)
    yield Row(name, "kubeconform, one process", together, len(manifests), UNIT, ours=check, remark=remark)


def _schemas(folder: Path) -> str:
    """kubernetes-validate's own strict schemas, with references that kubeconform finds; its template of file names."""
    package = next((PYTHON.parent.parent / "lib").glob("python3*/site-packages/kubernetes_validate"))
    folder.mkdir()
    for file in (package / "kubernetes-json-schema" / f"v{MINOR}.0-local-strict").iterdir():
        schema = json.loads(file.read_text())
        schema.pop("$id", None)
        (folder / file.name).write_text(json.dumps(schema).replace("/api/_definitions.json", "_definitions.json"))
    return os.fspath(folder / "{{ .ResourceKind }}{{ .KindSuffix }}.json")


def _sample(paths: Sequence[Path], count: int) -> list[Path]:
    """Evenly spread."""
    step = max(1, len(paths) // count)
    return list(paths[::step][:count])
