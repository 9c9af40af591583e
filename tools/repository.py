"""The repository as the tools see it: which files there are and what they hold.

Nothing outside the root is ever read: a path that leaves it through a symbolic link is a finding.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from tools.errors import UsageError
from tools.formats.behaviour import Behaviour
from tools.formats.dataset import Dataset
from tools.formats.environment import Environment, Platform
from tools.formats.experiment import Experiment
from tools.formats.gpus import Gpus
from tools.formats.lock import Lock, is_sealed
from tools.formats.model import Model
from tools.formats.parse import Parsed, parse
from tools.formats.tenant import Tenant
from tools.locks import Locks
from tools.yamlsource import Document, load

if TYPE_CHECKING:
    from tools.predict.pairs import Pair

T = TypeVar("T", bound=BaseModel)


@dataclass
class Repository:
    """A checkout; `root` is the folder that holds experiments/, tenants/ and catalog/."""

    root: Path
    # What many experiments look up, without the positions that only the file's own rules need.
    _values: dict[tuple[str, type[BaseModel]], BaseModel | None] = field(default_factory=dict, repr=False)
    _last: Parsed[Experiment] | None = field(default=None, repr=False)

    @classmethod
    def find(cls, start: Path | None = None) -> Repository:
        """The repository around `start` (the working directory when omitted).

        Raises:
            UsageError: no folder above holds `tenants` and `catalog`.
        """
        here = (start or Path.cwd()).resolve()
        for folder in (here, *here.parents):
            if (folder / "tenants").is_dir() and (folder / "catalog").is_dir():
                return cls(folder)
        raise UsageError(f"{here} is not inside a platform repository; change into one, or give --repo DIR")

    def relative(self, path: Path) -> str:
        """`path` as findings show it.

        Raises:
            UsageError: the path is outside the repository.
        """
        absolute = path if path.is_absolute() else Path.cwd() / path
        parent = absolute.parent.resolve()
        try:
            return (parent / absolute.name).relative_to(self.root.resolve()).as_posix()
        except ValueError:
            raise UsageError(f"{path} is outside the repository {self.root}") from None

    def document(self, file: str) -> Document:
        """The YAML document of a repository file; links that lead outside are findings of the document."""
        root = os.fspath(self.root)
        for parent in itertools.accumulate(file.split("/")[:-1], "{}/{}".format):
            if os.path.islink(f"{root}/{parent}"):  # noqa: PTH114 - of thousands of files
                found = f"folder {parent} is a symbolic link"
                document = Document(file)
                document.findings.append(
                    document.finding((), "file-kind", found, "real folders", "commit the files themselves")
                )
                return document
        return load(self.root / file, file)

    def read(self, file: str, cls: type[T]) -> Parsed[T]:
        """`file` as format `cls`, with positions; not kept."""
        return parse(cls, self.document(file))

    def files_below(self, folder: str) -> list[str]:
        """Every file in a folder, however deep, sorted; none where there is no such folder."""
        return sorted(
            path.relative_to(self.root).as_posix() for path in (self.root / folder).rglob("*") if path.is_file()
        )

    def optional(self, file: str, cls: type[T]) -> T | None:
        """`file` as format `cls`, read once; None when it is not there or not valid (its own findings say why)."""
        if (file, cls) not in self._values:
            self._values[(file, cls)] = self._valid(file, cls)
        return self._values[(file, cls)]  # type: ignore[return-value]

    def _valid(self, file: str, cls: type[T]) -> T | None:
        if not (self.root / file).is_file():
            return None
        parsed = self.read(file, cls)
        return parsed.value if not parsed.findings else None

    def tenant(self, name: str) -> Tenant | None:
        """A tenant by its folder's name."""
        return self.optional(f"tenants/{name}/tenant.yaml", Tenant)

    def model(self, name: str) -> Model | None:
        """A base model by its file's name."""
        return self.optional(f"catalog/models/{name}.yaml", Model)

    def dataset(self, tenant: str, name: str) -> Dataset | None:
        """A dataset of a tenant by its file's name."""
        return self.optional(f"tenants/{tenant}/datasets/{name}.yaml", Dataset)

    def behaviour(self, tenant: str, name: str) -> Behaviour | None:
        """A file of behaviours of a tenant by its file's name."""
        return self.optional(f"tenants/{tenant}/behaviours/{name}.yaml", Behaviour)

    def environment(self, name: str) -> Environment | None:
        """An environment by its file's name."""
        return None if name == "platform" else self.optional(f"environments/{name}.yaml", Environment)

    @cached_property
    def platform(self) -> Platform | None:
        """environments/platform.yaml."""
        return self.optional("environments/platform.yaml", Platform)

    @cached_property
    def gpus(self) -> Gpus | None:
        """catalog/gpus.yaml."""
        return self.optional("catalog/gpus.yaml", Gpus)

    @cached_property
    def locks(self) -> Locks:
        """What the locks under overlays/ say."""
        return Locks(self.root)

    @cached_property
    def pairs(self) -> list[Pair]:
        """What the formulas said and past runs measured, out of audit/."""
        from tools.predict.pairs import pairs

        return pairs(self.root)

    def experiment(self, file: str) -> Parsed[Experiment]:
        """An experiment by its file. Only the last one is kept: there may be ten thousand, each looked at in one go."""
        if self._last is None or self._last.document.file != file:
            self._last = parse(Experiment, self.document(file))
        return self._last

    def lock(self, file: str) -> Lock:
        """The lock of an overlay, by its run.yaml.

        Raises:
            UsageError: there is none, or it is not one that `ft expand` wrote.
        """
        parsed = self.read(file, Lock)
        if parsed.value is None or parsed.findings or not is_sealed(parsed.value):
            raise UsageError(f"{file} is no valid lock; `ft expand --check` says why")
        return parsed.value

    def names(self, folder: str) -> list[str]:
        """Names (without .yaml) of the files in a folder of the repository, sorted."""
        return sorted(path.stem for path in (self.root / folder).glob("*.yaml"))

    def experiments(self) -> list[str]:
        """All experiment files, sorted."""
        paths = self.root.glob("experiments/*/*")
        return sorted(path.relative_to(self.root).as_posix() for path in paths if not path.name.startswith("."))
