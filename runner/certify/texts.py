"""Whether a model's tokenizer, chat template, generation settings and vocabulary are those that it was trained with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runner.sizes import tensors

EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")
SPECIAL = (
    "bos_token",
    "eos_token",
    "pad_token",
    "unk_token",
    "additional_special_tokens",
    "add_bos_token",
    "add_eos_token",
)
# What a tokenizer was last asked to do, and who wrote the settings: neither changes an answer.
PASSING = {
    "tokenizer.json": ("truncation", "padding"),
    "generation_config.json": ("transformers_version", "_from_model_config"),
}
TEMPLATE = "chat_template.jinja"
CHECKS = ["tokenizer", "chat template", "special tokens", "generation config", "vocabulary"]


def faults(trained: Path, base: Path, result: Path) -> list[str]:
    """What the result has otherwise than its training; empty when all is the same.

    trained: the adapter's folder, or the trained model's. What a training leaves as it was, it may not have written: then
    the base's counts.
    """
    return [*_whole(trained, base, result), *_configured(trained, base, result), *_vocabulary(result)]


def _whole(trained: Path, base: Path, result: Path) -> Iterator[str]:
    for name in ("tokenizer.json", "generation_config.json"):
        source = trained if (trained / name).is_file() else base
        expected, found = _content(source / name, name), _content(result / name, name)
        if expected is not None and found != expected:
            yield f"{result / name} {_differs(found, expected)}; allowed: what {source / name} says"


def _configured(trained: Path, base: Path, result: Path) -> Iterator[str]:
    source = trained if (trained / "tokenizer_config.json").is_file() else base
    expected, found = _load(source / "tokenizer_config.json"), _load(result / "tokenizer_config.json")
    for name in SPECIAL:
        if _token(expected.get(name)) != _token(found.get(name)):
            yield (
                f"{result / 'tokenizer_config.json'}: {name} is {_token(found.get(name))!r}; "
                f"allowed: {_token(expected.get(name))!r}, as in {source}"
            )
    if _template(result, found) != _template(source, expected):
        yield f"{result}: the chat template is not that of {source}; allowed: the same text"


def _vocabulary(result: Path) -> Iterator[str]:
    config = _load(result / "config.json")
    size = config.get("vocab_size") or config.get("text_config", {}).get("vocab_size")
    tokenizer = _load(result / "tokenizer.json")
    ids = [*tokenizer.get("model", {}).get("vocab", {}).values()] if isinstance(_vocab(tokenizer), dict) else []
    ids += [token["id"] for token in tokenizer.get("added_tokens", [])]
    rows = {
        name: shape[0]
        for file in sorted(result.glob("*.safetensors"))
        for name, shape, _ in tensors(file)
        if name.endswith(EMBEDDINGS)
    }
    for name, count in rows.items():
        if count != size:
            yield f"{result}: {name} has {count} rows; allowed: {size}, the vocab_size of config.json"
    if ids and isinstance(size, int) and max(ids) >= size:
        yield f"{result}: the tokenizer gives the id {max(ids)}; allowed: less than {size}, the vocab_size of config.json"


def _vocab(tokenizer: dict[str, Any]) -> Any:
    return tokenizer.get("model", {}).get("vocab")


def _content(file: Path, name: str) -> dict[str, Any] | None:
    """A JSON file without what may pass; None when there is none."""
    if not file.is_file():
        return None
    return {key: value for key, value in _load(file).items() if key not in PASSING[name]}


def _load(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    loaded = json.loads(file.read_text(encoding="utf-8"))
    return loaded if isinstance(loaded, dict) else {}


def _differs(found: dict[str, Any] | None, expected: dict[str, Any]) -> str:
    if found is None:
        return "is missing"
    names = sorted(key for key in {*found, *expected} if found.get(key) != expected.get(key))
    return f"differs in {', '.join(names)}"


def _token(value: Any) -> Any:
    """A token as text: a configuration holds it as text or as a mapping with its `content`."""
    if isinstance(value, list):
        return [_token(item) for item in value]
    return value.get("content") if isinstance(value, dict) else value


def _template(folder: Path, config: dict[str, Any]) -> Any:
    file = folder / TEMPLATE
    return file.read_text(encoding="utf-8") if file.is_file() else config.get("chat_template")
