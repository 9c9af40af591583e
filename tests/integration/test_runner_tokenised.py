"""Tokenised rows kept on the storage: the same rows for the same run, none for another, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from runner import tokenised, trainer
from runner.storage import Paths
from runner.tokenised import MANIFEST, ROWS, Cache
from tests.runs import make_lock, make_paths

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(find_spec("llamafactory") is None, reason="needs the runner's environment"),
]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A run of the tiny model, some rows held out."""
    return make_paths(tmp_path, settings={"val_size": 4, "eval_strategy": "steps", "eval_steps": 2})


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder as LLaMA Factory could have written it."""
    folder = tmp_path / "made"
    (folder / "train").mkdir(parents=True)
    (folder / "dataset_dict.json").write_text('{"splits": ["train"]}')
    (folder / "train" / "data-00000-of-00001.arrow").write_bytes(os.urandom(4096))
    return folder


def loaded(paths: Paths, scratch: Path, cache: Cache) -> dict[str, Any]:
    """LLaMA Factory's rows, trained and held out."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    scratch.mkdir(exist_ok=True)
    (scratch / "dataset_info.json").write_text(json.dumps(trainer.dataset_info(paths)))
    arguments = {**trainer.arguments(paths, scratch, None), **tokenised.settings(cache)}
    model_args, data_args, training_args, _, _ = get_train_args(arguments)
    module = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(module["tokenizer"], data_args)
    found = get_dataset(template, model_args, data_args, training_args, stage="sft", **module)
    return {name: rows.to_list() for name, rows in found.items()}


def test_a_second_start_reads_the_very_rows(paths: Paths, tmp_path: Path) -> None:
    """What LLaMA Factory tokenised, kept and loaded by LLaMA Factory, is the same, the held-out rows included."""
    first = tokenised.cache(paths, tmp_path / "first")
    assert first.new
    assert first.path is not None
    before = loaded(paths, tmp_path / "first", first)
    tokenised.keep(paths, first.path)
    second = tokenised.cache(paths, tmp_path / "second")
    assert (second.new, second.path) == (False, tokenised.folder(paths) / tokenised.key(paths.lock) / ROWS)
    paths.dataset(paths.lock.run.datasets[0]).unlink()  # nobody reads it again
    assert loaded(paths, tmp_path / "second", second) == before
    assert {len(rows) for rows in before.values()} == {28, 4}


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({"learning_rate": 0.5, "lora_rank": 2, "max_steps": 1, "per_device_train_batch_size": 1}, True),
        ({"cutoff_len": 32}, False),
        ({"template": "llama3"}, False),
        ({"neat_packing": True}, False),
        ({"train_on_prompt": True}, False),
        ({"seed": 1}, False),
        ({"stage": "kto"}, False),
    ],
)
def test_the_key_is_what_decides_the_rows(paths: Paths, settings: dict[str, Any], *, same: bool) -> None:
    """Learning rates share rows; lengths, templates, packing, masks, splits and stages do not."""
    own = {"val_size": 4, "eval_strategy": "steps", "eval_steps": 2}
    other = make_lock(paths.storage, settings={**own, **settings})
    assert (tokenised.key(other) == tokenised.key(paths.lock)) is same


def test_another_dataset_or_tokenizer_is_another_key(paths: Paths) -> None:
    """By their hashes, not their names."""
    before = tokenised.key(paths.lock)
    data = paths.dataset(paths.lock.run.datasets[0])
    data.write_text(data.read_text() + " ")
    settings = {"val_size": 4, "eval_strategy": "steps", "eval_steps": 2}
    assert tokenised.key(make_lock(paths.storage, settings=settings)) != before
    data.write_text(data.read_text()[:-1])
    assert tokenised.key(make_lock(paths.storage, settings=settings)) == before
    tokenizer = paths.base_model / "tokenizer_config.json"
    tokenizer.write_text(tokenizer.read_text() + " ")
    assert tokenised.key(make_lock(paths.storage, settings=settings)) != before


@pytest.mark.parametrize("damage", ["changed", "cut", "missing", "surplus", "no manifest", "manifest"])
def test_damaged_rows_are_made_again(paths: Paths, made: Path, tmp_path: Path, damage: str) -> None:
    """Whatever is wrong with a cache, the run tokenises anew and the next one has a whole cache again."""
    tokenised.keep(paths, made)
    place = tokenised.folder(paths) / tokenised.key(paths.lock)
    data = place / ROWS / "train" / "data-00000-of-00001.arrow"
    if damage == "changed":
        content = bytearray(data.read_bytes())
        content[7] ^= 1
        data.write_bytes(content)
    elif damage == "cut":
        data.write_bytes(data.read_bytes()[:-1])
    elif damage == "missing":
        data.unlink()
    elif damage == "surplus":
        (place / ROWS / "state.json").write_text("{}")
    elif damage == "no manifest":
        (place / MANIFEST).unlink()
    else:
        (place / MANIFEST).write_text((place / MANIFEST).read_text()[:-20])
    assert tokenised.cache(paths, tmp_path) == Cache(tmp_path / "tokenised", new=True)
    tokenised.keep(paths, made)
    assert tokenised.cache(paths, tmp_path) == Cache(place / ROWS, new=False)
    assert sorted(path.name for path in tokenised.folder(paths).iterdir()) == [place.name]


def test_of_writers_at_once_one_wins(paths: Paths, made: Path, tmp_path: Path) -> None:
    """Eight at a time leave one whole cache and nothing half written, whoever reads meanwhile."""
    with ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(tokenised.keep, paths, made) for _ in range(8)]
        seen = [tokenised.cache(paths, tmp_path).path for _ in range(20)]
        for writer in writers:
            writer.result()
    place = tokenised.folder(paths) / tokenised.key(paths.lock)
    assert set(seen) <= {tmp_path / "tokenised", place / ROWS}
    assert [path.name for path in tokenised.folder(paths).iterdir()] == [place.name]
    assert tokenised._verified(paths) == place / ROWS


def test_what_nobody_uses_is_removed(paths: Paths, made: Path) -> None:
    """After a fortnight without a reader, and what a killed writer left after a day."""
    tokenised.keep(paths, made)
    place = tokenised.folder(paths)
    old = place / ("f" * 64)
    shutil.copytree(place / tokenised.key(paths.lock), old)
    (place / ".left").mkdir()
    for path, days in ((old / MANIFEST, 15), (place / ".left", 2)):
        then = time.time() - days * 86_400
        os.utime(path, (then, then))
    tokenised.keep(paths, made)
    assert [path.name for path in place.iterdir()] == [tokenised.key(paths.lock)]


def test_a_storage_that_takes_nothing_fails_no_run(
    paths: Paths, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file where the folder should be: a message, no exception, and rows are tokenised."""
    tokenised.folder(paths).parent.mkdir(parents=True)
    tokenised.folder(paths).write_text("x")
    tokenised.keep(paths, made)
    assert tokenised.cache(paths, tmp_path).new
    assert "the run goes on without kept tokens" in capsys.readouterr().out
