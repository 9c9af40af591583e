"""`ft ledger`: the books of fixtures/ledger, added up three ways, with what is broken named and left out."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.audited import PLAIN, authorize, outcome
from tests.platform_copy import expanded_platform
from tools.cli import main
from tools.expand import audit
from tools.formats.audit import Audit
from tools.formats.parse import parse
from tools.repository import Repository

FIXTURE = Path(__file__).parents[1] / "fixtures" / "ledger"


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """A copy of the fixture, for tests that break something in it."""
    return Path(shutil.copytree(FIXTURE, tmp_path / "books"))


def asked(root: Path, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> list[dict[str, Any]]:
    """The rows that the command prints as JSON."""
    capsys.readouterr()
    assert main(["ledger", *words, "--format", "json", "--repo", str(root)]) == code
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["rows"]
    return found


def test_fixture_records_are_as_the_bot_writes_them() -> None:
    """The new fields stand where the format puts them, and nothing of these records changes when it is read and written."""
    for path in FIXTURE.glob("audit/*/*/*.yaml"):
        found = parse(Audit, Repository(FIXTURE).document(path.relative_to(FIXTURE).as_posix()))
        assert found.value is not None
        assert audit.content(found.value) == path.read_bytes()


def test_a_tenant_has_a_row_for_each_currency_and_its_budget(capsys: pytest.CaptureFixture[str]) -> None:
    """November: 49 of 100 GPU-hours: 10, 2 and 5 measured, 16 not measured and 16 that go on; PLN and EUR are never one sum."""
    euro, zloty, other = asked(FIXTURE, capsys, "--by", "tenant", "--month", "2026-11")
    assert (euro["currency"], euro["cost"], euro["used_gpu_hours"]) == ("EUR", 8.0, 2.0)
    assert (zloty["currency"], zloty["cost"]) == ("PLN", 18 * 10 + 20 * 5 + 18 * 16)
    assert (zloty["used_gpu_hours"], zloty["committed_gpu_hours"], zloty["planned_gpu_hours"]) == (31.0, 16.0, 64.0)
    assert (zloty["runs"], zloty["running"], zloty["finished"], zloty["cancelled"]) == (4, 1, 2, 1)
    assert zloty["unmeasured"] == 1
    assert (zloty["idle_gpu_hours"], zloty["idle_known_gpu_hours"]) == (2.5, 10.0)
    for row in (euro, zloty):
        assert (row["budget_month"], row["budget_used_gpu_hours"], row["budget_gpu_hours"]) == ("2026-11", 49.0, 100)
    assert (other["tenant"], other["environment"], other["tokens"], other["cost"]) == ("team-b", "prod", 5000, 0.0)


def test_tokens_of_an_attempt_are_those_it_added(capsys: pytest.CaptureFixture[str]) -> None:
    """300,000 in October, and 900,000 when the second attempt had gone on from there: 600,000 of them are November's."""
    rows = {(row["month"], row["currency"]): row for row in asked(FIXTURE, capsys, "--by", "month")}
    assert rows["2026-10", "PLN"]["tokens"] == 300_000
    assert rows["2026-11", "PLN"]["tokens"] == 1_000_000 + 600_000 + 5_000
    assert rows["2026-10", None]["cost"] is None  # from before prices were recorded


