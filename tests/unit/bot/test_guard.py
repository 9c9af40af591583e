"""What may reach a cluster beside runs: only what a platform admin approved, path by path."""

from __future__ import annotations

import pytest

from tools.bot.authorize.guard import Step, blocked, is_guarded
from tools.bot.report.changes import is_bots

BASE, TOOLS = "base/training/v1/job.yaml", "tools/cli.py"
RUN, TENANT = "overlays/dev/team-a/exp-001/run.yaml", "overlays/dev/_tenants/team-a/lock.yaml"
SERVED = "overlays/dev/_serving/team-a/support/lock.yaml"
AUDIT = "audit/dev/team-a/exp-001-11111111.yaml"
NO = "0 approvals by a platform admin"


def step(name: str, *paths: str, to: str | None = "new", old: str | None = "old", **more: object) -> Step:
    """A landing that changes paths from one content to another."""
    return Step(name, dict.fromkeys(paths, (old, to)), **more)  # type: ignore[arg-type]


ALLOWED = {
    "nothing": [],
    "a tenant's own folders": [
        step("!1", "experiments/team-a/exp-002.yaml", "tenants/team-a/datasets/topics.yaml", refusal=NO)
    ],
    "what is served, and a recall": [
        step("!1", "serving/dev/team-a/support.yaml", "recalls/team-a/support-pl.yaml", refusal=NO)
    ],
    "an admin approved it": [step("!1", BASE, TOOLS)],
    "a direct push that was reverted": [step("abc", BASE, refusal=NO), step("!2", BASE, old="new", to="old")],
    "reverted by anybody": [step("abc", BASE, refusal=NO), step("def", BASE, old="new", to="old", refusal=NO)],
    "reverted, then approved": [
        step("abc", BASE, refusal=NO), step("!2", BASE, old="new", to="old"), step("!3", BASE),
    ],
    "a new file that went again": [step("abc", TOOLS, old=None, refusal=NO), step("!2", TOOLS, old="new", to=None)],
    "the bot's own commits": [step("abc", RUN, AUDIT, by_bot=True, refusal=NO)],
    "a tenant's generated overlay that an admin approved": [step("!1", TENANT)],
}  # fmt: skip
BLOCKED = {
    "nobody approved base": ([step("!1", BASE, refusal=NO)], "!1 changed base/training/v1/job.yaml outside"),
    "a direct push": ([step("abc", TOOLS, refusal="no merge request")], "no merge request"),
    "approved on top of what nobody approved": ([step("abc", BASE, refusal=NO), step("!2", BASE, old="new", to="3")], "abc"),
    "tenant.yaml is not the tenant's": ([step("!1", "tenants/team-a/tenant.yaml", refusal=NO)], "tenants/team-a/tenant.yaml"),
    "a deleted file": ([step("!1", BASE, to=None, refusal=NO)], "base/"),
    "the pipeline": ([step("!1", ".gitlab-ci.yml", refusal=NO)], ".gitlab-ci.yml"),
    "a run's overlay by hand, though an admin approved": ([step("!1", RUN)], "where only the bot writes"),
    "an audit record by hand, though an admin approved": ([step("!1", AUDIT)], "where only the bot writes"),
    "a served model's overlay by hand, though an admin approved": ([step("!1", SERVED)], "where only the bot writes"),
    "a tenant's generated overlay": ([step("!1", TENANT, refusal=NO)], "platform admin"),
}  # fmt: skip


@pytest.mark.parametrize("case", ALLOWED)
def test_what_moves_the_branch(case: str) -> None:
    """Nothing stands against it."""
    assert blocked(ALLOWED[case]) == []


@pytest.mark.parametrize("case", BLOCKED)
def test_what_stops_the_branch(case: str) -> None:
    """One sentence that names the landing, the files and the way out."""
    steps, words = BLOCKED[case]
    [sentence] = blocked(steps)
    assert words in sentence
    assert "revert it by a merge request" in sentence


def test_many_files_are_one_sentence() -> None:
    """A landing of a thousand files is named once."""
    [sentence] = blocked([step("!1", *(f"base/{number}.yaml" for number in range(1000)), refusal=NO)])
    assert "and 995 more" in sentence
    assert len(sentence) < 400


@pytest.mark.parametrize(
    ("path", "guarded", "bots"),
    [
        ("experiments/team-a/exp.yaml", False, False),
        ("experiments/README.md", True, False),
        ("experiments/team-a/deep/exp.yaml", False, False),
        ("tenants/team-a/datasets/d.yaml", False, False),
        ("tenants/team-a/datasets", True, False),
        ("tenants/team-a/tenant.yaml", True, False),
        ("overlays/dev/team-a/exp/run.yaml", True, True),
        ("overlays/dev/team-a", True, True),
        ("overlays/dev/_tenants/team-a/lock.yaml", True, False),
        ("overlays/dev/_platform/lock.yaml", True, False),
        ("audit/dev/team-a/exp-001-11111111.yaml", True, True),
        ("README.md", True, False),
    ],
)
def test_whose_a_path_is(path: str, guarded: bool, bots: bool) -> None:
    """Tenants' own folders, the admins' files, and what only the bot writes."""
    assert (is_guarded(path), is_bots(path)) == (guarded, bots)
