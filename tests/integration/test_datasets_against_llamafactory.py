"""What `ft dataset check` says about a file against what real LLaMA Factory makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.datasets.check import Report, check
from tools.datasets.detect import Choice
from tools.datasets.example import Example
from tools.datasets.lengths import Lengths
from tools.datasets.tokens import TokenCounter
from tools.llamafactory.table import templates

pytestmark = pytest.mark.heavy
pytest.importorskip("llamafactory", reason="needs the runner's environment")

FIXTURES = Path(__file__).parent.parent / "fixtures" / "datasets"
GOOD = sorted((FIXTURES / "good").glob("*.json*"))
# Refused although LLaMA Factory takes every row, because it would train on something else than the row says.
STRICTER = {
    "different_arguments.jsonl": "fills in null for the keys of other rows",
    "ends_with_tool.jsonl": "drops the tool's result",
    "image_placeholder.jsonl": "the text stands for a picture that is not there",
    "images.json": "the column is not mapped: pictures are not supported",
    "nan.jsonl": "reads NaN, which is no JSON",
}
BAD = [path for path in sorted((FIXTURES / "bad").glob("*.json*")) if path.name not in STRICTER]


def info(report: Report, path: Path) -> dict[str, Any]:
    """The file's entry in dataset_info.json, as the runner writes it."""
    layout = report.layout
    assert layout is not None
    entry = {"file_name": path.name, "formatting": layout.format, "ranking": layout.ranking}
    return entry | {"columns": dict(layout.columns)} | ({"tags": dict(layout.tags)} if layout.tags else {})


def aligned(path: Path, entry: dict[str, Any], cache: Path) -> list[dict[str, Any]]:
    """The rows that LLaMA Factory's loader and converter give."""
    from datasets import load_dataset
    from llamafactory.data.converter import align_dataset
    from llamafactory.data.parser import DatasetAttr
    from llamafactory.hparams import DataArguments
    from transformers import TrainingArguments

    attributes = DatasetAttr("file", dataset_name=path.name)
    attributes.join(entry)
    arguments = TrainingArguments(output_dir=str(cache), report_to="none", use_cpu=True)
    table = load_dataset("json", data_files=[str(path)], split="train", cache_dir=str(cache))
    return list(align_dataset(table, attributes, DataArguments(dataset_dir=str(path.parent)), arguments))


def kept(rows: list[dict[str, Any]], report: Report) -> list[dict[str, Any]]:
    """The rows that the processor of the file's stage does not drop (llamafactory/data/processor/*.py)."""
    layout = report.layout
    assert layout is not None
    if layout.plain_text:
        return rows
    answers = 2 if layout.ranking or "kto_tag" in layout.columns else 1
    return [row for row in rows if len(row["_prompt"]) % 2 == 1 and len(row["_response"]) == answers]


def examples(path: Path) -> tuple[Report, list[Example]]:
    """Our own reading of the file."""
    found: list[Example] = []
    return check(path, Choice(), found.append), found


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_a_file_without_errors_is_loaded_whole_and_with_the_same_text(path: Path, tmp_path: Path) -> None:
    """LLaMA Factory keeps every row of a file that we accept, with the turns, system text and tools that we read."""
    report, ours = examples(path)
    assert report.errors == []
    theirs = kept(aligned(path, info(report, path), tmp_path), report)
    assert len(theirs) == report.rows == len(ours)
    for row, example in zip(theirs, ours, strict=True):
        answers = [
            turn
            for turn in row["_response"]
            if turn["content"] or not report.layout or "kto_tag" not in report.layout.columns
        ]
        assert [turn["content"] for turn in row["_prompt"]] == [turn.content for turn in example.turns]
        assert [turn["content"] for turn in answers] == [turn.content for turn in example.answers]
        assert (row["_system"] or "", row["_tools"] or "") == (example.system, _tools(example, row))


