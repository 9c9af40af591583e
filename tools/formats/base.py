"""What all file formats share: strictness and the common types."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

MAX_LABEL = 40
LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_DURATION = re.compile(r"^([1-9][0-9]{0,4})(m|h|d)$")
_SECONDS = {"m": 60, "h": 3600, "d": 86400}

_LOGIN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
_SHA256 = r"^[0-9a-f]{64}$"
_PATH = r"^\.?[A-Za-z0-9_-][A-Za-z0-9._-]*(/\.?[A-Za-z0-9_-][A-Za-z0-9._-]*)*$"

PATTERN_IN_WORDS = {
    LABEL_PATTERN: f"a DNS label: lower-case letters, digits and hyphens, at most {MAX_LABEL} characters",
    _LOGIN: "a GitLab user name, for instance anna.nowak",
    _DURATION.pattern: "a whole number with m, h or d, for instance 30m, 8h or 2d",
    _SHA256: "64 lower-case hexadecimal digits",
    _PATH: "a relative path of letters, digits, dots, hyphens and underscores, without . or .. parts",
}

Label = Annotated[str, StringConstraints(pattern=LABEL_PATTERN, max_length=MAX_LABEL)]
Login = Annotated[str, StringConstraints(pattern=_LOGIN, max_length=255)]
Duration = Annotated[str, StringConstraints(pattern=_DURATION.pattern)]
Sha256 = Annotated[str, StringConstraints(pattern=_SHA256)]
RelativePath = Annotated[str, StringConstraints(pattern=_PATH, max_length=255)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class Strict(BaseModel):
    """A mapping that takes its own keys only, converts nothing and does not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


def seconds(duration: str) -> int:
    """Seconds of a `Duration` such as `8h`.

    Raises:
        ValueError: the text is no duration.
    """
    match = _DURATION.fullmatch(duration)
    if match is None:
        message = f"not a duration: {duration!r}"
        raise ValueError(message)
    return int(match[1]) * _SECONDS[match[2]]
