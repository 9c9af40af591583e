"""The generated tables against the installed LLaMA Factory itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tools.llamafactory.table import ChatTemplate, arguments, check_value, templates

pytestmark = pytest.mark.heavy
pytest.importorskip("llamafactory", reason="needs the runner's environment")

CONFIGS = Path(__file__).parent.parent / "fixtures" / "llamafactory"


def configs(folder: str) -> list[Any]:
    """Every config of a folder, each named after itself."""
    return [pytest.param(path, id=path.stem) for path in sorted((CONFIGS / folder).glob("*.yaml"))]


def read(path: Path) -> dict[str, Any]:
    """A config as `llamafactory-cli train FILE` reads it."""
    from omegaconf import OmegaConf

    container = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def parse(config: dict[str, Any]) -> None:
    """LLaMA Factory's own parser; raises where it refuses."""
    from llamafactory.hparams.parser import _TRAIN_ARGS
    from transformers import HfArgumentParser

    HfArgumentParser(_TRAIN_ARGS).parse_dict(dict(config))


def unknown(config: dict[str, Any]) -> set[str]:
    """Keys that the table lacks."""
    return set(config) - set(arguments())


def refused(config: dict[str, Any]) -> set[str]:
    """Known keys whose value the table refuses."""
    return {key for key, value in config.items() if key in arguments() and check_value(arguments()[key], value)}


def test_committed_tables_are_what_the_installed_package_says() -> None:
    """Generating the tables again gives the committed files, byte for byte."""
    from tools.generate.llamafactory_tables import FOLDER, build

    for name, text in build().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name}: run the generator"


@pytest.mark.parametrize("path", configs("accepted"))
def test_what_the_table_accepts_the_parser_accepts(path: Path) -> None:
    """A config without a fault passes both the table and LLaMA Factory's parser."""
    config = read(path)
    assert (unknown(config), refused(config)) == (set(), set())
    parse(config)


@pytest.mark.parametrize("path", configs("unknown_key"))
def test_unknown_keys_are_the_same_for_both(path: Path) -> None:
    """The key that gives the file its name is unknown to the table and named by the parser."""
    config = read(path)
    assert unknown(config) == {path.stem}
    with pytest.raises(ValueError, match="not used by the HfArgumentParser") as fault:
        parse(config)
    assert f"['{path.stem}']" in str(fault.value)


@pytest.mark.parametrize("path", configs("wrong_type"))
def test_what_the_parser_refuses_for_its_type_the_table_refuses(path: Path) -> None:
    """The value of the key that gives the file its name fails in the parser, and the table names that key."""
    config = read(path)
    assert (unknown(config), refused(config)) == (set(), {path.stem})
    with pytest.raises((ValueError, TypeError, AttributeError, AssertionError)):
        parse(config)


@pytest.mark.parametrize("path", configs("unnoticed_type"))
def test_what_the_parser_lets_through_the_table_refuses(path: Path) -> None:
    """LLaMA Factory's parser takes a value of the wrong type unseen; the table does not."""
    config = read(path)
    assert (unknown(config), refused(config)) == (set(), {path.stem})
    parse(config)


def test_table_has_the_parsers_keys_and_no_others() -> None:
    """The table's keys are the fields that LLaMA Factory's train parser lets a config set."""
    from dataclasses import fields

    from llamafactory.hparams.parser import _TRAIN_ARGS

    declared = {field.name for cls in _TRAIN_ARGS for field in fields(cls) if field.init}
    assert declared == set(arguments())


CONVERSATION = [("user", "2 + 2?"), ("assistant", "4"), ("user", "And 3 + 3?"), ("assistant", "6")]


def byte_tokenizer() -> Any:
    """A tokenizer whose every byte is a token, with a bos and an eos token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "<bos>", "<eos>"]
    core = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<bos>", eos_token="<eos>")


def encode(template: ChatTemplate, tokenizer: Any, system: str) -> list[Any]:
    """The conversation's tokens, from the table alone."""

    def slot(name: str, content: str) -> list[Any]:
        ids: list[Any] = []
        for part in template.slots[name]:
            if isinstance(part, str):
                ids += tokenizer.encode(part.replace("{{content}}", content, 1), add_special_tokens=False)
            elif "token" in part:
                ids.append(tokenizer.convert_tokens_to_ids(part["token"]))
            else:
                ids.append(getattr(tokenizer, f"{part['special']}_id"))
        return ids

    system, before = system or template.default_system, ""
    ids = slot("prefix", "")
    if system and template.system_in_first_message:
        before = str(template.slots["system"][0]).replace("{{content}}", system)
    elif system:
        ids += slot("system", system)
    for index, (role, content) in enumerate(CONVERSATION):
        if role == "assistant":
            ids += tokenizer.encode(template.empty_thought, add_special_tokens=False)
        ids += slot(role, content if index else before + content)
    return ids


@pytest.mark.parametrize("system", ["", "You add numbers."])
@pytest.mark.parametrize("name", templates())
def test_template_gives_the_tokens_that_llama_factory_gives(name: str, system: str) -> None:
    """A conversation put together from the table has exactly the tokens of LLaMA Factory's own template."""
    from llamafactory.data.template import TEMPLATES

    tokenizer = byte_tokenizer()
    messages = [{"role": role, "content": content} for role, content in CONVERSATION]
    turns = TEMPLATES[name].encode_multiturn(tokenizer, messages, system)
    assert encode(templates()[name], tokenizer, system) == [token for turn in turns for half in turn for token in half]
