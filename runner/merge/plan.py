"""Which tensor of the base changes how. Everything that can be refused is refused here, before a byte is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.exits import Mismatch
from runner.merge.adapter import Adapter, refuse
from runner.merge.base import Base
from runner.merge.changes import Add, Change, LowRank, Replace, Rows
from runner.merge.headers import Tensor

FLOATS = ("BF16", "F16", "F32")
EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight", "tok_embeddings.weight")
HEADS = ("lm_head.weight", "embed_out.weight")
# transformers' name of a tensor -> the file's, where a model was saved without its head, or as the text part of a larger one.
_RENAMES: tuple[Callable[[str], str], ...] = (
    lambda name: name,
    lambda name: name.removeprefix("model."),
    lambda name: name.removeprefix("transformer."),
    lambda name: name.replace("model.language_model.", "language_model.model.", 1).replace(
        "lm_head.", "language_model.lm_head.", 1 if name.startswith("lm_head.") else 0
    ),
)
_OTHER_BASE = "the adapter was trained on another base model: name the one in its adapter_config.json or lock"


@dataclass(slots=True)
class Plan:
    """changes: tensor of the result -> change. added: tensor that the base lacks -> tensor whose bytes it begins with.

    config: keys of config.json that get another value.
    """

    changes: dict[str, Change] = field(default_factory=dict)
    added: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


def make(base: Base, adapter: Adapter) -> Plan:
    """The plan.

    Raises:
        Mismatch: the adapter does not fit the base.
        BadSpec: it cannot be merged exactly.
    """
    tensors = base.tensors
    rename = _renamer(base, adapter)
    plan = Plan()
    for module, parts in sorted(adapter.modules.items()):
        if not adapter.targets(module):
            raise Mismatch(f"{adapter.file}: {module} is none of the configuration's target_modules", "train again")
        _pair(adapter, tensors, plan, module, rename(f"{module}.weight"), parts)
    for name, source in adapter.values.items():
        _set(adapter, plan, rename(name), Replace(source))
    for name, source in adapter.rows.items():
        _set(adapter, plan, rename(name), Rows(source, _indices(adapter, name, source)))
    for name, twin in adapter.twins.items():
        if name not in adapter.values or not _same(adapter, adapter.values[name], twin):
            raise refuse(adapter.file, f"{name} is saved twice, with different values")
    _check_biases(adapter, tensors, rename)
    for name, change in plan.changes.items():
        _check_types(base, adapter, name, tensors.get(name), change)
    _embeddings(base, adapter, plan)
    for name, change in plan.changes.items():
        _check_shape(adapter, name, tensors.get(name), change, resized=name.endswith((*EMBEDDINGS, *HEADS)))
    if not plan.changes:
        raise Mismatch(f"{adapter.file}: changes nothing; allowed: an adapter of this base", _OTHER_BASE)
    return plan


def _renamer(base: Base, adapter: Adapter) -> Callable[[str], str]:
    """The one way in which the file's names differ from the model's, if all names are then found."""
    wanted = [f"{module}.weight" for module in adapter.modules] + list(adapter.values) + list(adapter.rows)
    tensors = base.tensors
    heads = HEADS if base.tied else ()  # a tied model has no tensor for its head
    for rename in _RENAMES:
        missing = [name for name in wanted if rename(name) not in tensors and not name.endswith(heads)]
        if not missing:
            return rename
    missing = [name for name in wanted if name not in tensors and not name.endswith(heads)]
    raise Mismatch(f"{adapter.file}: {missing[0]} is no tensor of {base.folder} ({len(missing)} such)", _OTHER_BASE)


def _pair(
    adapter: Adapter, tensors: Mapping[str, Tensor], plan: Plan, module: str, target: str, parts: dict[str, Tensor]
) -> None:
    embedding = "embedding_a" in parts or "embedding_b" in parts
    a, b = (parts.get("embedding_a"), parts.get("embedding_b")) if embedding else (parts.get("a"), parts.get("b"))
    if a is None or b is None:
        raise Mismatch(f"{adapter.file}: {module} has only one half of its LoRA pair", "train again")
    dora, magnitude = bool(adapter.config.get("use_dora")), parts.get("magnitude")
    if dora != (magnitude is not None):
        raise Mismatch(
            f"{adapter.file}: {module}: use_dora is {dora}, and its magnitude vector is not as that says", "train again"
        )
    rank = adapter.rank(module)
    if len(a.shape) != 2 or len(b.shape) != 2:  # noqa: PLR2004
        raise refuse(adapter.file, f"{module}: LoRA of a convolution")
    if a.shape[0] != rank or b.shape[1] != rank:
        raise Mismatch(
            f"{adapter.file}: {module}: rank {a.shape[0]} in A, {b.shape[1]} in B; allowed: {rank}, as the configuration says",
            "train again, or bring configuration and weights of one training together",
        )
    transposed = embedding or bool(adapter.config.get("fan_in_fan_out"))
    if magnitude and transposed:
        raise refuse(adapter.file, f"{module}: DoRA of a transposed weight")
    if target not in tensors:
        raise refuse(adapter.file, f"{module}: LoRA of a layer that shares its weight with another")
    scale = adapter.scale(module, rank)
    _set(adapter, plan, target, LowRank(a, b, scale, transposed, magnitude))
    if "b_bias" in parts:
        bias = target.removesuffix("weight") + "bias"
        if bias not in tensors:
            raise refuse(adapter.file, f"{module}: lora_bias, but the layer has no bias")
        _set(adapter, plan, bias, Add(parts["b_bias"], scale))


def _set(adapter: Adapter, plan: Plan, name: str, change: Change) -> None:
    if name in plan.changes:
        raise refuse(adapter.file, f"{name} is changed in two ways ({plan.changes[name].kind}, {change.kind})")
    plan.changes[name] = change


def _indices(adapter: Adapter, name: str, source: Tensor) -> tuple[int, ...]:
    wanted = adapter.config.get("trainable_token_indices")
    if isinstance(wanted, dict):
        module = name.removesuffix(".weight")
        wanted = next((rows for key, rows in wanted.items() if module == key or module.endswith(f".{key}")), None)
    if not isinstance(wanted, list) or not all(type(row) is int and row >= 0 for row in wanted):
        raise Mismatch(f"{adapter.file}: {name}: the configuration names no token indices for it", "train again")
    if len(wanted) != len(set(wanted)) or source.shape[:1] != (len(wanted),):
        raise Mismatch(f"{adapter.file}: {name}: {source.shape} values for {len(wanted)} token indices", "train again")
    return tuple(wanted)


def _check_biases(adapter: Adapter, tensors: Mapping[str, Tensor], rename: Callable[[str], str]) -> None:
    """With `bias: lora_only` peft trains the biases of its targets, but 0.18 does not find them when it saves."""
    if adapter.config.get("bias", "none") == "none":
        return
    for module in adapter.modules:
        if rename(f"{module}.bias") in tensors and f"{module}.bias" not in adapter.values:
            raise refuse(
                adapter.file, f"bias: {adapter.config['bias']}, but the trained bias of {module} was not saved"
            )


def _check_types(base: Base, adapter: Adapter, name: str, old: Tensor | None, change: Change) -> None:
    if old is not None and old.dtype not in FLOATS:
        raise refuse(base.folder, f"{name} is {old.dtype}; allowed: {', '.join(FLOATS)}")
    parts = (change.a, change.b, change.magnitude) if isinstance(change, LowRank) else (change.source,)
    for part in parts:
        if part is not None and part.dtype not in FLOATS:
            raise refuse(adapter.file, f"{name}: {part.dtype} in the adapter; allowed: {', '.join(FLOATS)}")


def _check_shape(adapter: Adapter, name: str, old: Tensor | None, change: Change, *, resized: bool) -> None:
    if old is None:
        return
    shape = old.shape
    if isinstance(change, LowRank):
        whole = (change.b.shape[0], change.a.shape[1])
        found: tuple[int, ...] = whole[::-1] if change.transposed else whole
        if change.magnitude and change.magnitude.size // {"F32": 4}.get(change.magnitude.dtype, 2) != shape[0]:
            found = change.magnitude.shape
    elif isinstance(change, Rows):
        found = (shape[0], *change.source.shape[1:])
        if max(change.indices, default=0) >= shape[0]:
            raise Mismatch(f"{adapter.file}: {name}: row {max(change.indices)} of {shape[0]}", _OTHER_BASE)
    else:
        found = change.source.shape
    if found != shape and not (resized and isinstance(change, Replace) and found[1:] == shape[1:]):
        raise Mismatch(
            f"{adapter.file}: {name}: shape {list(found)}; allowed: {list(shape)}, as in the base", _OTHER_BASE
        )


def _find(names: Iterable[str], ends: tuple[str, ...]) -> str | None:
    return next((name for name in names if name.endswith(ends)), None)


def _embeddings(base: Base, adapter: Adapter, plan: Plan) -> None:
    """Untie what the adapter trained apart, and follow a resized vocabulary."""
    tensors = base.tensors
    embedding = _find(tensors, EMBEDDINGS)
    head = _find(tensors, HEADS) or _find(plan.changes, HEADS) or HEADS[0]
    touched = {name: plan.changes[name] for name in (embedding, head) if name in plan.changes}
    if embedding is None or not touched:
        return
    if base.tied:
        _untie(base, adapter, plan, embedding, head)
    rows = {}
    for name in (embedding, head):
        change, origin = plan.changes.get(name), tensors.get(plan.added.get(name, name))
        if isinstance(change, Replace):
            rows[name] = change.source.shape[0]
        elif origin is not None:
            rows[name] = origin.shape[0]
    if len(set(rows.values())) > 1:
        raise refuse(
            adapter.file, f"rows of {' and '.join(f'{name} ({count})' for name, count in rows.items())} differ"
        )
    if rows[embedding] != tensors[embedding].shape[0]:
        plan.config["vocab_size"] = rows[embedding]


def _untie(base: Base, adapter: Adapter, plan: Plan, embedding: str, head: str) -> None:
    """Follow peft, which trains copies: what was one tensor is then two, unless the adapter's are the same."""
    first, second = plan.changes.get(embedding), plan.changes.get(head)
    separate = head in base.tensors
    if isinstance(first, LowRank) or isinstance(second, LowRank):
        raise refuse(adapter.file, f"LoRA of {embedding} or {head}, which share their weight")
    if isinstance(first, Rows) and second is None and not separate:
        return  # peft keeps the head tied
    if isinstance(first, Replace) and isinstance(second, Replace) and _same(adapter, first.source, second.source):
        if not separate:
            del plan.changes[head]
        return
    plan.config["tie_word_embeddings"] = False
    if not separate:
        plan.added[head] = embedding


def _same(adapter: Adapter, first: Tensor, second: Tensor) -> bool:
    """Whether two tensors of the adapter hold the same bytes."""
    if (first.dtype, first.shape) != (second.dtype, second.shape):
        return False
    step = 2**20
    with adapter.file.open("rb") as one, adapter.file.open("rb") as other:
        one.seek(first.offset)
        other.seek(second.offset)
        pieces = range(0, first.size, step)
        return all(one.read(min(step, first.size - at)) == other.read(min(step, first.size - at)) for at in pieces)
