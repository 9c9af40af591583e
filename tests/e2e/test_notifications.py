"""Argo CD's notifications controller tells a tenant's people what happens to their runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.e2e import notifications, pods
from tests.e2e.argocd import ArgoCD
from tests.e2e.cluster import has
from tests.e2e.notifications import Chat
from tests.e2e.processes import holds, wait_for
from tests.e2e.repositories import Repository
from tests.e2e.scenario import Experiment

pytestmark = pytest.mark.e2e


@pytest.fixture
def chat(argocd: ArgoCD, repository: Repository) -> Iterator[Chat]:
    """Where the environment of these tests has its messages sent."""
    assert repository.url
    with notifications.running(argocd) as chat:
        yield chat


def test_each_event_is_told_once_to_the_tenants_channel(chat: Chat, make: Callable[[str, str], Experiment]) -> None:
    """A run that succeeds and one that fails are announced at their start and at their end, and not again."""
    good, bad = make("team-a", "told-good"), make("team-a", "told-bad")
    good.commit()
    _hears(chat, good, "started: it trains, or waits for a GPU in the queue")
    good.finished()
    _hears(chat, good, "is complete. What it publishes is merged and registered in MLflow")
    bad.commit()
    bad.started(bad.training)
    _hears(chat, bad, "started: it trains")
    pods.finish(bad.cluster, bad.namespace, bad.training, exit_code=4)
    wait_for(lambda: has(bad.job(bad.training), "Failed"), "failure of the Job")
    bad.argocd.terminate(bad.application)  # in place of four minutes of retries
    _hears(chat, bad, "failed: Operation terminated")
    told = len(chat.said)
    good.argocd.refresh(good.application, hard=True)
    holds(lambda: len(chat.said) == told, "no message again")
    assert told == 4
    assert {channel for channel, _ in chat.said} == {"finetuning-team-a"}
    assert all("<no value>" not in message for _, message in chat.said)


def _hears(chat: Chat, experiment: Experiment, what: str) -> None:
    """Wait until the last message is about a run, says so, and names the command that tells more."""

    def heard() -> bool:
        _, message = chat.said[-1] if chat.said else ("", "")
        return f"Fine-tuning {experiment.application} {what}" in message

    wait_for(heard, f"the message that {experiment.application} {what}")
    assert f"ft status {experiment.tenant}/{experiment.name}" in chat.said[-1][1]
