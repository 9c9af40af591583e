"""Greedy answers of a model folder under transformers, with each token's log probability: `python reference.py DIR ... < questions`.

Runs in the runner's environment. standard input: a JSON list of chats, as /v1/chat/completions takes them. standard output:
for each folder a list with, for each chat, `{"text": ..., "logprobs": [...], "margins": [...]}`; a margin is the distance of
the likeliest token to the second one, in nats.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from reference_settings import NEW_TOKENS
from transformers import AutoModelForCausalLM, AutoTokenizer


def answer(model: Any, tokenizer: Any, chat: list[dict[str, str]]) -> dict[str, Any]:
    """One greedy answer."""
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        found = model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=NEW_TOKENS,
            output_logits=True,
            return_dict_in_generate=True,
            pad_token_id=tokenizer.pad_token_id,
        )
    new = found.sequences[0, inputs["input_ids"].shape[1] :]
    scores = torch.stack([logits[0] for logits in found.logits]).log_softmax(-1)
    best = scores.topk(2, dim=-1).values
    return {
        "text": tokenizer.decode(new, skip_special_tokens=True),
        "logprobs": scores.gather(1, new[:, None])[:, 0].tolist(),
        "margins": (best[:, 0] - best[:, 1]).tolist(),
    }


def main() -> None:
    """Answer what stands on standard input."""
    chats, found = json.load(sys.stdin), []
    for folder in sys.argv[1:]:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        found.append([answer(model, tokenizer, chat) for chat in chats])
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