def _tools(example: Example, row: dict[str, Any]) -> str:
    """Tools compare as JSON: Arrow may order keys differently."""
    if example.tools and json.loads(example.tools) == json.loads(row["_tools"]):
        return str(row["_tools"])
    return example.tools


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name)
def test_a_file_with_errors_loses_rows_or_does_not_load(path: Path, tmp_path: Path) -> None:
    """LLaMA Factory fails on a file that we refuse, or keeps fewer rows than it has, or gives the tokenizer no text."""
    report, ours = examples(path)
    assert report.errors
    if report.layout is None:
        return
    try:
        theirs = kept(aligned(path, info(report, path), tmp_path), report)
    except Exception:  # noqa: BLE001 - any failure agrees with our refusal
        return
    assert len(theirs) < report.rows or not _formats(theirs)
    assert len(ours) <= report.rows


def _formats(rows: list[dict[str, Any]]) -> bool:
    """Whether the template's formatters, which run after the loading, take every message and tool list."""
    from llamafactory.data.template import TEMPLATES

    template = TEMPLATES["qwen"]
    slots = {"user": template.format_user, "assistant": template.format_assistant, "function": template.format_function}
    slots["observation"] = template.format_observation
    try:
        for row in rows:
            for turn in row["_prompt"] + row["_response"]:
                slots[turn["role"]].apply(content=turn["content"])
            if row["_tools"]:
                template.format_tools.apply(content=row["_tools"])
    except (RuntimeError, TypeError, KeyError):
        return False
    return True


@pytest.mark.parametrize("name", sorted(STRICTER))
def test_where_we_are_stricter_llama_factory_loads_every_row(name: str, tmp_path: Path) -> None:
    """The listed differences are real: LLaMA Factory loads these files without a word."""
    path = FIXTURES / "bad" / name
    report, _ = examples(path)
    assert report.errors
    assert len(kept(aligned(path, info(report, path), tmp_path), report)) == report.rows


@pytest.mark.parametrize(
    "change",
    [
        {"system": "late"},
        {"nothing": "text after nulls"},
        {"whole": 1.5},
        {"dates": "no date"},
        {"list": [["a", "b"]]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_columns_are_fixed_after_the_first_ten_mebibytes(change: dict[str, Any], tmp_path: Path) -> None:
    """A row that changes a column's type after the first 10 MiB of JSON Lines is an error, and LLaMA Factory cannot load it."""
    row = {"instruction": "q", "output": "x" * 4000, "nothing": None, "whole": 1, "dates": "2024-01-01", "list": []}
    rows = [json.dumps(row)] * 3000 + [json.dumps(row | change)]
    path = tmp_path / "late.jsonl"
    path.write_text("\n".join(rows))
    report, _ = examples(path)
    assert [error.row for error in report.errors] == [3001]
    with pytest.raises(Exception, match="generating the dataset"):
        aligned(path, info(report, path), tmp_path / "cache")


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small byte-level tokenizer trained on the fixtures, with the special tokens that templates use."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train([str(path) for path in GOOD], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    "template_name", ["chatml", "default", "llama2", "llama3", "qwen", "qwen3", "deepseek3", "gemma2"]
)
@pytest.mark.parametrize("file", ["alpaca.json", "messages.jsonl", "dolly.jsonl"])
def test_token_lengths_are_those_of_the_trainer(
    template_name: str, file: str, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """Each row of a conversation counts as many tokens as LLaMA Factory makes of it."""
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments
    from transformers import AutoTokenizer

    path = FIXTURES / "good" / file
    report = check(path, Choice())
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    template = get_template_and_fix_tokenizer(tokenizer, DataArguments(template=template_name))
    expected = Lengths()
    for row in aligned(path, info(report, path), tmp_path):
        pairs = template.encode_multiturn(tokenizer, row["_prompt"] + row["_response"], row["_system"], row["_tools"])
        expected.add([sum(len(part) for pair in pairs for part in pair) + int(template.efficient_eos)])

    counter = TokenCounter(tokenizer_folder, templates()[template_name])
    check(path, Choice(), counter.take)
    assert counter.summary("tiny") == expected.summary("tiny")
