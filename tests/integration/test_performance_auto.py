"""What `performance: auto` chooses, under the real LLaMA Factory: the same rows, whole, apart from each other, in as many steps."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.runs import write_model
from tools.datasets.check import check
from tools.datasets.detect import Choice as Layout
from tools.datasets.tokens import TokenCounter
from tools.formats.dataset import Dataset
from tools.formats.experiment import Experiment
from tools.formats.gpus import GpuType
from tools.formats.model import Model
from tools.llamafactory.table import templates
from tools.plan.steps import training_steps
from tools.tuning import speed
from tools.tuning.choose import choose

pytestmark = pytest.mark.heavy
pytest.importorskip("llamafactory", reason="needs the runner's environment")

ROOT = Path(__file__).parents[2]
SENTENCES = ROOT / "demo" / "data" / "customer-topics.json"
WRITTEN: dict[str, Any] = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 8, "cutoff_len": 2048}
H100 = GpuType(memory_gib=79.1, bandwidth_gb_s=3350, bf16_tflops=989, price_per_hour=18.0)
IGNORED = -100


@dataclass
class Prepared:
    """What LLaMA Factory makes of settings: rows as it trains on them, the model and its collator."""

    rows: Any
    model: Any
    collate: Any

    def loss(self, batch: int) -> tuple[float, int]:
        """Sum of the cross-entropy over all labels, and how many there are, `batch` sequences at a time."""
        import torch

        total, count = 0.0, 0
        for start in range(0, len(self.rows), batch):
            features = self.collate([self.rows[index] for index in range(start, min(start + batch, len(self.rows)))])
            labels = features.pop("labels")[:, 1:]
            with torch.no_grad():
                logits = self.model(**features).logits[:, :-1].float()
            losses = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
            )
            total, count = total + float(losses), count + int((labels != IGNORED).sum())
        return total, count


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights."""
    folder = tmp_path_factory.mktemp("base") / "tiny"
    write_model(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 rows, most of them short and a few ten times as long, as customers write."""
    generator = random.Random(8)
    sentences = [row["input"] or row["instruction"] for row in json.loads(SENTENCES.read_text())]
    rows = [
        {
            "instruction": sentence,
            "input": "",
            "output": " ".join(generator.choices(sentences, k=int(generator.paretovariate(1.5))))[:900],
        }
        for sentence in generator.choices(sentences, k=600)
    ]
    file = tmp_path_factory.mktemp("data") / "rows.json"
    file.write_text(json.dumps(rows))
    return file


@pytest.fixture(scope="module")
def manifest(base: Path, data: Path) -> Dataset:
    """The rows with their lengths, as `ft dataset add` counts them."""
    counter = TokenCounter(base, templates()["chatml"])
    report = check(data, Layout(), counter.take)
    common: dict[str, Any] = {"version": 1, "description": "x", "path": data.name, "format": "alpaca", "size": 1}
    tokens = counter.summary("tiny")
    return Dataset.model_validate({**common, "sha256": "0" * 64, "rows": report.rows, "tokens": tokens})


def prepared(base: Path, data: Path, folder: Path, settings: dict[str, Any]) -> Prepared:
    """Rows, model and collator of LLaMA Factory's own sft workflow."""
    from llamafactory.data import SFTDataCollatorWith4DAttentionMask, get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_model, load_tokenizer

    folder.mkdir()
    (folder / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": str(data)}}))
    common = {"model_name_or_path": str(base), "stage": "sft", "do_train": True, "finetuning_type": "lora"}
    common |= {
        "template": "chatml",
        "dataset": "rows",
        "dataset_dir": str(folder),
        "use_cpu": True,
        "report_to": "none",
    }
    arguments = {**common, "output_dir": str(folder / "output"), **settings}
    model_args, data_args, training_args, finetuning_args, _ = get_train_args(arguments)
    module = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(module["tokenizer"], data_args)
    rows = get_dataset(template, model_args, data_args, training_args, stage="sft", **module)["train_dataset"]
    model = load_model(module["tokenizer"], model_args, finetuning_args, is_trainable=True).eval()
    collator = SFTDataCollatorWith4DAttentionMask(
        template=template, model=model, pad_to_multiple_of=8, label_pad_token_id=IGNORED,
        block_diag_attn=model_args.block_diag_attn, neat_packing=data_args.neat_packing,
        attn_implementation=model.config._attn_implementation, compute_dtype=model_args.compute_dtype, **module,
    )  # fmt: skip
    return Prepared(rows, model, collator)


def test_packed_rows_are_the_same_training(base: Path, data: Path, manifest: Dataset, tmp_path: Path) -> None:
    """Every token is trained on, each row sees itself alone (equal loss in float32), and the steps are those that were planned."""
    catalogued = yaml.safe_load((ROOT / "catalog" / "models" / "smollm2-135m-instruct.yaml").read_text())
    model = Model.model_validate({**catalogued, "template": "chatml"})
    fields: dict[str, Any] = {"version": 1, "description": "x", "owner": "anna.nowak", "model": "m", "datasets": ["d"]}
    wanted = {**fields, "method": "lora", "performance": "auto", "train": WRITTEN}
    choice = choose(Experiment.model_validate(wanted), model, [manifest], WRITTEN, speed.gpu(H100))
    after = {**WRITTEN, **choice.settings, "enable_liger_kernel": False}  # its kernels run on GPUs only
    assert after["neat_packing"]
    rows, packed = (prepared(base, data, tmp_path / name, how) for name, how in (("rows", WRITTEN), ("packed", after)))
    (loss, labels), (together, count) = rows.loss(16), packed.loss(1)
    assert count == labels
    assert together == pytest.approx(loss, rel=1e-5)
    assert len(packed.rows[0]["input_ids"]) == after["cutoff_len"]
    planned = training_steps([manifest], after, gpus=0, nodes=1)
    assert planned.examples == pytest.approx(len(packed.rows), rel=0.06)
    written = training_steps([manifest], WRITTEN, gpus=0, nodes=1)
    real = len(packed.rows) / after["per_device_train_batch_size"] / after["gradient_accumulation_steps"]
    assert real == pytest.approx(written.steps_per_epoch, rel=0.06)
