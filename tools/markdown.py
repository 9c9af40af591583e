"""Text from a file as Markdown that shows it as it is: no markup, link, mention or HTML can come of it."""

from __future__ import annotations

import re

# All ASCII punctuation takes a backslash in CommonMark (section 2.4). GitLab reads `\@name` and the like as text, while it
# resolves references in what a numeric entity stands for.
_PUNCTUATION = re.compile(r"([\\`*_{}\[\]()#+!|~$%^&@:.<>])")


def escaped(text: str) -> str:
    """One line of plain text, its punctuation escaped."""
    return _PUNCTUATION.sub(r"\\\1", " ".join(text.split()))
