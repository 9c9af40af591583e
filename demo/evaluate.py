"""Accuracy of a model folder on the demo's held-out messages: greedy answers, compared with the right topic word for word.

The prompt is the one that LLaMA Factory's template `smollm2` made in training, so before and after are measured alike.

    .venv-runner/bin/python -m demo.evaluate --model DIR --data demo/data/customer-topics-held-out.json
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# llamafactory/data/template.py, register_template(name="smollm2"). The model's own chat template has the same sentence
# without the full stop, hence it is passed and not left to the template.
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face."
BATCH = 48  # rows; fewer batches mean fewer passes over the weights for each new token
NEW_TOKENS = 6  # the longest topic is two tokens; the end-of-text token follows

Row = dict[str, str]


class Example(TypedDict):
    """One message with the right topic and the model's answer as it came."""

    input: str
    expected: str
    answer: str


class Result(TypedDict):
    """What the evaluation prints; accuracies are shares from 0 to 1.

    `accuracy` wants the topic word for word. `accuracy_choice` only asks which topic the model finds likeliest, so a base
    model that chats instead of answering is not called ignorant. `majority` always says the commonest topic.
    """

    accuracy: float
    accuracy_choice: float
    majority: float
    rows: int
    topics: dict[str, float]
    examples: list[Example]
    seconds: float


def messages(row: Row) -> list[dict[str, str]]:
    """The chat that LLaMA Factory renders for an alpaca row, up to the answer."""
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": f"{row['instruction']}\n{row['input']}"},
    ]


def prompt(tokenizer: PreTrainedTokenizerBase, row: Row) -> str:
    """The text that the model continues."""
    return str(tokenizer.apply_chat_template(messages(row), tokenize=False, add_generation_prompt=True))


def load(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model in float32, which CPUs without bf16 instructions run faster, and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), tokenizer


def ask(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: list[Row]) -> Iterator[tuple[str, str]]:
    """For each row in order: the model's greedy answer, and the topic that it finds likeliest among those of `rows`.

    A topic is likeliest by its first token. Raises ValueError if two topics begin with the same one.
    """
    import torch

    topics = sorted({row["output"] for row in rows})
    first = [tokenizer.encode(topic, add_special_tokens=False)[0] for topic in topics]
    if len(set(first)) < len(topics):
        raise ValueError(f"topics {', '.join(topics)}: two begin with the same token; rename one of them")
    prompts = [tokenizer.encode(prompt(tokenizer, row), add_special_tokens=False) for row in rows]
    shared = shared_prefix(prompts)
    with torch.inference_mode():
        # System message and instruction are two thirds of each prompt: computed once for all rows.
        cache = model(torch.tensor([prompts[0][:shared]]), logits_to_keep=1).past_key_values
        for start in range(0, len(rows), BATCH):
            batch = padded(prompts[start : start + BATCH], shared, int(tokenizer.pad_token_id))
            given = generate(model, batch, cache)
            texts = tokenizer.batch_decode(given.sequences[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
            yield from zip(texts, [topics[int(best)] for best in given.scores[0][:, first].argmax(-1)], strict=True)


def shared_prefix(prompts: list[list[int]]) -> int:
    """How many tokens all prompts begin with, the last token of the shortest one never counted."""
    low, high = min(prompts), max(prompts)
    same = next((at for at, (one, other) in enumerate(zip(low, high, strict=False)) if one != other), len(low))
    return min(same, min(map(len, prompts)) - 1)


def padded(prompts: list[list[int]], shared: int, pad: int) -> dict[str, Any]:
    """Prompts as one rectangle, padded between the shared beginning and the rest, so that all end in the last column."""
    import torch

    gaps = [max(map(len, prompts)) - len(tokens) for tokens in prompts]
    rows = [tokens[:shared] + [pad] * gap + tokens[shared:] for tokens, gap in zip(prompts, gaps, strict=True)]
    masks = [[1] * shared + [0] * gap + [1] * (len(row) - shared - gap) for row, gap in zip(rows, gaps, strict=True)]
    return {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(masks)}


def generate(model: Any, batch: dict[str, Any], cache: Any) -> Any:
    """Greedy continuation of a batch whose shared beginning is in `cache`; gives `sequences` and `scores` per new token."""
    own = copy.deepcopy(cache)
    own.batch_repeat_interleave(len(batch["input_ids"]))
    return model.generate(
        **batch,
        past_key_values=own,
        do_sample=False,
        max_new_tokens=NEW_TOKENS,
        return_dict_in_generate=True,
        output_scores=True,
    )


def score(rows: list[Row], given: list[str], chosen: list[str], examples: int = 5) -> Result:
    """Compare answers and choices with the right topics; `examples` rows are shown, spread evenly over the data."""
    right = [row["output"].casefold() == answer.strip().casefold() for row, answer in zip(rows, given, strict=True)]
    totals = Counter(row["output"] for row in rows)
    hits = Counter(row["output"] for row, correct in zip(rows, right, strict=True) if correct)
    step = max(1, len(rows) // examples)
    shown = list(zip(rows, given, strict=True))[::step][:examples]
    return {
        "accuracy": round(sum(right) / len(rows), 4),
        "accuracy_choice": round(
            sum(row["output"] == topic for row, topic in zip(rows, chosen, strict=True)) / len(rows), 4
        ),
        "majority": round(max(totals.values()) / len(rows), 4),
        "rows": len(rows),
        "topics": {topic: round(hits[topic] / totals[topic], 4) for topic in sorted(totals)},
        "examples": [{"input": row["input"], "expected": row["output"], "answer": answer} for row, answer in shown],
        "seconds": 0.0,
    }


def evaluate(folder: Path, data: Path) -> Result:
    """Ask the model in `folder` about every row of an alpaca JSON file; OSError or ValueError when one of them is unreadable."""
    started = time.monotonic()
    rows: list[Row] = json.loads(data.read_text(encoding="utf-8"))
    model, tokenizer = load(folder)
    given, chosen = zip(*ask(model, tokenizer, rows), strict=True)
    return {**score(rows, list(given), list(chosen)), "seconds": round(time.monotonic() - started, 1)}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: print the result as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.evaluate", description="Accuracy of a model on held-out rows."
    )
    parser.add_argument(
        "--model", type=Path, required=True, metavar="DIR", help="folder with config.json and safetensors"
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="alpaca JSON with instruction, input, output"
    )
    args = parser.parse_args(argv)
    print(json.dumps(evaluate(args.model, args.data), indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
