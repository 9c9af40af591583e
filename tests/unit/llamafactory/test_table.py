from __future__ import annotations

import math
from typing import Any

import pytest
import yaml

from tools.llamafactory.table import arguments, check_value, renamed, template_for, templates

ENTRIES = arguments()


def test_every_argument_accepts_its_default() -> None:
    """Every argument accepts the default that its own dataclass declares."""
    assert [name for name, argument in ENTRIES.items() if check_value(argument, argument.default)] == []


def test_every_argument_refuses_a_value_of_no_kind() -> None:
    """A value that YAML cannot give is refused by every argument, with words that say what is allowed."""
    assert [name for name, argument in ENTRIES.items() if not check_value(argument, object())] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 1.0e-4),
        ("num_train_epochs", 3),
        ("save_steps", 0.1),
        ("lora_alpha", None),
        ("bf16", False),
        ("lora_target", "q_proj,v_proj"),
        ("lora_target", ["q_proj", "v_proj"]),
        ("interleave_probs", [0.5, 1]),
        ("lr_scheduler_kwargs", {"min_lr": 1.0e-6}),
        ("lr_scheduler_kwargs", '{"min_lr": 1.0e-6}'),
        ("stage", "dpo"),
        ("fsdp", "full_shard auto_wrap"),
        ("fsdp", ["full_shard", "auto_wrap"]),
        ("include_num_input_tokens_seen", True),
        ("include_num_input_tokens_seen", "non_padding"),
    ],
)
def test_fitting_value_passes(name: str, value: Any) -> None:
    """A value of a kind that LLaMA Factory takes has no finding."""
    assert check_value(ENTRIES[name], value) is None


NUMBER = "a number, for instance 1.0e-4"
WHOLE = "a whole number, for instance 8"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("learning_rate", "1e-4", NUMBER),
        ("learning_rate", True, NUMBER),
        ("learning_rate", None, NUMBER),
        ("learning_rate", math.nan, NUMBER),
        ("learning_rate", math.inf, NUMBER),
        ("learning_rate", [1.0e-4], NUMBER),
        ("lora_rank", 8.0, WHOLE),
        ("lora_rank", True, WHOLE),
        ("lora_rank", "8", WHOLE),
        ("max_samples", "all", f"{WHOLE}, or null"),
        ("bf16", "yes", "true or false"),
        ("bf16", 1, "true or false"),
        ("lora_target", ["q_proj", 1], "a text, or a list of texts"),
        ("interleave_probs", [0.5, "half"], "a text, or a list of numbers, or null"),
        ("vllm_config", 5, "a mapping of keys to values, or a text, or null"),
        ("stage", "sftt", "one of: pt, sft, rm, ppo, dpo, kto"),
        ("rope_scaling", 2, "one of: linear, dynamic, yarn, llama3, or null"),
        ("debug", "all", "a list (or one text, separated by blanks) of: underflow_overflow, tpu_metrics_debug"),
        ("debug", ["all"], "a list (or one text, separated by blanks) of: underflow_overflow, tpu_metrics_debug"),
        ("parallelism_config", {}, "null"),
    ],
)
def test_unfitting_value_is_answered_with_what_is_allowed(name: str, value: Any, allowed: str) -> None:
    """A value of another kind is answered with the kinds and words that the argument takes."""
    assert check_value(ENTRIES[name], value) == allowed


def test_groups_tell_whose_argument_it_is() -> None:
    """The group is the dataclass that defines the argument, so that whole groups can be kept from users."""
    assert ENTRIES["ray_num_workers"].group == "RayArguments"
    assert ENTRIES["swanlab_api_key"].group == "SwanLabArguments"
    assert ENTRIES["export_dir"].group == "ExportArguments"
    assert ENTRIES["lora_rank"].group == "LoraArguments"


def test_known_but_outgoing_arguments_are_marked() -> None:
    """Keys that transformers still takes but is about to drop are marked as deprecated."""
    deprecated = {name for name, argument in ENTRIES.items() if argument.deprecated}
    assert deprecated == {"local_rank", "logging_dir", "overwrite_output_dir", "warmup_ratio"}


def test_renamed_keys_are_unknown_and_lead_to_known_ones() -> None:
    """No old name is a key of the pinned version, and each new name is one."""
    assert not set(renamed()) & set(ENTRIES)
    assert {entry.new for entry in renamed().values() if entry.new} <= set(ENTRIES)


@pytest.mark.parametrize("old", renamed())
def test_remedy_can_be_pasted(old: str) -> None:
    """Whatever a remedy puts in backticks is a known key, with a value that the key takes."""
    for quoted in renamed()[old].remedy.split("`")[1::2]:
        pasted = yaml.safe_load(quoted)
        if isinstance(pasted, str):
            assert pasted in ENTRIES
        else:
            assert [check_value(ENTRIES[key], value) for key, value in pasted.items()] == [None]


def test_template_of_an_instruct_model_is_known_in_any_case() -> None:
    """A repository's template is found whatever the case in which somebody writes the repository."""
    assert template_for("HuggingFaceTB/SmolLM2-135M-Instruct") == "smollm2"
    assert template_for("huggingfacetb/smollm2-135m-instruct") == "smollm2"


def test_base_and_unknown_models_have_no_template() -> None:
    """A base model has no chat format of its own, and nothing is guessed for an unknown one."""
    assert template_for("HuggingFaceTB/SmolLM2-135M") is None
    assert template_for("nobody/nothing") is None


def test_template_carries_what_surrounds_each_message() -> None:
    """A template tells the text around each message, its special tokens, and the system text used by default."""
    smollm2, mistral = templates()["smollm2"], templates()["mistral"]
    assert smollm2.slots["user"] == ("<|im_start|>user\n{{content}}<|im_end|>\n<|im_start|>assistant\n",)
    assert smollm2.default_system.startswith("You are a helpful AI assistant named SmolLM")
    assert mistral.slots["assistant"] == (" {{content}}", {"special": "eos_token"})
    assert mistral.slots["prefix"] == ({"special": "bos_token"},)


def test_templates_tell_media_packing_and_reasoning_apart() -> None:
    """Media models, models that refuse neat packing and reasoning models are recognisable by their template."""
    assert templates()["qwen2_vl"].mm_plugin == "qwen2_vl"
    assert templates()["qwen3"].mm_plugin == "base"
    assert {name for name, template in templates().items() if not template.neat_packing} == {
        "gemma4",
        "gemma4n",
        "gpt_oss",
    }
    assert templates()["qwen3"].empty_thought == "<think>\n\n</think>\n\n"
    assert templates()["glm4_7"].empty_thought == "</think>"
    assert templates()["smollm2"].empty_thought == ""
