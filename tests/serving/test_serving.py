"""Two versions of a real model, served by a real vLLM as their promotions say: the new answers, and after a revert the old."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.platform_copy import ROOT
from tests.serving.reference_settings import NEW_TOKENS
from tests.serving.site import Site, answers, reference

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]  # minutes on a quiet machine, an hour on a busy one

# LLaMA Factory's template smollm2 has it (demo/evaluate.py).
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face."
QUESTIONS, PLAIN = 10, 8  # how many are asked, and how many of the answers must show which data the version learnt from
# vLLM and transformers add the same float32 numbers in another order. Seen on this model: differences of up to 4e-5 nats; an
# error in weights, tokenizer or template shows as whole nats. Where the two likeliest tokens lie closer together than this,
# either may be the greedy one.
NATS = 0.01


def chats() -> list[list[dict[str, str]]]:
    """Held-out messages, as LLaMA Factory rendered those of the training."""
    rows = json.loads((ROOT / "demo" / "data" / "customer-topics-held-out.json").read_text())[:QUESTIONS]
    return [
        [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": f"{row['instruction']}\n{row['input']}"},
        ]
        for row in rows
    ]


def served(site: Site) -> list[dict[str, Any]]:
    """The running vLLM's answers."""
    return [site.ask(chat, NEW_TOKENS) for chat in chats()]


def differences(mine: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[str]:
    """Answers that differ by more than the order of additions explains."""
    found = []
    for one, other in zip(mine, theirs, strict=True):
        close = min(other["margins"]) < NATS
        if one["text"] != other["text"] and not close:
            found.append(f"{one['text']!r} from vLLM, {other['text']!r} from transformers")
        pairs = zip(one["logprobs"], other["logprobs"], strict=False)
        if not close and max(abs(a - b) for a, b in pairs) > NATS:
            found.append(f"log probabilities {one['logprobs']} from vLLM, {other['logprobs']} from transformers")
    return found


def test_promotion_and_revert_reach_the_answers(site: Site) -> None:
    """What is promoted is served, word for word as transformers answers from the published folder; a revert serves the old."""
    first, second = site.published("topics-1"), site.published("topics-2")
    site.commit("what ran")

    site.promote(first)
    site.restart()
    expected = reference([site.folder(first), site.folder(second)], chats())
    small, capital = answers(expected)
    site.ready()
    assert site.check() == 0
    old = served(site)
    assert differences(old, small) == []
    assert sum(each["text"].islower() for each in old) >= PLAIN

    site.promote(second)
    assert site.check() == 1, "the running server does not serve what git says, and serve-check did not notice"
    site.restart()
    site.ready()
    assert site.check() == 0
    new = served(site)
    assert differences(new, capital) == []
    assert sum(each["text"].isupper() for each in new) >= PLAIN

    site.revert()
    assert site.check() == 1
    site.restart()
    site.ready()
    assert site.check() == 0
    assert [each["text"] for each in served(site)] == [each["text"] for each in old]
