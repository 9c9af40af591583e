"""What decides is measured: `passes` names metrics of the evaluation only.

`by` is the metric that base and champion are compared by (the first of `metrics` when omitted); `minimum` and `maximum` are
thresholds of single metrics.

Fails:

    evaluation: {metrics: [exact_match], passes: {minimum: {rouge_l: 0.3}}}

Passes:

    evaluation: {metrics: [exact_match, rouge_l], passes: {minimum: {rouge_l: 0.3}}}
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.findings import Finding, quote
from tools.rules.evaluation import section
from tools.rules.subject import Subject
from tools.yamlsource import Location

ID = "evaluation-passes"
KIND = "experiment"
NEEDS = ("evaluation",)


def check(subject: Subject) -> Iterator[Finding]:
    """Compare each name with the metrics."""
    found = section(subject)
    if found is None:
        return
    passes = found.passes
    named: list[tuple[Location, str]] = [(("by",), passes.by)] if passes.by else []
    named += [(("minimum", metric), metric) for metric in passes.minimum]
    named += [(("maximum", metric), metric) for metric in passes.maximum]
    for place, metric in named:
        if metric not in found.metrics:
            where = ("evaluation", "passes", *place)
            allowed, remedy = ", ".join(found.metrics), f"add {metric} to metrics"
            text = f"{quote(metric)} is not measured"
            yield subject.parsed.document.finding(where, ID, text, allowed, remedy, key=place[0] != "by")
