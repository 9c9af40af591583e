"""The run's metrics: progress with its uncertainty, `/metrics` for Prometheus, and the dashboard over it."""

from __future__ import annotations

import json
import math
import random
import re
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner import exposition, progress
from runner.exposition import PORT
from runner.pace import Pace, student
from runner.stall import WATCH
from tests.runs import make_paths
from tools.expand.tenant_parts import METRICS_PORT

ROOT = Path(__file__).resolve().parents[3]
DASHBOARD = json.loads((ROOT / "docs/grafana-dashboard.json").read_text(encoding="utf-8"))


def test_nineteen_of_twenty_trainings_end_within_the_interval() -> None:
    """The share that the formula promises, over 2,000 drawn trainings of 30 measured and 100 further steps."""
    draw = random.Random(1)
    inside = 0
    for _ in range(2000):
        pace = Pace()
        for _ in range(30):
            pace.add(draw.gauss(2.0, 0.3))
        rest = sum(draw.gauss(2.0, 0.3) for _ in range(100))
        error = pace.error(100)
        assert error is not None
        inside += abs(rest - pace.left(100)) <= error
    assert 0.93 < inside / 2000 < 0.97


def test_mean_and_interval_are_those_of_the_textbook() -> None:
    """Welford's running figures against sums; no interval from one step; none is left when no step is."""
    pace = Pace()
    pace.add(1.0)
    assert pace.error(5) is None
    for seconds in (2.0, 4.0, 1.0):
        pace.add(seconds)
    spread = math.sqrt(sum((value - 2.0) ** 2 for value in (1, 2, 4, 1)) / 3)
    assert pace.left(6) == pytest.approx(12.0)
    assert pace.error(6) == pytest.approx(student(3) * spread * math.sqrt(6 * (1 + 6 / 4)))
    assert pace.error(0) == 0


@pytest.mark.parametrize(("freedom", "table"), [(3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (1000, 1.962)])
def test_students_quantile_is_that_of_the_tables(freedom: int, table: float) -> None:
    """Within two per cent, which is less than the interval itself is worth."""
    assert student(freedom) == pytest.approx(table, rel=0.02)


def test_the_first_step_is_not_part_of_the_pace(tmp_path: Path) -> None:
    """It stands for the estimate until a second one has ended."""
    shown = progress.Progress(tmp_path, samples=8)
    shown.begin(0, 10, 0)
    assert "eta_seconds" not in shown.report(0, 0.0, 0, {})
    shown.step_ended()
    first = shown.report(1, 0.1, 100, {})
    assert "eta_seconds" in first
    assert "seconds_per_step" not in first
    assert first["samples_per_second"] > 0
    for _ in range(3):
        shown.step_ended()
    assert {"seconds_per_step", "eta_seconds", "eta_error_seconds"} <= shown.report(4, 0.4, 400, {}).keys()


def scrape(port: int) -> str:
    """What Prometheus gets."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture
def scraped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """One answer of the endpoint of a run at half its way."""
    monkeypatch.setenv(PORT, str(free_port()))
    WATCH.beat("step", 5)
    latest: dict[str, Any] = {"step": 5, "steps": 10, "percent": 50.0, "loss": 1.25, "memory_gib": 2.0, "tokens": 640}
    port = exposition.serve(make_paths(tmp_path).lock, lambda: latest)
    assert port is not None
    return scrape(port)


def test_the_endpoint_tells_the_last_report_in_base_units(scraped: str) -> None:
    """Ratios and bytes as Prometheus wants them, each with tenant and run; what is not known has no value."""
    values = dict(re.findall(r'^(finetuning_\w+)\{[^}]*run_id="exp-001-\w+"[^}]*\} (\S+)$', scraped, re.MULTILINE))
    assert (values["finetuning_progress_ratio"], values["finetuning_loss"]) == ("0.5", "1.25")
    assert float(values["finetuning_memory_bytes"]) == 2 * 2**30
    assert 0 <= float(values["finetuning_seconds_since_last_step"]) < 60
    assert "finetuning_eta_seconds" not in values
    assert 'tenant="team-a"' in scraped


def test_nothing_listens_unless_asked_and_a_taken_port_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training goes on without its picture."""
    lock = make_paths(tmp_path).lock
    monkeypatch.delenv(PORT, raising=False)
    assert exposition.serve(lock, dict) is None
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        monkeypatch.setenv(PORT, str(taken.getsockname()[1]))
        assert exposition.serve(lock, dict) is None
    assert "no metrics" in capsys.readouterr().out


def test_the_dashboard_asks_for_what_the_endpoint_exports(scraped: str) -> None:
    """Every metric in a query or a variable is one of the endpoint's, and every one of the endpoint's is shown."""
    exported = set(re.findall(r"^# TYPE (\w+) gauge$", scraped, re.MULTILINE))
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    variables = [item["query"]["query"] for item in DASHBOARD["templating"]["list"] if item["type"] == "query"]
    asked = set(re.findall(r"\bfinetuning_\w+", " ".join([*queries, *variables])))
    assert asked == exported


def test_panels_have_titles_and_places_of_their_own() -> None:
    """Grafana would show two panels on one place, or take one of two with the same id."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)


def test_the_port_is_the_same_wherever_it_is_named() -> None:
    """The Job's variable and its port, and the rule that lets Prometheus through."""
    job = yaml.safe_load((ROOT / "base/training/v1/job.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    variables = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert int(variables[PORT]) == METRICS_PORT
    assert container["ports"] == [{"name": "metrics", "containerPort": METRICS_PORT}]
