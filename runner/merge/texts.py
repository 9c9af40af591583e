"""The files beside the weights: what LLaMA Factory's export writes there, taken from the training run and the base without a model.

Configuration, generation settings and licences are the base's; the tokenizer is the training run's (its chat template and special
tokens are what the model learned), the base's only where the run saved none. Export's `Modelfile` for Ollama is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.exits import BadSpec
from runner.merge import base as base_model
from runner.merge.headers import open_regular

TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt",
    "merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "tekken.json", "chat_template.jinja",
    "chat_template.json", "*.tiktoken", "additional_chat_templates/*.jinja",
    "processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json",
)  # fmt: skip
LICENCES = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")
VALUE_HEAD = "value_head.safetensors"  # of stage rm
_GENERATION = "generation_config.json"
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")


def write(base: Path, adapter: Path, folder: Path, config: Mapping[str, Any]) -> list[str]:
    """Write all of them into `folder` and return the names of those that were read from the base.

    config: config.json as it shall be.

    Raises:
        Mismatch: one of them is a symbolic link.
    """
    own = (adapter / "tokenizer_config.json").exists()
    _copy(adapter if own else base, folder, TOKENIZER)
    if (folder / "tokenizer_config.json").exists():
        _pad_left(folder / "tokenizer_config.json")
    read = _copy(base, folder, (*LICENCES, _GENERATION))
    _copy(adapter, folder, (VALUE_HEAD,))
    if _GENERATION not in read:
        tokens = {name: config[name] for name in _TOKENS if config.get(name) is not None}
        _json(folder / _GENERATION, {"_from_model_config": True, **tokens})
    if dict(config) == base_model.read_json(base / base_model.CONFIG):
        _copy(base, folder, (base_model.CONFIG,))
    else:
        _json(folder / base_model.CONFIG, config)
    return [base_model.CONFIG, *read]


def configuration(config: Mapping[str, Any], changed: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """config.json of the result: the base's with `changed` in it, and with the positions that `rope_scaling` added in training.

    Vocabulary and tying of a model with a text part stand in both places.
    """
    result = {**config, **changed, **_rope(config, settings)}
    if isinstance(text := config.get("text_config"), dict):
        result["text_config"] = {**text, **{name: value for name, value in changed.items() if name in text}}
        if "vocab_size" not in config:
            result.pop("vocab_size", None)
    return result


def _rope(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """As LLaMA Factory's `configure_rope` sets it in training (model/model_utils/rope.py)."""
    kind = settings.get("rope_scaling")
    if kind is None:
        return {}
    present = config.get("rope_scaling") or config.get("rope_parameters") or {}
    before = present.get("original_max_position_embeddings") or config.get("max_position_embeddings")
    length = settings.get("cutoff_len", 2048)
    if not before or length <= before:
        return {}
    if "rope_parameters" in config:
        raise BadSpec(
            "config.json has rope_parameters: rope_scaling cannot be carried over exactly",
            "set rope_scaling in the base's config",
        )
    factor = float(math.ceil(length / before))
    scaling: dict[str, Any] = {"rope_type": kind, "factor": factor}
    if kind in {"dynamic", "yarn", "llama3"}:
        scaling["original_max_position_embeddings"] = before
    if kind == "llama3":
        scaling |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    return {"rope_scaling": scaling, "max_position_embeddings": int(before * factor)}


def _copy(source: Path, folder: Path, patterns: tuple[str, ...]) -> list[str]:
    names = sorted({path.relative_to(source).as_posix() for pattern in patterns for path in source.glob(pattern)})
    for name in names:
        with open(open_regular(source / name), "rb") as stream:  # noqa: PTH123 - of a descriptor
            target = folder / name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(stream.read())
    return names


def _pad_left(file: Path) -> None:
    """Training pads on the right; whoever generates in batches needs it on the left, as export sets it."""
    content = json.loads(file.read_text(encoding="utf-8"))
    if content.get("padding_side") == "right":
        _json(file, {**content, "padding_side": "left"})


def _json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
