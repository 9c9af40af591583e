"""Storages and locks for the runner's tests: a random Llama of 100,000 weights, a small dataset, and runs over them."""

from __future__ import annotations

import functools
import json
import random
import shutil
from array import array
from pathlib import Path
from typing import Any

import yaml
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from runner.hashing import names_in, record, sha256_of
from runner.storage import Paths
from tools.formats.lock import (
    Lock,
    LockedDataset,
    LockedMlflow,
    LockedModel,
    LockedPublish,
    LockedResources,
    LockedRun,
    LockedStorage,
    seal,
)
from tools.formats.model import Source

ROWS = Path(__file__).parent / "fixtures" / "runner" / "topics.json"
HIDDEN, INNER, LAYERS = 64, 128, 2
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
SETTINGS: dict[str, Any] = {
    "stage": "sft",
    "do_train": True,
    "finetuning_type": "lora",
    "template": "chatml",
    "seed": 42,
    "logging_steps": 1,
    "save_strategy": "steps",
    "save_steps": 2,
    "save_total_limit": 2,
    "use_cpu": True,
    "lora_rank": 4,
    "learning_rate": 1.0e-3,
    "per_device_train_batch_size": 4,
    "cutoff_len": 64,
    "max_steps": 6,
}


def make_storage(root: Path) -> Path:
    """A storage with base model and dataset; returns `root`."""
    write_model(root / "models" / "base-model" / "tiny")
    data = root / "data" / "training-datasets"
    data.mkdir(parents=True)
    shutil.copyfile(ROWS, data / "topics.json")
    return root


def make_lock(storage: Path, *, attempt: int = 1, **changes: Any) -> Lock:
    """A sealed lock over the storage; `settings`, `resources` and `publish` change parts of it, others whole fields."""
    model = storage / "models" / "base-model" / "tiny"
    settings = {**SETTINGS, **changes.pop("settings", {})}
    resources = {"gpus": 0, "nodes": 1, "time_limit_seconds": 3600, **changes.pop("resources", {})}
    publish = changes.pop("publish", {"model_name": "team-a.support", "merge": True})
    fields: dict[str, Any] = {
        "tenant": "team-a",
        "environment": "dev",
        "name": "exp-001",
        "namespace": "team-a-training",
        "base": "v1",
        "image": "registry.example/ml/llama-factory-train@sha256:" + "0" * 64,
        "experiment": {"version": 1, "description": "Sorts messages", "owner": "anna.nowak"},
        "model": LockedModel(
            name="tiny",
            path="tiny",
            template="chatml",
            dtype="float32",
            source=Source(repository="example/tiny", revision="1"),
            licence="apache-2.0",
            files=record(model, names_in(model)),
        ),
        "datasets": [
            LockedDataset(
                name="topics",
                path="topics.json",
                format="alpaca",
                ranking=False,
                columns={},
                tags={},
                sha256=sha256_of(storage / "data" / "training-datasets" / "topics.json"),
                rows=32,
            )
        ],
        "settings": settings,
        "mlflow": LockedMlflow(tracking_uri="http://127.0.0.1:9", experiment="team-a"),
        "storage": LockedStorage(claim="storage", base_models_claim="base-models"),
        "node_selector": {},
        "priority": "normal",
        "kueue": False,
        "publish": LockedPublish(**publish) if publish else None,
        "resources": LockedResources(**resources),
        "uid": 10001,
        "gid": 10001,
    }
    return seal(LockedRun(**{**fields, **changes}), attempt=attempt, state="active", authorized=None)


def make_paths(root: Path, **changes: Any) -> Paths:
    """A storage below `root` (made unless it is there) and a run on it."""
    storage = root / "storage"
    if not storage.exists():
        make_storage(storage)
    return Paths(storage, make_lock(storage, **changes))


def write_lock(lock: Lock, file: Path) -> Path:
    """Write the lock as YAML, as `ft expand` does, and return the file."""
    file.write_text(yaml.safe_dump(lock.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    return file


def write_model(folder: Path) -> None:
    """A Llama with random weights and a byte-level tokenizer, as transformers reads it."""
    folder.mkdir(parents=True)
    tokenizer = _tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    tokens = {"bos_token": SPECIAL[0], "eos_token": SPECIAL[2], "pad_token": SPECIAL[2]}
    _json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **tokens})
    vocabulary = tokenizer.get_vocab_size()
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": HIDDEN // 4,
        "vocab_size": vocabulary,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "eos_token_id": tokenizer.token_to_id(SPECIAL[2]),
        "pad_token_id": tokenizer.token_to_id(SPECIAL[2]),
    }
    _json(folder / "config.json", config)
    write_tensors(folder / "model.safetensors", _shapes(vocabulary))


def write_tensors(file: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file of 32-bit numbers: norms 1, all else random."""
    file.write_bytes(_tensors(tuple(shapes.items())))


@functools.cache
def _tensors(shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> bytes:
    generator = random.Random(0)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, shape in shapes:
        size = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = array("f", [1.0] * size if "norm" in name else [generator.gauss(0, 0.1) for _ in range(size)])
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + 4 * size]}
        data += values.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def _shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocabulary, HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}"
        shapes |= {f"{prefix}.self_attn.{name}_proj.weight": (HIDDEN, HIDDEN) for name in "qkvo"}
        shapes |= {f"{prefix}.mlp.{name}_proj.weight": (INNER, HIDDEN) for name in ("gate", "up")}
        shapes[f"{prefix}.mlp.down_proj.weight"] = (HIDDEN, INNER)
        shapes |= {f"{prefix}.{name}_layernorm.weight": (HIDDEN,) for name in ("input", "post_attention")}
    return shapes


def _tokenizer() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return tokenizer


def _json(file: Path, data: dict[str, Any]) -> None:
    file.write_text(json.dumps(data, indent=1), encoding="utf-8")
