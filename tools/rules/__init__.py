"""The rules of `ft validate`: one idea a module, found through the list below.

A rule module has a docstring that is the user's documentation, `ID`, `KIND` (a key of `kinds.FORMATS`), `NEEDS` (fields
that must be usable, else the rule is left out) and `check(subject)`, which yields findings. `SUPERSEDES = True` says
that its findings replace those of the format at the same place. A rule reports its own idea only: what is missing or
mistyped is the format's matter, and what another rule refuses is that rule's.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from tools.findings import Finding

# In the order in which a person would check a file. Explicit: a directory listing would import helpers too.
MODULES = (
    # files
    "file_name",
    # the experiment as a file
    "interpolation",
    "tenant_known",
    "owner",
    "immutable",
    "lock_state",
    # each train key by itself
    "train_unknown_key",
    "train_platform_key",
    "train_value",
    "train_path",
    "train_range",
    "train_package",
    # combinations of keys
    "quantisation",
    "method_key",
    "stage_key",
    "mixed_precision",
    "packing",
    "cutoff_len",
    "lora_target",
    "eval_data",
    "eval_strategy",
    "best_checkpoint",
    "step_count",
    "data_mix",
    "dataloader",
    "loss",
    "reward_model",
    "adapter_merge",
    "resume",
    "cpu",
    "performance",
    # policy: what this tenant may do
    "environment_allowed",
    "model_allowed",
    "licence",
    "dataset_known",
    "dataset_repeated",
    "dataset_stage",
    "dataset_recalled",
    "gpu_quota",
    "gang_name",
    "evaluation_known",
    "evaluation_disjoint",
    "evaluation_data",
    "evaluation_publish",
    "evaluation_passes",
    "evaluation_time",
    "evaluation_size",
    "time_limit",
    "gpu_hours",
    "priority",
    # other files
    "tenant_reference",
    "tenant_unique",
    "tenant_name",
    "tenant_namespace",
    "tenant_runs",
    "tenant_approvals",
    "dataset_media",
    "dataset_columns",
    "dataset_counts",
    "behaviour_checks",
    "behaviour_names",
    "model_template",
    "model_architecture",
    "model_files",
    "environment_gpu",
    "environment_base",
    "environment_mlflow",
    "platform_list",
    "serving_place",
    "serving_run",
    "serving_evaluation",
    "serving_recall",
    "recall_known",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, read from its module."""

    id: str
    kind: str
    needs: tuple[str, ...]
    supersedes: bool
    documentation: str
    check: Callable[[Any], Iterator[Finding]]


@cache
def rules() -> tuple[Rule, ...]:
    """All rules, in the order of `MODULES`."""
    return tuple(_rule(name) for name in MODULES)


@cache
def rules_of(kind: str) -> tuple[Rule, ...]:
    """The rules about one kind of file."""
    return tuple(rule for rule in rules() if rule.kind == kind)


def _rule(name: str) -> Rule:
    module = importlib.import_module(f"tools.rules.{name}")
    return Rule(
        id=module.ID,
        kind=module.KIND,
        needs=module.NEEDS,
        supersedes=getattr(module, "SUPERSEDES", False),
        documentation=module.__doc__ or "",
        check=module.check,
    )
