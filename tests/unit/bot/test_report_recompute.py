"""What the report finds in a merge request, before anything is put into words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.bot.reporting import ANNA, authorized, judged, platform
from tools.bot.records import User
from tools.bot.report.changes import Change, is_bots, outside
from tools.bot.report.needs import Before
from tools.bot.report.recompute import MOST_FILES, recompute
from tools.cli import main
from tools.formats.audit import Audit
from tools.repository import Repository

UNCHANGED = Change("experiments/team-a/exp-001.yaml", "changed")


def test_a_good_experiment_starts_with_the_run_id_that_expand_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report's run id is that of the overlay that `ft expand` writes from the same files."""
    root = platform(tmp_path)
    report = judged(root, "new")
    (run,) = report.runs
    assert (run.action, report.errors, report.findings) == ("start", 0, ())
    assert main(["expand", str(root / run.file), "--repo", str(root)]) == 0
    capsys.readouterr()
    lock = Repository(root).lock("overlays/dev/team-a/exp-003/run.yaml")
    assert run.plan is not None
    assert run.plan.lock.sha256 == lock.sha256


def test_findings_are_those_of_validate_and_nothing_is_planned(tmp_path: Path) -> None:
    """A faulty experiment gets the findings of `ft validate` with their lines, and no run id that anybody could approve."""
    report = judged(platform(tmp_path), "faulty")
    assert {finding.rule for finding in report.findings} >= {"required-key", "model-allowed"}
    assert all(finding.file == "experiments/team-a/exp-003.yaml" for finding in report.findings)
    (run,) = report.runs
    assert (run.action, run.plan) == ("invalid", None)


def test_several_experiments_are_added_up_against_the_quota(tmp_path: Path) -> None:
    """Each of two fits by itself; together they are over the month's GPU-hours, which takes a platform admin."""
    root = platform(tmp_path)
    report = judged(root, "two")
    assert report.errors == 0
    (total,) = report.totals
    hours = next(share for share in total.shares if share.unit == "GPU-hours")
    assert (hours.taken, hours.allowed, hours.exceeded) == (120, 100, True)
    for run in report.runs:
        assert run.needs is not None
        assert run.needs.admin == ("120.0 GPU-hours this month, the tenant's limit is 100",)


def test_authorized_runs_count_before_the_new_one(tmp_path: Path) -> None:
    """Hours of this month's locks are in use already."""
    root = platform(tmp_path)
    month = Repository(root).locks.month
    authorized(root, "exp-001", f"{month}-02T08:00:00Z")
    (total,) = judged(root, "new").totals
    hours = next(share for share in total.shares if share.unit == "GPU-hours")
    assert (hours.before, hours.after) == (8, 16)


def test_high_priority_takes_a_platform_admin(tmp_path: Path) -> None:
    """Priority high is allowed to the tenant, and is not its own to give."""
    (run,) = judged(platform(tmp_path), "high").runs
    assert run.action == "start"
    assert run.needs is not None
    assert run.needs.admin == ("priority is high",)


def test_a_merge_request_does_not_lower_its_own_bar(tmp_path: Path) -> None:
    """Who brings a larger quota and themselves as approver is judged by main: old limits, old approvers, admin needed."""
    report = judged(platform(tmp_path), "own-approver")
    (run,) = report.runs
    assert report.errors == 0
    assert run.needs is not None
    assert [person.username for person in run.needs.approvers] == ["maria.wisniewska", "tomasz.zielinski"]
    assert run.needs.admin == (
        "8 GPUs at once, the tenant's limit is 4",
        "runs up to 48 h, the tenant's limit is 1d",
        "384.0 GPU-hours this month, the tenant's limit is 100",
    )
    assert report.outside == (("tenants/team-a/tenant.yaml", "outside the tenants' own folders"),)


def test_a_new_base_model_takes_a_platform_admin(tmp_path: Path) -> None:
    """A model that main's catalogue lacks is new, whoever allows it in the same merge request."""
    report = judged(platform(tmp_path), "new-model")
    (run,) = report.runs
    assert (run.action, report.errors) == ("start", 0)
    assert run.needs is not None
    assert run.needs.admin == ("the base model two-b is new to the tenant",)
    assert [path for path, _ in report.outside] == ["catalog/models/two-b.yaml", "tenants/team-a/tenant.yaml"]


def test_an_author_cannot_be_an_approver(tmp_path: Path) -> None:
    """An approver who opens the merge request is taken off the list; where too few are left, that is said."""
    root = platform(tmp_path)
    tenant = root / "tenants" / "team-a" / "tenant.yaml"
    tenant.write_text(tenant.read_text().replace("environments:", "required_approvals: 2\nenvironments:"))
    (run,) = judged(root, "new", author=User(201, "maria.wisniewska")).runs
    assert run.needs is not None
    assert [person.username for person in run.needs.approvers] == ["tomasz.zielinski"]
    assert run.needs.impossible


def test_a_run_of_a_tenant_that_main_does_not_know_has_no_approvers(tmp_path: Path) -> None:
    """Without a tenant on main there is nobody whose approval could count."""
    report = judged(platform(tmp_path), "other-tenant")
    assert report.outside == (
        ("experiments/team-b/exp-001.yaml", "there is no tenant team-b on the target branch yet"),
    )
    assert report.runs[0].action == "invalid"


