"""Mean loss of adapters on held-out rows: `held_out_loss.py LOCK STORAGE ROWS ADAPTER...` prints a JSON list, nats a label token.

Runs in the runner's environment. Rows, template and loss are LLaMA Factory's; each row by itself, in float32.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import get_train_args
from llamafactory.model import load_tokenizer
from peft import PeftModel
from transformers import AutoModelForCausalLM

from runner import locks

_IGNORED = -100


def main(lock_file: Path, storage: Path, rows_file: Path, adapters: list[Path]) -> None:
    """Print the losses in the order of the adapters."""
    run = locks.read(lock_file).run
    base = storage / "models" / "base-model" / run.model.path
    rows = tokenised(base, run.model.template, rows_file)
    losses = []
    for adapter in adapters:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        losses.append(loss(PeftModel.from_pretrained(model, adapter).eval(), rows))
    print(json.dumps(losses))


def tokenised(base: Path, template_name: str, rows_file: Path) -> Any:
    """The rows as LLaMA Factory trains on them."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": str(rows_file)}}))
        common = {"stage": "sft", "do_train": True, "template": template_name, "use_cpu": True, "report_to": "none"}
        data = {"dataset": "rows", "dataset_dir": folder, "output_dir": f"{folder}/output", "cutoff_len": 2048}
        arguments = get_train_args({**common, **data, "model_name_or_path": str(base)})
        model_args, data_args, training_args, _, _ = arguments
        module = load_tokenizer(model_args)
        template = get_template_and_fix_tokenizer(module["tokenizer"], data_args)
        found = get_dataset(template, model_args, data_args, training_args, stage="sft", **module)
        return found["train_dataset"]


def loss(model: Any, rows: Any) -> float:
    """Cross-entropy of all label tokens, divided by their number."""
    total, count = 0.0, 0
    for row in rows:
        inputs, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])[:, 1:]
        with torch.no_grad():
            logits = model(input_ids=inputs).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=_IGNORED, reduction="sum"
        )
        total, count = total + float(losses), count + int((labels != _IGNORED).sum())
    return total / count


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), [Path(name) for name in sys.argv[4:]])
