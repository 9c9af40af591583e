"""A model that is never in memory as a whole: its parts get their weights when they compute and lose them afterwards.

A part is one decoder layer, the embedding or the head, so that memory is bounded by the largest of them in float32: about 4 GiB
for a model of 70 billion weights, of which 140 GB lie on the storage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from accelerate import init_empty_weights
from safetensors import safe_open
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from runner.exits import Mismatch

Place = tuple[
    nn.Module, str, nn.Parameter
]  # whose parameter, its name there, and what stands for it while it has no data
# Attributes of parameters; peft keeps the objects, and copies come without them.
_NAME, _HOLLOW = "tensor_name", "without_data"
OFFLINE = {"local_files_only": True, "trust_remote_code": False}


class Shards:
    """Tensors of a folder's safetensors files by name; each is read when it is asked for. Use it in a `with` block."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        files = [self._stack.enter_context(safe_open(file, "pt")) for file in sorted(folder.glob("*.safetensors"))]
        self._file_of = {name: file for file in files for name in file.keys()}  # noqa: SIM118 - no mapping

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __contains__(self, name: str) -> bool:
        return name in self._file_of

    def __getitem__(self, name: str) -> torch.Tensor:
        tensor: torch.Tensor = self._file_of[name].get_tensor(name)
        return tensor


class Hollow:
    """A causal language model without weights; each parameter knows the tensor of the files that it is (`name_of`).

    `whole`: the architecture holds weights in another form than its files (fused experts), so that it was loaded as a whole.
    """

    def __init__(self, folder: Path, shards: Shards) -> None:
        config = AutoConfig.from_pretrained(folder, **OFFLINE)
        with init_empty_weights(include_buffers=False):
            model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
        self.whole = not _name(model, shards)
        if self.whole:
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **OFFLINE)
            _name(model, shards)
        else:
            _empty(model)
        self.model: Any = model.eval()

    def resized(self, rows: int) -> Hollow:
        """The same with `rows` rows in embedding and head, as a training that added tokens has it."""
        if rows == self.model.get_input_embeddings().num_embeddings:
            return self
        before = {name: name_of(parameter) for name, parameter in _parameters(self.model)}
        self.model.resize_token_embeddings(rows, mean_resizing=False)
        for name, parameter in _parameters(self.model):
            setattr(parameter, _NAME, before[name])
        if not self.whole:
            _empty(self.model)
        return self


def name_of(parameter: nn.Parameter) -> str | None:
    """The tensor of the files that a parameter of the base is; None for an adapter's own."""
    name: str | None = getattr(parameter, _NAME, None)
    return name


def _name(model: Any, shards: Shards) -> bool:
    """Name every parameter; a tied one by the name that the files have. Returns whether all are there."""
    model.tie_weights()
    for name, parameter in _parameters(model):
        if name in shards:
            setattr(parameter, _NAME, name)
    return all(name_of(parameter) for _, parameter in _parameters(model))


def _empty(model: Any) -> None:
    """Give every parameter one number that stands for all of its numbers, which takes no memory; ties stay.

    Not torch's device `meta`: peft would put the adapter there too.
    """
    made: dict[int, tuple[nn.Parameter, nn.Parameter]] = {}
    for module in model.modules():
        for key, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in made:
                hollow = nn.Parameter(torch.zeros(()).expand(parameter.shape), requires_grad=False)
                setattr(hollow, _NAME, name_of(parameter))
                setattr(hollow, _HOLLOW, True)
                made[id(parameter)] = (hollow, parameter)  # the old one too, or its id might be given away
            module._parameters[key] = made[id(parameter)][0]  # noqa: SLF001 - what torch's own loaders do


def _parameters(model: Any) -> list[tuple[str, nn.Parameter]]:
    return list(model.named_parameters(remove_duplicate=False))


def stream(model: nn.Module, shards: Shards, after: Callable[[nn.Module], None]) -> None:
    """Make every part of `model` load its weights, in float32, before it computes; then call `after` and drop them."""
    parts = list(_parts(model))
    inside = {id(parameter) for part in parts for parameter in part.parameters()}
    for place in _hollow(model):
        if id(place[2]) not in inside:
            _fill(place, shards)
    for part in parts:
        places = list(_hollow(part))
        part.register_forward_pre_hook(partial(_enter, places, shards))
        part.register_forward_hook(partial(_leave, places, after))


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """Entries of the lists of layers, and everything beside these lists."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        elif any(isinstance(below, nn.ModuleList) for below in child.modules()):
            yield from _parts(child)
        else:
            yield child


def _hollow(module: nn.Module) -> Iterator[Place]:
    for below in module.modules():
        for name, parameter in below.named_parameters(recurse=False):
            if hasattr(parameter, _HOLLOW):
                yield below, name, parameter


def _fill(place: Place, shards: Shards) -> None:
    module, key, hollow = place
    name = name_of(hollow)
    assert name is not None
    tensor = shards[name].to(torch.float32)
    if tensor.shape != hollow.shape:
        tensor = _padded(tensor, hollow, name)
    filled = nn.Parameter(tensor, requires_grad=False)
    setattr(filled, _NAME, name)
    module._parameters[key] = filled  # noqa: SLF001


def _padded(tensor: torch.Tensor, hollow: nn.Parameter, name: str) -> torch.Tensor:
    """More rows, of zeros: of tokens that the training added, whose rows its adapter brings."""
    if tensor.shape[1:] != hollow.shape[1:] or tensor.shape[0] > hollow.shape[0]:
        raise Mismatch(
            f"{name} has the shape {list(tensor.shape)}; allowed: {list(hollow.shape)}, as config.json says",
            "see that the base model's files belong together",
        )
    wider = torch.zeros(hollow.shape, dtype=torch.float32)
    wider[: tensor.shape[0]] = tensor
    return wider


def _enter(places: list[Place], shards: Shards, *_: Any) -> None:
    for place in places:
        _fill(place, shards)


def _leave(places: list[Place], after: Callable[[nn.Module], None], module: nn.Module, *_: Any) -> None:
    after(module)
    for owner, name, hollow in places:
        owner._parameters[name] = hollow  # noqa: SLF001
