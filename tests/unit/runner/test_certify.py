"""What the certificate compares without torch: texts, and the bytes of a model that was copied."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner import completion, placing
from runner.__main__ import main
from runner.certify import certificate, texts
from runner.certify.certificate import Certificate, Logits, Weights
from runner.certify.changed import changes
from tests.finished import finish
from tests.runs import make_paths, write_lock

GOOD = Weights(tensors=4, elements=4096, different=0, worst=0.5)
NEAR = Logits(
    prompts=5,
    positions=80,
    difference=0.005,
    tolerance=0.03,
    largest=0.04,
    argmax_equal=80,
    argmax_decided=60,
    argmax_wrong=0,
)


def certified(**changed: Any) -> Certificate:
    """A certificate of a good merge, with parts changed."""
    change = {"kind": "lora", "elements": 1024, "changed": 1000, "norm": 0.5}
    fields: dict[str, Any] = {
        "version": 1, "run_id": "exp-001-01234567", "run_sha256": "0" * 64, "method": "merge", "dtype": "bfloat16", "base": {},
        "trained": {}, "result": {"model.safetensors": {"sha256": "1" * 64, "size": 10}}, "untouched": 3,
        "changes": {"model.layers.0.self_attn.q_proj.weight": change}, "checks": texts.CHECKS, "weights": GOOD, "logits": NEAR,
        "versions": {},
    }  # fmt: skip
    return Certificate.model_validate({**fields, **changed})


def test_a_good_merge_has_no_fault() -> None:
    """Figures within their tolerances vouch for the model."""
    assert certificate.faults(certified()) == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"changes": {}}, "no element differs"),
        ({"weights": None}, "were not compared"),
        ({"weights": GOOD.model_copy(update={"worst": 1.5})}, "1.5 times as far"),
        ({"logits": NEAR.model_copy(update={"difference": 0.5})}, "logits differ"),
        ({"logits": NEAR.model_copy(update={"argmax_wrong": 2})}, "most likely token differs at 2"),
    ],
)
def test_each_figure_can_refuse(changed: dict[str, Any], reason: str) -> None:
    """Whoever reads a certificate judges its figures again."""
    (fault,) = certificate.faults(certified(**changed))
    assert reason in fault


def test_the_base_itself_has_the_same_texts(tmp_path: Path) -> None:
    """A result with the training's own files has no fault."""
    base = make_paths(tmp_path).base_model
    assert texts.faults(base, base, base) == []


def _edit(name: str, **values: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        file = folder / name
        content = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps({**content, **values}))

    return edit


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (
            _edit("tokenizer_config.json", eos_token="<|endoftext|>"),
            "eos_token is '<|endoftext|>'; allowed: '<|im_end|>'",
        ),
        (_edit("tokenizer_config.json", chat_template="{{ messages }}"), "the chat template is not that of"),
        (
            lambda folder: (folder / "chat_template.jinja").write_text("{{ messages }}"),
            "the chat template is not that of",
        ),
        (_edit("tokenizer.json", pre_tokenizer=None), "tokenizer.json differs in pre_tokenizer"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing"),
        (_edit("generation_config.json", temperature=2.0), "generation_config.json differs in temperature"),
        (_edit("config.json", vocab_size=100), "rows; allowed: 100, the vocab_size of config.json"),
    ],
    ids=["eos", "template", "template file", "tokenizer", "no tokenizer", "generation", "vocabulary"],
)
def test_a_text_that_differs_from_the_training_is_named(
    tmp_path: Path, edit: Callable[[Path], None], reason: str
) -> None:
    """Tokenizer, template, special tokens, generation settings and vocabulary each refuse alone."""
    base = make_paths(tmp_path).base_model
    _edit("generation_config.json", temperature=0.5)(base)
    result = shutil.copytree(base, tmp_path / "result")
    edit(result)
    assert any(reason in fault for fault in texts.faults(base, base, result))


def test_what_a_tokenizer_was_last_asked_is_no_difference(tmp_path: Path) -> None:
    """tokenizer.json also holds truncation and padding of its last call."""
    base = make_paths(tmp_path).base_model
    result = shutil.copytree(base, tmp_path / "result")
    _edit("tokenizer.json", truncation={"max_length": 8})(result)
    _edit("generation_config.json", transformers_version="4.0")(base)
    _edit("generation_config.json", transformers_version="5.0")(result)
    assert texts.faults(base, base, result) == []


def test_tensors_are_compared_by_their_bytes(tmp_path: Path) -> None:
    """One changed number names its tensor and no other."""
    base = make_paths(tmp_path).base_model
    result = shutil.copytree(base, tmp_path / "result")
    file = result / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    found, same = changes(base, result)
    assert list(found) == ["model.layers.1.post_attention_layernorm.weight"]
    assert same == 19


def test_certify_is_a_step_of_its_own(tmp_path: Path) -> None:
    """`python -m runner certify` leaves merge and certificate staged; publishing takes both over as they are."""
    paths = make_paths(tmp_path, settings={"finetuning_type": "full"})
    lock = write_lock(paths.lock, tmp_path / "run.yaml")
    command = ["certify", "--lock", str(lock), "--storage", str(paths.storage)]
    assert main(command) == 3  # not trained yet
    finish(paths)
    assert main(command) == 0
    (staged,) = paths.merged.parent.glob(".staging-*/model/certificate.json")
    before = staged.stat().st_ino
    proof = completion.check(paths).completion
    assert proof is not None
    assert (placing.place(paths, proof) / "certificate.json").stat().st_ino == before
    assert main(command) == 3  # published already