def test_a_changed_price_list_changes_no_book(books: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cost is what it was on the day of the authorization."""
    before = asked(books, capsys, "--by", "model")
    path = books / "catalog/gpus.yaml"
    path.write_text(path.read_text().replace("price_per_hour: 18", "price_per_hour: 99").replace("PLN", "CHF"))
    assert asked(books, capsys, "--by", "model") == before


def test_groups_add_up_to_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever stands in the rows, they share out the same hours, attempts and cost."""
    sums = []
    for by in ("tenant", "model", "month"):
        rows = asked(FIXTURE, capsys, "--by", by)
        names = (
            "attempts",
            "planned_gpu_hours",
            "used_gpu_hours",
            "committed_gpu_hours",
            "idle_gpu_hours",
            "tokens",
            "cost",
        )
        sums.append({name: pytest.approx(sum(row[name] or 0 for row in rows)) for name in names})
    assert sums[0] == sums[1] == sums[2]


def test_a_record_without_the_models_name_takes_it_from_its_overlay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """While the overlay stands it says what is trained; once it is gone nobody does."""
    platform = expanded_platform(tmp_path / "platform")
    made = authorize(platform, ended=outcome(hours=1.5))
    model = Repository(platform).lock(f"{PLAIN}/run.yaml").run.model.name
    (row,) = asked(platform, capsys, "--by", "model")
    assert (row["model"], row["used_gpu_hours"]) == (model, 1.5)
    lock = platform / PLAIN / "run.yaml"
    lock.write_text(lock.read_text().replace(made.run_id, f"{made.run_id[:-8]}00000000"))
    (row,) = asked(platform, capsys, "--by", "model")
    assert row["model"] == "unknown"
    shutil.rmtree(platform / PLAIN)
    (row,) = asked(platform, capsys, "--by", "model")
    assert row["model"] == "unknown"


def test_every_broken_record_is_named_and_the_others_are_counted(
    books: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A torn file, a link, a record of another run's name, a number that is none, a stray file: five reasons, exit 1."""
    whole = asked(books, capsys, "--by", "model", "--tenant", "team-a")
    folder = books / "audit/dev/team-a"
    text = (folder / "exp-001-aaaaaaaa.yaml").read_text()
    (folder / "exp-006-11111111.yaml").write_text(text[:700])
    (folder / "exp-007-22222222.yaml").symlink_to("/etc/passwd")
    (folder / "exp-008-33333333.yaml").write_text(text)
    (folder / "exp-009-44444444.yaml").write_text(text.replace("gpu_hours: 10.0", "gpu_hours: .inf"))
    (folder / "notes.txt").write_text("these hours do not count\n")
    assert asked(books, capsys, "--by", "model", "--tenant", "team-a", code=1) == whole
    assert main(["ledger", "--by", "tenant", "--repo", str(books)]) == 1
    faults = [line for line in capsys.readouterr().err.splitlines() if "not counted" in line]
    names = [line.partition(":")[0].rpartition("/")[2] for line in faults]
    assert names == [f"exp-00{n}-{str(n - 5) * 8}.yaml" for n in (6, 7, 8, 9)] + ["notes.txt"]
    assert "the record belongs to audit/dev/team-a/exp-001-aaaaaaaa.yaml" in faults[2]


def test_numbers_beyond_reason_are_broken_records(books: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No record can make the sums overflow, and no idle share is more than all."""
    path = books / "audit/dev/team-a/exp-001-aaaaaaaa.yaml"
    text = path.read_text()
    for old, new in (
        ("gpu_hours: 10.0", "gpu_hours: 1.0e+300"),
        ("idle_share: 0.25", "idle_share: 1.5"),
        ("idle_share: 0.25", "idle_share: -0.5"),
        ("tokens: 1000000", f"tokens: {10**16}"),
        ("per_gpu_hour: 18.0", "per_gpu_hour: -1.0"),
        ("currency: PLN", "currency: zloty"),
    ):
        assert old in text
        path.write_text(text.replace(old, new))
        rows = asked(books, capsys, "--by", "model", "--tenant", "team-a", code=1)
        assert "finished" in rows[0]


def test_text_marks_a_budget_that_is_exceeded(books: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """49 of 40 GPU-hours, in the month that is asked for."""
    tenant = books / "tenants/team-a/tenant.yaml"
    tenant.write_text(tenant.read_text().replace("gpu_hours_per_month: 100", "gpu_hours_per_month: 40"))
    assert main(["ledger", "--by", "tenant", "--month", "2026-11", "--repo", str(books)]) == 0
    out = capsys.readouterr()
    assert out.out.count("49.0                40 EXCEEDED") == 2
    assert "counted at its limit" in out.err
    assert main(["ledger", "--by", "tenant", "--month", "2026-10", "--repo", str(books)]) == 0
    assert "EXCEEDED" not in capsys.readouterr().out


def test_csv_and_markdown_have_the_same_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """CSV has the keys of the JSON and empty cells for null; Markdown is a table."""
    rows = asked(FIXTURE, capsys, "--by", "month")
    assert main(["ledger", "--by", "month", "--format", "csv", "--repo", str(FIXTURE)]) == 0
    listed = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows] == listed
    assert main(["ledger", "--by", "month", "--format", "markdown", "--repo", str(FIXTURE)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(rows) + 2


def test_nothing_recorded_is_a_table_without_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """A month in which nothing was authorized has a head alone, in every format."""
    for form in ("text", "csv", "markdown"):
        chosen = ["--by", "tenant", "--month", "2025-01", "--format", form, "--repo", str(FIXTURE)]
        assert main(["ledger", *chosen]) == 0
        assert "committed" in capsys.readouterr().out
    assert asked(FIXTURE, capsys, "--by", "model", "--month", "2025-01") == []


@pytest.mark.parametrize(
    "words", [["--month", "2026-13"], ["--month", "11"], ["--tenant", "team-x"], ["--environment", "../dev"]]
)
def test_what_there_is_not_is_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error is not an empty ledger."""
    assert main(["ledger", "--by", "tenant", *words, "--repo", str(FIXTURE)]) == 2
    assert "allowed:" in capsys.readouterr().err