def test_cancelling_stops_a_run_that_has_an_overlay(tmp_path: Path) -> None:
    """`state: cancelled` stops; without an overlay there is nothing to stop."""
    root = platform(tmp_path)
    assert judged(root, "cancel").runs[0].action == "nothing"
    root = platform(tmp_path / "second")
    authorized(root, "exp-001")
    assert judged(root, "cancel").runs[0].action == "cancel"


def test_a_higher_attempt_runs_again_and_the_same_one_does_not(tmp_path: Path) -> None:
    """Only a raised `attempt` starts an authorized run again."""
    root = platform(tmp_path)
    authorized(root, "exp-001")
    assert recompute(Repository(root), Before({}, (), frozenset()), [UNCHANGED], ANNA).runs[0].action == "nothing"
    again = judged(root, "again").runs[0]
    assert (again.action, again.attempt) == ("again", 2)


def test_a_run_in_the_audit_record_never_starts_a_second_time(tmp_path: Path) -> None:
    """Deleted, retired and added again: the record remembers, and a cancelled one is over for good."""
    root = platform(tmp_path)
    run = judged(root, "new").runs[0]
    assert run.plan is not None
    record = root / f"audit/dev/team-a/{run.plan.lock.run_id}.yaml"
    record.parent.mkdir(parents=True)
    text = (Path(__file__).parents[2] / "fixtures" / "merge-requests" / "audit.yaml").read_text()
    record.write_text(text.replace("RUN_ID", run.plan.lock.run_id).replace("SHA256", run.plan.lock.sha256))
    assert Repository(root).optional(record.relative_to(root).as_posix(), Audit) is not None
    found = judged(root, "new").runs[0]
    assert (found.action, "attempt: 2" in found.why) == ("nothing", True)
    record.write_text(record.read_text().replace("result: failed", "result: cancelled"))
    assert "for good" in judged(root, "new").runs[0].why
    record.write_text("half a record")
    assert judged(root, "new").runs[0].action == "invalid"


def test_removing_the_experiment_of_a_run_is_a_finding(tmp_path: Path) -> None:
    """An overlay without its experiment would fail every later check; one that never ran may go."""
    root = platform(tmp_path)
    file = "experiments/team-a/exp-001.yaml"
    assert judged(platform(tmp_path / "second"), removed=(file,)).findings == ()
    authorized(root, "exp-001")
    (finding,) = judged(root, removed=(file,)).findings
    assert (finding.rule, finding.severity) == ("expand-experiment", "error")


def test_a_change_that_breaks_waiting_experiments_elsewhere_names_them(tmp_path: Path) -> None:
    """A dataset that goes away breaks experiments that the merge request does not touch."""
    report = judged(platform(tmp_path), removed=("tenants/team-a/datasets/support-pl.yaml",))
    assert report.findings == ()
    assert {finding.rule for finding in report.elsewhere} == {"dataset-known"}
    assert "experiments/team-a/exp-001.yaml" in {finding.file for finding in report.elsewhere}


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("experiments/team-a/exp-009.yaml", None),
        ("tenants/team-a/datasets/new.yaml", None),
        ("tenants/team-a/tenant.yaml", "outside the tenants' own folders"),
        ("experiments/README.md", "outside the tenants' own folders"),
        (".gitlab-ci.yml", "outside the tenants' own folders"),
        ("overlays/dev/_tenants/team-a/lock.yaml", "outside the tenants' own folders"),
        ("overlays/dev/team-a/exp-001/run.yaml", "only the bot writes here: undo the change"),
        ("audit/dev/team-a/exp-001-12345678.yaml", "only the bot writes here: undo the change"),
    ],
)
def test_whose_path_it_is(path: str, why: str | None, tmp_path: Path) -> None:
    """Members change their tenant's experiments and datasets alone; all else takes an admin, generated files nobody."""
    before = Before.read(Repository(platform(tmp_path)), {"team-a"})
    assert outside(path, ANNA, before.tenants) == why
    assert is_bots(path) == (why is not None and why.startswith("only the bot"))


def test_a_member_by_name_alone_is_none(tmp_path: Path) -> None:
    """A user who took over a member's name has another number."""
    before = Before.read(Repository(platform(tmp_path)), {"team-a"})
    found = outside("experiments/team-a/x.yaml", User(999, "anna.nowak"), before.tenants)
    assert found == "the author is no member of team-a"


def test_somebody_elses_experiment_takes_an_admin(tmp_path: Path) -> None:
    """Who is no member may propose a run; the tenant's approvers alone do not let it start."""
    (run,) = judged(platform(tmp_path), "new", author=User(666, "mallory")).runs
    assert run.needs is not None
    assert run.needs.admin == ("the author is no member of team-a",)


def test_more_files_than_anybody_reviews_are_not_looked_at(tmp_path: Path) -> None:
    """Thousands of files cost no time; the author is told to split them."""
    gone = tuple(f"experiments/team-a/e{number}.yaml" for number in range(MOST_FILES + 1))
    report = judged(platform(tmp_path), removed=gone)
    assert (report.too_many, report.runs) == (True, ())
