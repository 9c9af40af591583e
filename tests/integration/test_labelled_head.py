"""On a CPU under `performance: auto` the head computes the labelled tokens only: loss and gradients are those of all logits."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_runner_training import Place
from tests.runs import make_paths, write_model
from tools.formats.lock import LockedPerformance

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(find_spec("llamafactory") is None, reason="needs the runner's environment"),
]
X = -100
LABELS = {
    "answers at the end, padded": [[X, X, X, 7, 8, 9, X, X], [X, X, 7, 8, X, X, X, X]],
    "answers between": [[X, 5, X, X, 8, X, X, X], [X, X, X, X, X, X, X, 6]],
    "all": [[3, 4, 5, 6, 7, 8, 9, 3], [3, 4, 5, 6, 7, 8, 9, 3]],
    "one, in one row": [[X, X, X, 7, X, X, X, X], [X, X, X, X, X, X, X, X]],
    "the first, which nothing predicts": [[3, X, X, 7, X, X, X, X], [3, X, X, X, X, X, X, X]],
}


@pytest.fixture
def model(tmp_path: Path) -> Any:
    """A small Llama with LoRA, none of whose parts is zero, in training."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    write_model(tmp_path / "base")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    return get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)).train()


def learnt(model: Any, labels: list[list[int]], **options: Any) -> tuple[Any, dict[str, Any]]:
    """What the model answers, and the gradients of its loss."""
    import torch

    words = torch.arange(16).view(2, 8) + 3
    found = model(input_ids=words, labels=torch.tensor(labels), **options)
    found.loss.backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return found, gradients


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("options", [{}, {"num_items_in_batch": 11}], ids=["mean", "of so many in all passes"])
def test_the_loss_is_that_of_all_logits(model: Any, labels: list[list[int]], options: dict[str, Any]) -> None:
    """And so is every gradient; the trainer gives the number of items where a step has several passes."""
    import torch

    from runner.kernels import head

    whole, gradients = learnt(model, labels, **options)
    assert head.fits(model)
    head.narrow(model)
    narrow, found = learnt(model, labels, **options)
    assert narrow.loss.item() == pytest.approx(whole.loss.item(), rel=1e-6)
    wanted = {place for row in labels for place, label in enumerate(row[1:]) if label != X}
    assert narrow.logits.shape[1] == len(wanted)
    assert found.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_only_training_steps_are_narrowed(model: Any) -> None:
    """Evaluation reads all logits, and so does whoever asks without labels or for places of its own."""
    import torch

    from runner.kernels import head

    head.narrow(model)
    words, labels = torch.arange(16).view(2, 8) + 3, torch.tensor(LABELS["one, in one row"])
    assert model(input_ids=words).logits.shape[1] == 8
    assert model(input_ids=words, labels=labels, logits_to_keep=8).logits.shape[1] == 8
    model.eval()
    assert model(input_ids=words, labels=labels).logits.shape[1] == 8


def test_a_batch_without_labels_is_the_models_own_affair(model: Any) -> None:
    """Its loss is the mean of nothing, as it is without the narrowed head; the runner's guard deals with that."""
    import torch

    from runner.kernels import head

    head.narrow(model)
    words = torch.arange(8)[None] + 3
    assert model(input_ids=words, labels=torch.full((1, 8), X)).loss.isnan()


def test_another_loss_does_not_fit(model: Any) -> None:
    """A model that computes its loss by itself may read any of its logits."""
    from runner.kernels import head

    model.get_base_model().loss_function = lambda **_: None
    assert not head.fits(model)


def test_a_training_learns_the_same(tmp_path: Path) -> None:
    """Real trainings with and without: the same losses, step by step, and only the one under `auto` is narrowed."""
    chosen = LockedPerformance(as_written={}, expected_gain=1.5, reasons=[], fused=True)
    losses = []
    for name, performance in (("as-written", None), ("auto", chosen)):
        place = Place(tmp_path / name, make_paths(tmp_path / name, performance=performance))
        ended = place.train()
        assert ended.code == 0, ended.output
        assert ("labelled tokens only" in ended.output) is (name == "auto")
        losses.append([event["loss"] for event in ended.named("progress") if "loss" in event])
    assert losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
