from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools import yamlsource
from tools.expand.yamltext import dump

# What a YAML file that passed `ft validate` can hold: no control characters, keys are text.
_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff\ufffe\uffff"), max_size=30)
_LOOKALIKES = ["yes", "No", "on", "~", "null", "1e-4", "1_000", "0x1f", "012", "2024-01-01", "1:30", ".inf", "=", "<<"]
_SYNTAX = [
    "",
    " a",
    "a: b",
    "- a",
    "a #b",
    "#",
    "*a",
    "&a",
    "!a",
    "%",
    "@",
    "`",
    "{}",
    "[]",
    "a:",
    "\u2028",
    "\x85",
    "\t",
]
_WORDS = st.sampled_from([*_LOOKALIKES, *_SYNTAX])
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    _TEXT,
    _WORDS,
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT | _WORDS, inner, max_size=4),
    max_leaves=15,
)
_MAPPINGS = st.dictionaries(_TEXT | _WORDS, _VALUES, min_size=1, max_size=5)


def _depth(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return 1 + max(map(_depth, children), default=0)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine draws slowly
@given(_MAPPINGS)
def test_what_is_written_reads_back_the_same_with_both_readers(data: dict[str, Any]) -> None:
    """Neither the tools' reader nor PyYAML, which others use, takes a value for another one."""
    text = dump(data)
    assert yaml.safe_load(text) == data
    if _depth(data) < 15:
        document = yamlsource.parse(text, "file")
        assert document.findings == []
        assert document.data == data


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_lacks_is_refused(number: float) -> None:
    """A lock's hash is made of JSON, which has no such number."""
    with pytest.raises(ValueError, match="cannot be written"):
        dump({"learning_rate": number})


def test_common_words_stay_readable() -> None:
    """Names, paths and addresses need no quotes; what only looks like a number or a boolean gets them."""
    text = dump({"path": "topics/train.json", "uri": "http://mlflow.example:5000", "limit": "2h", "word": "no"})
    assert text == 'path: topics/train.json\nuri: http://mlflow.example:5000\nlimit: "2h"\nword: "no"\n'
