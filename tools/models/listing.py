"""A tenant's registered models as `ft models` shows them: MLflow's versions beside what git says is served and recalled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from tools.formats.audit import Audit, path
from tools.formats.evaluation import NONE, TAG
from tools.markdown import escaped
from tools.models.served import ServedModel, served
from tools.models.versions import ModelVersion
from tools.recalls import Recalls
from tools.repository import Repository

_RUN_ID, _ENVIRONMENT = "run_id", "environment"
_HEAD = ("model", "version", "aliases", "run", "environment", "created", "evaluation", "state")


@dataclass(frozen=True, slots=True)
class Listed:
    """One version. state: `served in dev`, `recalled (open)` and the like; empty where there is nothing to say."""

    model: str
    version: int
    aliases: tuple[str, ...]
    run_id: str
    environment: str
    created: str
    evaluation: str
    served: tuple[str, ...]
    recalled: tuple[str, ...]

    @property
    def alarm(self) -> bool:
        """Whether it answers clients although its data was recalled."""
        return bool(self.served and self.recalled)

    @property
    def state(self) -> str:
        """In words."""
        parts = [f"served in {name}" for name in self.served]
        parts += [f"RECALLED: {why}" if self.served else f"recalled: {why}" for why in self.recalled]
        return "; ".join(parts)

    def row(self) -> tuple[str, ...]:
        """As a table shows it."""
        version, aliases = str(self.version), ", ".join(self.aliases)
        return (
            self.model, version, aliases, self.run_id, self.environment, self.created, self.evaluation, self.state,
        )  # fmt: skip


def listed(repository: Repository, versions: Sequence[ModelVersion]) -> Iterator[Listed]:
    """Each version with what git says of the run that its tags name."""
    recalls, running = Recalls(repository), list(served(repository))
    for version in versions:
        run_id, environment = version.tags.get(_RUN_ID, ""), version.tags.get(_ENVIRONMENT, "")
        record = record_of(repository, version)
        blocking = recalls.blocking(record) if record is not None else []
        yield Listed(
            model=version.name,
            version=version.number,
            aliases=version.aliases,
            run_id=run_id,
            environment=environment,
            created=datetime.fromtimestamp(version.created / 1000, UTC).strftime("%Y-%m-%d %H:%M"),
            evaluation=version.tags.get(TAG, NONE),
            served=tuple(each.lock.content.environment for each in running if _is(each, version, run_id)),
            recalled=tuple(f"{each.file} ({each.recall.state_of(environment, run_id)})" for each in blocking),
        )


def record_of(repository: Repository, version: ModelVersion) -> Audit | None:
    """The audit record of the run that a version's tags name; None where it has none of that hash."""
    tenant, environment, run_id = (
        version.name.partition(".")[0],
        version.tags.get(_ENVIRONMENT),
        version.tags.get(_RUN_ID),
    )
    if not environment or not run_id or "/" in f"{environment}{run_id}":
        return None
    record = repository.optional(path(environment, tenant, run_id), Audit)
    return record if record is not None and record.sha256 == version.tags.get("run_sha256") else None


def _is(each: ServedModel, version: ModelVersion, run_id: str) -> bool:
    content = each.lock.content
    return (content.registered_name, content.served.run_id) == (version.name, run_id)


def data(found: Sequence[Listed]) -> list[dict[str, Any]]:
    """As `--format json` prints it."""
    return [{**asdict(each), "alarm": each.alarm} for each in found]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], form: str) -> str:
    """Rows as text in columns, or as Markdown."""
    if form == "markdown":
        lines = [head, ["---"] * len(head), *([escaped(cell) for cell in row] for row in rows)]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)
    plain = [[_printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in plain) for column in range(len(head))]
    return "".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in plain
    )


def show(found: Sequence[Listed], form: str) -> str:
    """The table of versions."""
    return table(_HEAD, [each.row() for each in found], form)


def _printable(cell: str) -> str:
    """Tags are anybody's: nothing of them reaches the terminal but printable characters."""
    return "".join(character if character.isprintable() else "?" for character in cell)


def of_tags(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Tags that begin so, without the beginning."""
    return {name.removeprefix(prefix): value for name, value in tags.items() if name.startswith(prefix)}
