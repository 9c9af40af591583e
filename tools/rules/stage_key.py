"""Keys of one stage are not written with another.

`pref_` keys shape DPO and KTO, `kto_` keys KTO, loss masks and neat packing supervised training. LLaMA Factory refuses
some of the rest and ignores the others silently. PPO is not offered.

Fails:

    stage: sft
    train: {pref_loss: simpo}

Passes:

    stage: dpo
    train: {pref_loss: simpo}
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.findings import Finding, quote
from tools.rules.subject import Subject

ID = "stage-key"
KIND = "experiment"
NEEDS = ("stage", "train")
# Source: llamafactory/hparams/parser.py, get_train_args; train/dpo/trainer.py, train/kto/trainer.py, train/sft/trainer.py.
STAGES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("pref_beta", "pref_ftx"), ("dpo", "kto")),
    **dict.fromkeys(("pref_loss", "pref_bco_weight", "dpo_label_smoothing", "simpo_gamma", "ld_alpha"), ("dpo",)),
    **dict.fromkeys(("kto_chosen_weight", "kto_rejected_weight"), ("kto",)),
    **dict.fromkeys(("neat_packing", "train_on_prompt", "mask_history", "compute_accuracy"), ("sft",)),
    **dict.fromkeys(("use_dft_loss", "use_asft_loss", "use_eaft_loss", "asft_alpha", "eaft_alpha"), ("sft",)),
    "load_best_model_at_end": ("pt", "sft", "dpo", "kto"),
    **dict.fromkeys(("ppo_buffer_size", "ppo_epochs", "ppo_score_norm", "ppo_target", "ppo_whiten_rewards"), ()),
}


def refuses(stage: str, key: str, value: Any) -> bool:
    """Whether a key belongs to other stages; `false` and null switch nothing on and are fine."""
    return stage not in STAGES.get(key, (stage,)) and value is not None and value is not False


def check(subject: Subject) -> Iterator[Finding]:
    """Look for keys of another stage."""
    stage = subject.experiment.stage
    for key, value in subject.train.items():
        if not refuses(stage, key, value):
            continue
        stages = STAGES[key]
        found = f"{quote(key)} with stage: {stage}"
        allowed = f"stage: {' or '.join(stages)}" if stages else "PPO is not offered"
        yield subject.parsed.document.finding(("train", key), ID, found, allowed, "remove it", key=True)
