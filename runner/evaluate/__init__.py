"""Evaluation before promotion: base, candidate and champion on the same held-out rows, behaviours, a verdict.

`step` is the whole of it. `contenders` says whom, `rows` on what, `session` asks one model after the other through `answering`
and keeps `predictions`; `metrics`, `intervals` and `scoring` make numbers, `checks` judges behaviours, `verdict` all of it;
`report` tells MLflow; `runner.publish` calls it.
"""
