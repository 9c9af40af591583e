"""What a rule looks at: one experiment, where it stands, and the repository around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tools.formats.dataset import Dataset
from tools.formats.environment import Environment
from tools.formats.experiment import Experiment
from tools.formats.model import Model
from tools.formats.parse import Parsed
from tools.formats.tenant import Tenant
from tools.repository import Repository
from tools.rules.train import Judged, judge


@dataclass(frozen=True)
class Subject:
    """One experiment file under judgement.

    parsed: the file as read; `parsed.document.finding(...)` places findings.
    tenant_name, name: from the path `experiments/<tenant_name>/<name>.yaml`.
    """

    repository: Repository
    parsed: Parsed[Experiment]
    tenant_name: str
    name: str

    @property
    def experiment(self) -> Experiment:
        """The experiment; fields that are not `parsed.usable` hold defaults or None."""
        assert self.parsed.value is not None
        return self.parsed.value

    @cached_property
    def tenant(self) -> Tenant | None:
        """The tenant, or None when there is no valid one."""
        return self.repository.tenant(self.tenant_name)

    @cached_property
    def environment_name(self) -> str | None:
        """Name of the environment it runs in: its own, else the tenant's default."""
        if self.parsed.usable("environment") and self.experiment.environment:
            return self.experiment.environment
        return self.tenant.environments[0] if self.tenant else None

    @cached_property
    def environment(self) -> Environment | None:
        """The environment, or None when there is no valid one."""
        return self.repository.environment(self.environment_name) if self.environment_name else None

    @cached_property
    def model(self) -> Model | None:
        """The base model, or None when the catalogue has no valid one."""
        return self.repository.model(self.experiment.model) if self.parsed.usable("model") else None

    @cached_property
    def datasets(self) -> list[Dataset]:
        """Those of its datasets that have a valid manifest."""
        if not self.parsed.usable("datasets"):
            return []
        found = (self.repository.dataset(self.tenant_name, name) for name in self.experiment.datasets)
        return [dataset for dataset in found if dataset is not None]

    @cached_property
    def judged(self) -> Judged:
        """The verdict on each `train:` key by itself."""
        return judge(self.experiment.train if self.parsed.usable("train") else {})

    @property
    def train(self) -> Mapping[str, Any]:
        """The `train:` keys that are sound each by itself; rules about combinations look at these only."""
        return self.judged.sound
