"""An experiment as a file that a person reads first: a header, and beside each value what it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tools.formats.experiment import Experiment

_SCHEMA = "# yaml-language-server: $schema=../../schemas/experiment.schema.json"
_COLUMN = 40

EFFECTS: Mapping[str, str] = {
    "description": "what the model is for; stands in the merge request and the registry",
    "owner": "GitLab user name of who answers for it, a member of the tenant",
    "environment": "where it runs",
    "model": "base model, a file of catalog/models/",
    "datasets": "data, files of the tenant's datasets/",
    "stage": "pt: raw text; sft: answers; rm, dpo: pairs of answers; kto: answers with a thumb up or down",
    "method": "lora: small adapter; qlora: the same on a 4-bit base, less memory, slower; full: all weights",
    "performance": "auto: the platform splits the batch, packs rows and uses memory for speed; as-written: it does not",
    "resources.gpus": "per node; 0 trains on the CPU",
    "resources.nodes": "nodes that train together",
    "resources.time_limit": "training stops then; GPU-hours up to here count against the quota",
    "publish.model_name": "the finished model is registered as <tenant>.<this>",
    "train.lora_rank": "size of the adapter: higher learns more and needs more memory",
    "train.lora_alpha": "how strongly the adapter counts; twice the rank when omitted",
    "train.lora_target": "layers that get an adapter; all is every linear layer",
    "train.lora_dropout": "share of the adapter's inputs dropped at random; helps against overfitting",
    "train.quantization_bit": "bits of each base weight while training",
    "train.learning_rate": "size of a step: too high diverges, too low learns nothing",
    "train.num_train_epochs": "passes over the data: more fit it better, until the model overfits",
    "train.max_steps": "stops after so many steps, whatever the epochs",
    "train.per_device_train_batch_size": "rows in one forward pass: more is faster and needs more memory",
    "train.gradient_accumulation_steps": "forward passes before a step: a larger batch without more memory",
    "train.cutoff_len": "tokens kept of a row; longer ones are cut, see `ft plan`",
    "train.lr_scheduler_type": "how the learning rate falls over the run",
    "train.warmup_steps": "steps in which the learning rate rises; below 1 a share of all steps",
    "train.val_size": "rows held out for evaluation: a number, or a share below 1",
    "train.pref_beta": "how closely the model stays to the base: lower moves further",
    "train.packing": "several rows in one sequence: faster, but they see each other",
    "train.neat_packing": "several rows in one sequence, kept apart: faster on short rows",
    "train.bf16": "16-bit arithmetic with the range of 32 bits",
    "train.max_samples": "at most so many rows of each dataset",
    "train.seed": "same seed, same order of rows",
}


# What a published model may be scored on; a new experiment has it as a comment, for nobody can guess the held-out data.
EVALUATION = """\
# Score the model before it may be promoted (see the guide); held-out data is a dataset that is not trained on:
# evaluation:
#   datasets: [held-out]
#   metrics: [exact_match, rouge_l, perplexity]   # the first one decides against base and champion
#   behaviours: []                        # tests of its answers, files of the tenant's behaviours/
#   time_limit: 1h
"""


def experiment_text(fields: Mapping[str, Any], header: list[str]) -> str:
    """The file's text: `header` as comment lines, then the fields in the format's order.

    fields: an experiment as it is to be written; what is left out keeps its default.
    """
    lines = [_SCHEMA, *(f"# {line}" for line in header)]
    for name in Experiment.model_fields:
        if name in fields:
            lines += _field(name, fields[name])
    return "\n".join(lines) + "\n"


def inline(value: Any) -> str:
    """A value in one line of YAML, read back as the same value."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6, sort_keys=False)
    return text.removesuffix("...\n").strip()


def _field(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping) or not value:
        yield _commented(f"{name}: {inline(value)}", EFFECTS.get(name))
        return
    yield f"{name}:" + ("  # LLaMA Factory's own arguments" if name == "train" else "")
    for key, item in value.items():
        yield _commented(f"  {inline(key)}: {inline(item)}", EFFECTS.get(f"{name}.{key}"))


def _commented(line: str, effect: str | None) -> str:
    return f"{line.ljust(_COLUMN)}  # {effect}" if effect else line
