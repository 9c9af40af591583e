"""README.md: the model card, with the front matter that Hugging Face's tools read (https://huggingface.co/docs/hub/model-cards).

Descriptions come from merge requests: in the front matter YAML quotes them, in the text every character that Markdown knows is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from runner.card.facts import Facts
from runner.certify.certificate import NAME as CERTIFICATE
from runner.certify.certificate import Certificate
from runner.provenance import git_commit
from tools.markdown import escaped

NAME = "README.md"
HASH_SHOWN = 12
_ASK = """\
Any server of the OpenAI API that loads safetensors takes this folder, vLLM for instance:

```sh
vllm serve {folder} --served-model-name {name}
curl -s http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \\
  -d '{{"model": "{name}", "messages": [{{"role": "user", "content": "..."}}], "temperature": 0}}'
```

{note}"""
_WITH = "The chat template is in the folder; it is the one that the model was trained with (`{template}`)."
_WITHOUT = "The folder has no chat template, as its base model: give the server one that is like `{template}` of LLaMA Factory."
_RECORDS = (
    f"`{CERTIFICATE}` has the figures, `bom.cdx.json` the bill of materials, `provenance.intoto.json` the statement of origin; "
    "`ft verify model FOLDER` compares all of them with the files."
)
_RAW = """\
The model continues text (stage `pt`): ask it without a chat template, at `/v1/completions`:

```sh
vllm serve {folder} --served-model-name {name}
curl -s http://127.0.0.1:8000/v1/completions -H 'Content-Type: application/json' \\
  -d '{{"model": "{name}", "prompt": "...", "temperature": 0}}'
```"""


def text(facts: Facts) -> str:
    """The whole card."""
    lines = [
        f"---\n{yaml.safe_dump(_front(facts), sort_keys=False, allow_unicode=True)}---",
        f"# {escaped(facts.name)}",
        escaped(facts.description) or "The experiment has no description.",
        "## Intended use",
        f"What the description above says, for the tenant {escaped(facts.lock.run.tenant)}; anything else was not trained.",
        "## How to ask it",
        _how(facts),
        "## Where it comes from",
        "\n".join(_table(("what", "which"), _origin(facts))),
        "## Data",
        "\n".join(_table(("dataset", "rows", "SHA-256"), _data(facts))),
        "## Metrics of the training",
        "\n".join(_table(("metric", "last value"), [(name, f"{value:.6g}") for name, value in facts.metrics.items()])),
        "## What was checked",
        "\n".join(f"- {line}" for line in checked(facts.certificate)),
        _RECORDS,
    ]
    return "\n\n".join(lines) + "\n"


def checked(made: Certificate) -> Iterator[str]:
    """What the certificate says, a line each."""
    touched = sum(1 for change in made.changes.values() if change.changed)
    yield f"{touched} tensors differ from the base model's, {made.untouched} are the same byte for byte."
    yield f"The same as in training: {', '.join(made.checks)}."
    if made.weights is not None and made.logits is not None:
        yield (
            f"{made.weights.elements} merged weights compared with peft's own merge: {made.weights.different} differ, "
            "none by more than rounding explains."
        )
        yield (
            f"Logits of {made.logits.prompts} fixed prompts against base + adapter: off by {made.logits.difference:.2g} "
            f"of their standard deviation ({made.logits.tolerance:.2g} is allowed for {made.dtype}); the same most likely token at "
            f"{made.logits.argmax_equal} of {made.logits.positions} positions."
        )
    else:
        yield "A full fine-tuning: the files are those of the training, hash by hash; nothing was merged."


def _front(facts: Facts) -> dict[str, Any]:
    run = facts.lock.run
    return {
        "license": run.model.licence,
        "base_model": run.model.source.repository,
        "base_model_relation": "finetune",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "model_name": facts.name,
        "datasets": [f"{dataset.name}@sha256:{dataset.sha256}" for dataset in run.datasets],
        "metrics": sorted(facts.metrics),
        "tags": ["finetuned", str(run.settings.get("stage", "sft")), str(run.settings.get("finetuning_type", "lora"))],
    }


def _how(facts: Facts) -> str:
    form = _RAW if facts.lock.run.settings.get("stage") == "pt" else _ASK
    note = (_WITH if facts.has_template else _WITHOUT).format(template=facts.lock.run.model.template)
    return form.format(folder=facts.lock.run_id, name=facts.name, note=note)


def _origin(facts: Facts) -> Iterator[tuple[str, str]]:
    run, authorized = facts.lock.run, facts.lock.authorized
    yield "run", facts.lock.run_id
    yield "SHA-256 of the run", facts.lock.sha256
    yield "environment", run.environment
    yield "base model", f"{run.model.name}: {run.model.source.repository} at {run.model.source.revision}"
    yield "licence of the base model", run.model.licence
    yield "method", f"{run.settings.get('finetuning_type')}, stage {run.settings.get('stage')}"
    yield "image", run.image
    yield "commit", git_commit(facts.lock) or "unknown"
    yield "owner", str(run.experiment.get("owner") or "unknown")
    if authorized is None:
        yield "approved by", "nobody: not run by the platform's bot"
    else:
        yield (
            "approved by",
            f"{', '.join(authorized.approvers)} in merge request {authorized.merge_request}, {authorized.at}",
        )
    yield (
        "trained",
        f"{facts.proof.steps_done} steps, {facts.proof.training_seconds:.0f} s, until {facts.proof.finished_at}",
    )


def _data(facts: Facts) -> Iterator[tuple[str, str, str]]:
    for dataset in facts.lock.run.datasets:
        yield dataset.name, str(dataset.rows), dataset.sha256


def _table(head: Sequence[str], rows: Any) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(escaped(cell) for cell in row)} |"
