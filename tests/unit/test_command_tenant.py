"""`ft tenant add`, called as an admin calls it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools.cli import main
from tools.formats.people import usernames
from tools.repository import Repository

FIXTURES = Path(__file__).parents[1] / "fixtures"
GIVEN = {
    "--members": "ola.lis:103,jan.nowy:104",
    "--approvers": "ewa.lis:203",
    "--models": "smollm2-135m-instruct",
    "--gpus": "4",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the example repository, with tenants whose highest id is 10002."""
    return Path(shutil.copytree(FIXTURES / "repository", tmp_path / "repository"))


def add(root: Path, name: str, *options: str, **changed: str) -> int:
    """Run `ft tenant add` with what is required."""
    given = GIVEN | {f"--{key}": value for key, value in changed.items()}
    return main(
        ["tenant", "add", name, *(part for pair in given.items() for part in pair), *options, "--repo", str(root)]
    )


def test_a_tenant_is_written_and_valid(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file says what was asked for, and `ft validate` finds nothing."""
    assert add(root, "risk", "--environment", "prod", "--environment", "dev", "--borrow-gpus", "2") == 0
    tenant = Repository(root).tenant("risk")
    assert tenant is not None
    assert (usernames(tenant.members), usernames(tenant.approvers), tenant.environments) == (
        ["ola.lis", "jan.nowy"],
        ["ewa.lis"],
        ["prod", "dev"],
    )
    assert [person.id for person in tenant.members] == [103, 104]
    assert (tenant.quota.gpus, tenant.quota.borrow_gpus, tenant.quota.gpu_hours_per_month) == (4, 2, 4 * 720)
    assert main(["validate", str(root / "tenants/risk"), "--repo", str(root)]) == 0
    assert "mlflow-credentials" in capsys.readouterr().out


def test_the_next_steps_name_the_tenant(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What to call next, with the ids and the namespace in it."""
    assert add(root, "risk", namespace="risk-models") == 0
    out = capsys.readouterr().out
    assert "ft validate tenants/risk && ft expand --tenants" in out
    assert "install -d -o 10003 -g 10003" in out
    assert "kubectl -n risk-models create secret" in out


def test_ids_are_nobody_elses(root: Path) -> None:
    """Each new tenant gets the number after the highest user or group id."""
    for name in ("risk", "fraud"):
        assert add(root, name) == 0
    found = [Repository(root).tenant(name) for name in ("team-a", "team-b", "risk", "fraud")]
    assert [(each.uid, each.gid) for each in found if each] == [
        (10000 + number, 10000 + number) for number in (1, 2, 3, 4)
    ]


def test_every_value_has_its_comment(root: Path) -> None:
    """The file starts with what it is and how to check it, and says what each value does."""
    assert add(root, "risk") == 0
    lines = (root / "tenants/risk/tenant.yaml").read_text().splitlines()
    assert "ft validate tenants/risk" in "".join(lines[:3])
    bare = [line for line in lines[3:] if "  # " not in line]
    assert bare == ["version: 1", "description: Team risk", "quota:"]


def test_an_existing_tenant_is_not_overwritten(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage, and the file stays as it is."""
    before = (root / "tenants/team-a/tenant.yaml").read_bytes()
    assert add(root, "team-a") == 2
    assert "tenants/team-a/tenant.yaml exists; allowed:" in capsys.readouterr().err
    assert (root / "tenants/team-a/tenant.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "changed", "words"),
    [
        ("Risk_1", {}, "NAME 'Risk_1'; allowed: a DNS label"),
        ("platform", {}, "the tenant is called platform; allowed: any name but platform and tenants; rename its folder"),
        ("risk", {"namespace": "kube-system"}, "namespace kube-system is the cluster's; allowed: one of the tenant's own"),
        ("risk", {"models": "smollm"}, "there is no model 'smollm'; allowed:"),
        ("risk", {"environment": "prd"}, 'there is no environment \'prd\'; allowed: dev, prod; did you mean "prod"?'),
        ("risk", {"members": "ola.lis:103,"}, "has an empty name"),
        ("risk", {"members": "ola.lis"}, "'ola.lis' has no user id; allowed: NAME:ID"),
        ("risk", {"members": "ola.lis:x1"}, "'ola.lis:x1' has no user id"),
        ("risk", {"members": "ola.lis:103,jan.nowy:103"}, "id 103 is ola.lis's already"),
        ("risk", {"members": "ola.lis:103,Ola.Lis:104"}, "Ola.Lis a second time, with id 104 after 103"),
        ("risk", {"approvers": "two words:7"}, "allowed: a GitLab user name"),
        ("risk", {"gpus": "-1"}, "greater than or equal to 0"),
        ("risk", {"required-approvals": "2"}, "2 approvals are required of 1 approvers; allowed: at most 1"),
        ("risk", {"time-limit": "2 days"}, "a whole number with m, h or d"),
    ],
)  # fmt: skip
def test_a_wrong_request_leaves_no_trace(
    root: Path, capsys: pytest.CaptureFixture[str], name: str, changed: dict[str, str], words: str
) -> None:
    """Each says what was found and what is allowed; nothing is written."""
    assert add(root, name, **changed) == 2
    assert words in capsys.readouterr().err
    assert sorted(path.name for path in (root / "tenants").iterdir()) == ["team-a", "team-b"]
