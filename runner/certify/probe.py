"""The merged model beside base + adapter as peft runs it: every touched weight, and the logits of fixed prompts.

Both are computed in float32 from the stored weights, so that what differs is the merge's one rounding to the storage type and
nothing else. Unit roundoff u is 2^-8 for bfloat16, 2^-11 for float16 and 2^-24 for float32 (half the distance of neighbours
near 1). Rounding changes each weight by at most u of itself, independently, so that a layer's output moves by about u / sqrt(3) of
its size; layers add these up along the residual path. Tolerance: 8 u, and never less than 1e-4, which sums in another order
take in float32. Measured: 1.3 u in the 16-bit types, 7e-7 in float32. A weight may be one unit in the last place (2 u of itself)
off peft's, and 2^-20 of the tensor's largest one where terms cancel. What is wrong about a scale shows in the weights, where the
logits may not tell it from rounding; what is wrong about a tensor that no adapter touches shows in the logits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from tokenizers import Tokenizer
from torch import nn

from runner.certify.certificate import Logits, Weights
from runner.certify.streaming import Hollow, Shards, name_of, stream
from runner.exits import Mismatch

PROMPTS = (
    "Summarise the following message in one sentence: the delivery that we ordered last week has not arrived.",
    "Proszę krótko odpowiedzieć: jaki jest termin płatności faktury wystawionej pierwszego marca?",
    '{"question": "What is 17 * 23?", "steps": ["17 * 20 = 340", "17 * 3 = 51"], "answer":',
    "def total(prices: list[float]) -> float:\n    return sum(price for price in prices if price > 0)\n",
)
LENGTH = 16  # tokens of each, so that one batch holds them without padding
TOLERANCE = {
    torch.bfloat16: 8 * 2.0**-8,
    torch.float16: 8 * 2.0**-11,
    torch.float32: 1e-4,
}
CANCELLED = 2.0**-20
DECIDED = 6  # tolerances; a lead of less may turn by rounding alone
BEYOND = 1e9  # stands for infinity and NaN, which JSON lacks
REMEDY = "tell the platform's developers; train again with another method meanwhile, or keep the adapter"


def compare(base: Path, adapter: Path, merged: Path) -> tuple[Weights, Logits, str]:
    """Weights and logits of both, and the dtype in which the merged model is stored.

    Raises:
        Mismatch: a merged tensor has another shape than under peft. Errors of transformers and peft pass through.
    """
    with torch.inference_mode(), Shards(base) as base_shards, Shards(merged) as merged_shards:
        ids = tokens(merged, adapter)
        comparison = Comparison(merged_shards)
        made = Hollow(merged, merged_shards)
        rows = made.model.get_input_embeddings().num_embeddings
        found = _logits(made, merged_shards, ids, _nothing)
        trained = _adapted(Hollow(base, base_shards).resized(rows), adapter)
        expected = _logits(trained, base_shards, ids, comparison.after)
    dtype = comparison.dtype or torch.float32
    return comparison.result(), judged(expected, found, TOLERANCE[dtype]), str(dtype).removeprefix("torch.")


def judged(expected: torch.Tensor, found: torch.Tensor, tolerance: float) -> Logits:
    """Logits of base + adapter and of the merged model, each (prompts, LENGTH, vocabulary), compared."""
    spread = float(expected.std())
    apart = (found - expected).abs()
    first, second = expected.topk(2, dim=-1).values.unbind(-1)
    decided = first - second > DECIDED * tolerance * spread
    equal = found.argmax(-1) == expected.argmax(-1)
    return Logits(
        prompts=expected.shape[0],
        positions=equal.numel(),
        difference=_ratio(float(apart.square().mean().sqrt()), spread),
        tolerance=tolerance,
        largest=_ratio(float(apart.max()), spread),
        argmax_equal=int(equal.sum()),
        argmax_decided=int(decided.sum()),
        argmax_wrong=int((decided & ~equal).sum()),
    )


def tokens(merged: Path, adapter: Path) -> torch.Tensor:
    """Token ids, (prompts, LENGTH): the fixed prompts, and the last tokens of the vocabulary, which a training may have added."""
    folder = adapter if (adapter / "tokenizer.json").is_file() else merged
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows = [tokenizer.encode(prompt, add_special_tokens=False).ids for prompt in PROMPTS]
    rows.append(list(range(max(0, tokenizer.get_vocab_size() - LENGTH), tokenizer.get_vocab_size())))
    return torch.tensor([(row * LENGTH)[:LENGTH] for row in rows])


class Comparison:
    """Merged weights against peft's own merge, part by part as they are in memory."""

    def __init__(self, merged: Shards) -> None:
        self._merged = merged
        self._tensors = self._elements = self._different = 0
        self._worst = 0.0
        self.dtype: torch.dtype | None = None

    def after(self, part: nn.Module) -> None:
        """Merge the adapters of one part with peft, and compare."""
        for module in part.modules():
            if isinstance(module, BaseTunerLayer) and hasattr(module, "merge"):
                module.merge()
                module.merged_adapters.clear()
                for parameter in module.get_base_layer().parameters(recurse=False):
                    self._compare(name_of(parameter), parameter)
            elif isinstance(module, ModulesToSaveWrapper):
                trained = module.modules_to_save[module.active_adapters[0]]
                for key, parameter in module.original_module.named_parameters():
                    self._compare(name_of(parameter), trained.get_parameter(key))

    def result(self) -> Weights:
        """What was found."""
        return Weights(
            tensors=self._tensors, elements=self._elements, different=self._different, worst=round(self._worst, 6)
        )

    def _compare(self, name: str | None, expected: torch.Tensor) -> None:
        if name is None or name not in self._merged:
            return  # fused experts: the logits see them
        found = self._merged[name]
        self.dtype = self.dtype or found.dtype
        if found.shape != expected.shape:
            raise Mismatch(
                f"{name} has the shape {list(found.shape)}; allowed: {list(expected.shape)}, as under peft", REMEDY
            )
        rounded = expected.to(found.dtype)
        self._tensors += 1
        self._elements += found.numel()
        self._different += int((found != rounded).sum())
        expected = expected.float()
        scale = expected.abs()
        allowed = torch.finfo(found.dtype).eps * scale + CANCELLED * scale.max()
        apart = (found.float() - expected).abs()
        worst = float(torch.where(apart == 0, 0.0, apart / allowed).max())
        self._worst = max(self._worst, worst if math.isfinite(worst) else BEYOND)


def _adapted(hollow: Hollow, adapter: Path) -> Hollow:
    """The model under peft, its adapter in float32."""
    hollow.model = PeftModel.from_pretrained(hollow.model, str(adapter), low_cpu_mem_usage=True).eval()
    for parameter in hollow.model.parameters():
        if parameter.dtype != torch.float32:
            parameter.data = parameter.data.float()
    return hollow


def _logits(hollow: Hollow, shards: Shards, ids: torch.Tensor, after: Callable[[nn.Module], None]) -> torch.Tensor:
    """Logits (prompts, LENGTH, vocabulary) in float32."""
    if not hollow.whole:
        stream(hollow.model, shards, after)
    logits: torch.Tensor = hollow.model(input_ids=ids, use_cache=False).logits
    if hollow.whole:
        after(hollow.model)
    return logits.float()


def _nothing(part: nn.Module) -> None:
    """A model without an adapter has nothing to compare."""


def _ratio(value: float, spread: float) -> float:
    """Divide to four digits; what is not finite, or has no spread to compare with, is beyond every tolerance."""
    found = value / spread if spread else (0.0 if value == 0 else math.inf)
    return float(f"{found:.4g}") if math.isfinite(found) else BEYOND
