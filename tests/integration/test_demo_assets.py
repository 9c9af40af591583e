"""The demo's base model against transformers' own reading of the same file, and its prompts against LLaMA Factory's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from demo import base_model, evaluate
from demo.gguf_tokenizer import PROBES

pytestmark = pytest.mark.heavy
HELD_OUT = Path(__file__).parents[2] / "demo" / "data" / "customer-topics-held-out.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model folder, built once for all tests."""
    return base_model.build(tmp_path_factory.mktemp("storage"))


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    """The folder's tokenizer as every trainer loads it."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_the_build_gives_the_pinned_bytes_and_nothing_else(folder: Path) -> None:
    """Every file has its pinned hash and nothing is left beside the folder."""
    assert base_model.faults(folder) == []
    assert list(folder.parent.iterdir()) == [folder]


def test_a_complete_folder_is_left_alone(folder: Path) -> None:
    """A second build touches no file."""
    before = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()}
    assert base_model.build(folder.parents[2]) == folder
    assert {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()} == before


def test_a_damaged_folder_is_replaced(tmp_path: Path) -> None:
    """A folder with a half-written file is built again as a whole."""
    damaged = tmp_path / "models" / "base-model" / base_model.NAME
    damaged.mkdir(parents=True)
    (damaged / "model.safetensors").write_bytes(b"half")
    assert base_model.faults(base_model.build(tmp_path)) == []
    assert list(damaged.parent.iterdir()) == [damaged]


def test_weights_and_configuration_are_what_transformers_reads(folder: Path) -> None:
    """Every tensor and every number of the architecture equals transformers' conversion of the same GGUF file."""
    import torch
    from transformers import AutoModelForCausalLM

    gguf = base_model.carrier_gguf()
    theirs = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16)
    ours = AutoModelForCausalLM.from_pretrained(folder)
    assert ours.dtype == torch.bfloat16
    expected = theirs.state_dict()
    assert ours.state_dict().keys() == expected.keys()
    assert [name for name, tensor in ours.state_dict().items() if not torch.equal(tensor, expected[name])] == []
    drop = {"_name_or_path", "_model_name_or_path", "architectures", "rms_norm_eps", "unk_token_id"}
    left, right = ours.config.to_dict(), theirs.config.to_dict()
    assert {k: v for k, v in left.items() if k not in drop} == {k: v for k, v in right.items() if k not in drop}
    assert left["rms_norm_eps"] == pytest.approx(right["rms_norm_eps"], rel=1e-6)


def test_the_tokenizer_ends_pads_and_splits_digits_as_the_model_was_trained(tokenizer: Any) -> None:
    """End and padding are <|im_end|>, digits stand alone, texts survive a round trip."""
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.model_max_length) == ("<|im_end|>", "<|im_end|>", 8192)
    assert tokenizer.tokenize("pay 4071") == ["pay", "Ġ", "4", "0", "7", "1"]
    assert [tokenizer.decode(tokenizer.encode(text)) for text in PROBES] == list(PROBES)


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    """The model as the evaluation loads it."""
    return evaluate.load(folder)[0]


def test_the_model_gives_a_sensible_answer(model: Any, tokenizer: Any) -> None:
    """Asked for the capital of France it says Paris."""
    row = {"instruction": "Answer in one word.", "input": "What is the capital of France?", "output": "Paris"}
    [(answer, _)] = evaluate.ask(model, tokenizer, [row])
    assert "paris" in answer.casefold()


def test_batched_answers_are_those_of_each_prompt_alone(model: Any, tokenizer: Any) -> None:
    """Padding and the prefix that is computed once change no answer."""
    rows = json.loads(HELD_OUT.read_text(encoding="utf-8"))[:4]
    alone = []
    for row in rows:
        inputs = tokenizer(evaluate.prompt(tokenizer, row), return_tensors="pt", add_special_tokens=False)
        output = model.generate(**inputs, do_sample=False, max_new_tokens=evaluate.NEW_TOKENS)
        alone.append(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
    assert [answer for answer, _ in evaluate.ask(model, tokenizer, rows)] == alone


def test_evaluation_prompts_are_llamafactorys_own(tokenizer: Any) -> None:
    """For each held-out row the prompt's tokens equal what LLaMA Factory's template smollm2 encodes."""
    from llamafactory.data.template import TEMPLATES

    template = TEMPLATES["smollm2"]
    for row in json.loads(HELD_OUT.read_text(encoding="utf-8")):
        query = {"role": "user", "content": f"{row['instruction']}\n{row['input']}"}
        expected, _ = template.encode_oneturn(tokenizer, [query, {"role": "assistant", "content": row["output"]}])
        assert tokenizer.encode(evaluate.prompt(tokenizer, row), add_special_tokens=False) == expected
