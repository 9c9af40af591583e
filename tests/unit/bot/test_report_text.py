"""The comment before the merge, as its readers see it and as an attacker would like it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gitlab.standin import GitLab
from tests.unit.bot import example
from tests.unit.bot.reporting import HEAD, REQUESTS, TARGET, authorized, judged, platform, request, said
from tools.bot.report import escape
from tools.bot.report.changes import Change
from tools.bot.report.recompute import Report
from tools.bot.report.text import LONGEST, MARKER, comment
from tools.findings import Finding

# What GitLab carries out or resolves; none may be left of a text that is not ours once code is taken out.
_CODE = re.compile(r"^```.*?^```|(?<![\\`])(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL | re.MULTILINE)
_OURS = re.compile(r"https://gitlab\.example/ml/platform/-/[\w/.#%-]+")


def prose(body: str) -> str:
    """The comment without code and without our own links."""
    return _OURS.sub("", _CODE.sub("", body))


def bars(line: str) -> int:
    """Where a table's row ends its cells: at each bar that no backslash escapes (cmark-gfm, extensions/ext_scanners.re)."""
    return re.sub(r"\\.", "", line).count("|")


def test_the_verdict_comes_first(tmp_path: Path) -> None:
    """The line below the marker says what merging would do; the next who has to do what."""
    lines = said(judged(platform(tmp_path), "new")).splitlines()
    assert lines[0] == MARKER
    assert lines[1] == "### ✅ Ready for approval: merging will start 1 training run"
    assert lines[3].startswith("**Next:** approvers read the plan")


@pytest.mark.parametrize(
    ("cases", "verdict"),
    [
        (["high"], "⚠️ Ready for approval, with a platform admin's approval as well: merging will start 1 training run"),
        (["two"], "⚠️ Ready for approval, with a platform admin's approval as well: merging will start 2 training runs"),
        (["faulty"], "❌ Cannot be authorized: 4 errors in 1 file"),
        (["other-tenant"], "❌ Cannot be authorized: "),
        (["cancel"], "✅ Nothing to authorize: no training starts"),
        ([], "✅ Nothing to authorize: no training starts"),
    ],
)
def test_verdicts(cases: list[str], verdict: str, tmp_path: Path) -> None:
    """Each situation has a headline that a person understands without the rest."""
    assert said(judged(platform(tmp_path), *cases)).splitlines()[1].startswith(f"### {verdict}")


def test_stopping_a_run_is_announced_and_needs_no_approval(tmp_path: Path) -> None:
    """A cancellation takes effect with the merge by one of the tenant's people."""
    root = platform(tmp_path)
    authorized(root, "exp-001")
    body = said(judged(root, "cancel"))
    assert "### ✅ Ready to merge: merging will stop 1 run" in body
    assert "none: it is enough that somebody of `team-a` merges" in body


def test_findings_lead_to_the_line_at_the_head_commit(tmp_path: Path) -> None:
    """A click on a finding opens the file at its line, as it was pushed, and one on the rule its explanation."""
    body = said(judged(platform(tmp_path), "faulty"))
    assert f"(https://gitlab.example/ml/platform/-/blob/{HEAD}/experiments/team-a/exp-003.yaml#L5)" in body
    assert "(https://gitlab.example/ml/platform/-/blob/main/docs/rules.md#model-allowed)" in body


def test_the_plan_says_what_an_approver_asks(tmp_path: Path) -> None:
    """Model, data, steps, memory as a bar, hours, cost, quota after it, what differs, run id, and who approves."""
    report = judged(platform(tmp_path), "new")
    body = said(report)
    plan = report.runs[0].plan
    assert plan is not None
    for expected in (
        "| **Model** | `seven-b`, lora sft",
        "| **Data** | `support-pl`: 1,000 rows",
        "| **Steps** | 375 (3 epochs of 125)",
        "| **Peak GPU memory** | `██████░",
        "GiB of 79.1 GiB (20%), fits",
        "| **Time** | 6 min to 34 min expected, stopped after 8.0 h |",
        "PLN expected, at most 144 PLN",
        "Differs from `exp-002`, the nearest earlier experiment, in 1 key:",
        "| `train.learning_rate` | `0.0001` | `0.0002` |",
        "| 8.0 (+8.0) | 100.0 GPU-hours | ✅ |",
        f"| `{plan.lock.run_id}` | `dev` | 1 of maria\\.wisniewska, tomasz\\.zielinski |",
        f"`{plan.lock.sha256}`",
    ):
        assert expected in body


