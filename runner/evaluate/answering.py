"""A model folder asked in batches: greedy answers, and how likely it finds the expected ones."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from runner.evaluate.rows import Row

T = TypeVar("T")
# Numbers in one batch's table of logits: 256 MiB in 32 bits, and as much again for its softmax.
_MOST_LOGITS = 2**26
# What the template of the run's settings is made of (llamafactory/hparams/data_args.py).
_TEMPLATE_SETTINGS = ("tool_format", "default_system", "enable_thinking")


class Answering:
    """One loaded model. Only one may be loaded at a time: call `close` before the next.

    template: LLaMA Factory's name of it; None reads the tokenizer's own chat template. dtype: of the weights on a GPU; on the CPU
    they are computed with in 32 bits, which is faster there than bf16 and needs twice the memory.
    """

    def __init__(self, folder: Path, template: str | None, settings: dict[str, Any], dtype: str, *, gpu: bool) -> None:
        import torch
        from llamafactory.data.template import get_template_and_fix_tokenizer
        from llamafactory.hparams import DataArguments
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

        kept = {name: settings[name] for name in _TEMPLATE_SETTINGS if name in settings}
        self._tokenizer = AutoTokenizer.from_pretrained(
            folder,
            split_special_tokens=settings.get("split_special_tokens", False),
            local_files_only=True,
            trust_remote_code=False,
        )
        self._template = get_template_and_fix_tokenizer(self._tokenizer, DataArguments(template=template, **kept))
        self.device = torch.device("cuda" if gpu and torch.cuda.is_available() else "cpu")
        self._model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype) if self.device.type == "cuda" else torch.float32,
            local_files_only=True,
            trust_remote_code=False,
        ).eval()
        self._model.to(self.device)
        self._vocabulary = int(self._model.get_output_embeddings().weight.shape[0])
        self._context = int(getattr(self._model.config, "max_position_embeddings", 0) or 2**20)
        # The folder's own settings may sample or penalise repetition; answers must come again as they were.
        self._model.generation_config = GenerationConfig(
            do_sample=False,
            eos_token_id=self._template.get_stop_token_ids(self._tokenizer),
            pad_token_id=self._padding,
        )

    @property
    def name(self) -> str:
        """The device, as reports name it."""
        import torch

        return str(torch.cuda.get_device_name(self.device)) if self.device.type == "cuda" else "CPU"

    @property
    def _padding(self) -> int:
        found = self._tokenizer.pad_token_id
        return int(found if found is not None else self._tokenizer.eos_token_id)

    def close(self) -> None:
        """Give the memory back."""
        import torch

        del self._model
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def encode(self, row: Row) -> tuple[list[int], list[int]]:
        """Tokens of the prompt and of the expected answer with its end, as the template makes them in training."""
        prompt, answer = self._template.encode_oneturn(self._tokenizer, row.messages, row.system, row.tools)
        if self._template.efficient_eos:
            answer = [*answer, self._tokenizer.eos_token_id]
        return prompt, answer

    def answers(self, prompts: Sequence[list[int]], most: int) -> list[str]:
        """A greedy continuation of each prompt, at most `most` tokens; the beginning of a prompt that is too long is cut off."""
        room = max(1, self._context - most)
        return self._smaller(lambda some: self._generate(some, most), [prompt[-room:] for prompt in prompts])

    def surprises(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[tuple[float, int]]:
        """Minus the log-likelihood (nats) of each answer after its prompt, and the answer's tokens."""
        cut = []
        for prompt, answer in pairs:
            kept = answer[: self._context - 1]
            cut.append((prompt[-(self._context - len(kept)) :], kept))
        longest = max(len(answer) for _, answer in cut) + 1
        size = max(1, _MOST_LOGITS // (longest * self._vocabulary))
        found: list[tuple[float, int]] = []
        for start in range(0, len(cut), size):
            found += self._smaller(self._likelihood, cut[start : start + size])
        return found

    def _generate(self, prompts: Sequence[list[int]], most: int) -> list[str]:
        import torch

        batch = self._padded(prompts)
        with torch.inference_mode():
            found = self._model.generate(**batch, max_new_tokens=most)
        new = found[:, batch["input_ids"].shape[1] :]
        return [str(text) for text in self._tokenizer.batch_decode(new, skip_special_tokens=True)]

    def _likelihood(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[tuple[float, int]]:
        """Padded on the left, so that all answers end in the last column and only their logits are kept."""
        import torch

        batch = self._padded([prompt + answer for prompt, answer in pairs])
        keep = max(len(answer) for _, answer in pairs) + 1
        places = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        with torch.inference_mode():
            logits = self._model(**batch, position_ids=places, logits_to_keep=keep).logits[:, :-1].float()
            chosen = batch["input_ids"][:, -(keep - 1) :]
            nats = torch.nn.functional.cross_entropy(logits.transpose(1, 2), chosen, reduction="none")
        return [(float(line[-len(answer) :].sum()), len(answer)) for line, (_, answer) in zip(nats, pairs, strict=True)]

    def _padded(self, rows: Sequence[list[int]]) -> dict[str, Any]:
        import torch

        width = max(map(len, rows))
        ids = [[self._padding] * (width - len(row)) + row for row in rows]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
        return {
            "input_ids": torch.tensor(ids, device=self.device),
            "attention_mask": torch.tensor(mask, device=self.device),
        }

    def _smaller(self, function: Callable[[Sequence[Any]], list[T]], items: Sequence[Any]) -> list[T]:
        """The function's results; where the GPU has too little memory for all at once, by halves."""
        import torch

        try:
            return function(items)
        except torch.cuda.OutOfMemoryError:
            if len(items) == 1:
                raise
        torch.cuda.empty_cache()
        middle = len(items) // 2
        return [*self._smaller(function, items[:middle]), *self._smaller(function, items[middle:])]
