"""On PYTHONPATH: accelerate shards models on CPUs too, where it otherwise leaves FSDP out without a word.

accelerate/state.py looks at ACCELERATE_USE_FSDP for kinds of GPUs only; torch's FSDP itself works over gloo. What it gathers it
brings to the CPU before it uses the memory again. Where it is there already nothing is copied, so that is done here: weights
are not brought anywhere, and an optimizer's numbers are copied.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_MODULE = "accelerate.state"


class _Finder(MetaPathFinder):
    """Finds the module as usual, and changes it as soon as it has been run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The usual place of accelerate.state, with a loader that goes on to `_shard`."""
        del path, target
        if fullname != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        loader: Any = spec.loader
        run = loader.exec_module

        def changed(module: ModuleType) -> None:
            run(module)
            _shard(module)

        loader.exec_module = changed
        return spec


def _shard(module: Any) -> None:
    from torch.distributed.fsdp import FullStateDictConfig, _optim_utils

    original = module.AcceleratorState.__init__

    def begin(state: Any, *arguments: Any, **options: Any) -> None:
        original(state, *arguments, **options)
        plugin = options.get("fsdp_plugin")
        if plugin is not None and state.distributed_type == module.DistributedType.MULTI_CPU:
            state.fsdp_plugin = plugin
            # For this and every later state. The device without the number that accelerate gives it and FSDP does not.
            shared = {"distributed_type": module.DistributedType.FSDP, "device": module.torch.device("cpu")}
            for each in (state, module.PartialState):
                each._shared_state.update(shared)

    module.AcceleratorState.__init__ = begin
    FullStateDictConfig.offload_to_cpu = property(lambda _: False, lambda *_: None)
    unflatten = _optim_utils._unflatten_orig_param_states

    def copied(parameters: Any, states: dict[str, dict[str, Any]], name: str, *rest: Any) -> None:
        unflatten(parameters, states, name, *rest)
        for found in states.values():
            if name in found:
                found[name] = found[name].clone()

    _optim_utils._unflatten_orig_param_states = copied


sys.meta_path.insert(0, _Finder())
