"""A model's template is one that the pinned LLaMA Factory has, for text.

The template turns conversations into the tokens that the model was trained on; a wrong one trains a worse model.

Fails:

    template: smollm-2          # did you mean "smollm2"?

Passes:

    template: smollm2
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from tools.findings import Finding, quote
from tools.formats.model import Model
from tools.llamafactory.table import templates
from tools.rules.entry import Entry

ID = "model-template"
KIND = "model"
NEEDS = ("template",)


def check(entry: Entry[Model]) -> Iterator[Finding]:
    """Look the template up."""
    name = entry.value.template
    if name not in templates():
        near = get_close_matches(name, templates(), n=3)
        remedy = f"did you mean {' or '.join(map(quote, near))}?" if near else "see the templates of LLaMA Factory"
        found = f"LLaMA Factory has no template {quote(name)}"
        yield entry.parsed.document.finding(("template",), ID, found, "a template of the pinned LLaMA Factory", remedy)