def test_the_documented_example_is_what_the_bot_writes() -> None:
    """docs/examples/merge-request-comment.md is made by tests/unit/bot/example.py, to the letter."""
    assert example.FILE.read_text() == example.page()


def test_nothing_hostile_is_left_outside_code(tmp_path: Path) -> None:
    """Mentions, HTML, links, images, quick actions, references and invisible characters of a file are shown, not obeyed."""
    body = said(judged(platform(tmp_path), "hostile"))
    assert "evil" in body
    rest = prose(body)
    assert "@" not in rest.replace("\\@", "")
    assert not re.search(r"<(?!/?details>|/?summary>|br>|!-- ft-bot: report -->)", rest)
    assert "evil.example" not in rest
    assert not re.search(r"^/\w", rest, re.MULTILINE)
    assert "\u202e" not in body
    assert "\u200b" not in body
    assert rest.count("<details>") == rest.count("</details>")


def test_gitlab_carries_out_nothing_of_it(tmp_path: Path, gitlab: GitLab) -> None:
    """A GitLab that gets the hostile comment notes no quick action and notifies nobody."""
    root = gitlab.add_user("root")
    project = gitlab.add_project("ml/platform", root)
    gitlab.push_commit(root, project, "main", gitlab.push(root, project, "topic", {"a": "1"}))
    gitlab.push(root, project, "topic", {"a": "2"})
    merge = gitlab.open(root, project, "topic")
    gitlab.note(root, project, merge, said(judged(platform(tmp_path), "hostile")))
    assert (gitlab.quick_actions, gitlab.mentions) == ([], [])


def test_rows_of_tables_stay_rows(tmp_path: Path) -> None:
    """No text of a file opens a cell or a row of its own: every row has as many cells as its table's head."""
    body = said(judged(platform(tmp_path), "hostile", "faulty"))
    width = 0
    for line in body.splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        cells = bars(line)
        width = width or cells
        assert cells == width, line


def test_paths_are_hostile_too() -> None:
    """A file's name that closes the link, runs over lines or holds bytes that are no text stays inside the link."""
    path = "experiments/team-a/](https://evil.example) @all\n/approve \udcff.yaml"
    report = Report(
        (Change(path, "added"),), (Finding(path, 1, 1, "file-name", "error", "bad"),), outside=((path, "x"),)
    )
    body = comment(request(), report, TARGET)
    rest = prose(body)
    assert "evil.example" not in rest.replace("evil\\.example", "")
    assert "](https://evil" not in body.replace("\\](https", "")
    assert "\n/approve" not in body
    body.encode("utf-8")


def test_the_longest_comment_fits_and_says_what_it_left_out() -> None:
    """Thousands of findings and files give a comment that GitLab takes and shows."""
    long = "x" * 5000
    findings = tuple(Finding(f"experiments/team-a/{n}.yaml", n, 1, "value", "error", long) for n in range(1, 3000))
    outside = tuple((f"tools/{long}{n}.py", "outside the tenants' own folders") for n in range(3000))
    changes = tuple(Change(path, "added") for path, _ in outside)
    body = comment(request(), Report(changes, findings, outside=outside), TARGET)
    assert len(body) < LONGEST + 5000
    assert "❌ Cannot be authorized: 2999 errors" in body.replace(",", "")
    assert "more" in body


@given(st.text(max_size=300))
def test_any_text_is_one_harmless_line(text: str) -> None:
    """Whatever a text holds, it is shown on one line that begins no element and mentions nobody."""
    line = escape.shown(text)
    assert "\n" not in line
    rest = prose(line)
    assert not re.search(r"(?<!\\)[<>@\[\]]", rest)
    assert bars(line) == bars(escape.code(text)) == 0


@given(st.lists(st.text(max_size=100), max_size=5))
def test_log_lines_never_end_their_block(lines: list[str]) -> None:
    """No line of a log is a fence, a quick action or more than one line."""
    block = escape.listing(lines)
    assert len(block) == len(lines) + 2
    assert all(line.startswith("│ ") for line in block[1:-1])
    assert all("\n" not in line for line in block)


def test_fixtures_are_all_judged(tmp_path: Path) -> None:
    """Every merge request of the fixtures gives a comment."""
    for case in sorted(path.name for path in REQUESTS.iterdir() if path.is_dir()):
        assert said(judged(platform(tmp_path / case), case)).startswith(MARKER)
