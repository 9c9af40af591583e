"""What card, BOM and provenance are written from: the lock, the proof of the training and the certificate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from runner.certify.certificate import Certificate
from runner.completion import Completion
from tools.formats.lock import Lock


@dataclass(frozen=True, slots=True)
class Facts:
    """One published model."""

    lock: Lock
    proof: Completion
    certificate: Certificate
    model: Path

    @property
    def name(self) -> str:
        """`<tenant>.<model_name>`, as it is registered."""
        assert self.lock.run.publish is not None
        return self.lock.run.publish.model_name

    @property
    def description(self) -> str:
        """What the experiment says that it is for; text of a merge request, to be escaped wherever it is shown."""
        return str(self.lock.run.experiment.get("description") or "")

    @property
    def architecture(self) -> str:
        """The model class of config.json, or the empty text."""
        config = json.loads((self.model / "config.json").read_text(encoding="utf-8"))
        return str((config.get("architectures") or [""])[0])

    @property
    def has_template(self) -> bool:
        """Whether the folder has a chat template, as a file or in the tokenizer's settings."""
        settings = json.loads((self.model / "tokenizer_config.json").read_text(encoding="utf-8"))
        return (self.model / "chat_template.jinja").is_file() or bool(settings.get("chat_template"))

    @property
    def metrics(self) -> dict[str, float]:
        """Last value of each metric of the training."""
        return {name: value for name, value in sorted(self.proof.metrics.items()) if value is not None}

    def dataset_uri(self, path: str) -> str:
        """Where a dataset lies, as MLflow's inputs name it."""
        return f"{self.claim}/data/training-datasets/{path}"

    @property
    def claim(self) -> str:
        """The tenant's storage as an opaque URI."""
        return f"pvc://{self.lock.run.namespace}/{self.lock.run.storage.claim}"
