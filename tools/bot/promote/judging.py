"""The verdict on each changed file below serving/: by the same evidence, counting and reasons as an experiment's.

Recall and hashes are rules of `ft validate`, which run here over main as it is now: a revert is judged like a promotion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tools.bot.authorize.before import Past
from tools.bot.authorize.candidates import changed, in_words
from tools.bot.authorize.conduct import Conduct
from tools.bot.authorize.decision import Evidence, Rules, Verdict, decide, decide_cancel
from tools.bot.authorize.history import Landing, last_of
from tools.bot.authorize.inquiry import Inquiry
from tools.bot.records import User
from tools.expand import serving
from tools.formats.digest import digest
from tools.formats.serving import Serving
from tools.repository import Repository
from tools.validate import check

if TYPE_CHECKING:
    from tools.bot.mirror import Mirror

State = Literal["promoted", "withdrawn", "refused"]


@dataclass(frozen=True)
class Served:
    """What became of one changed file. served: what it says; None where it is gone or cannot be read."""

    file: str
    landing: Landing
    served: Serving | None
    state: State
    verdict: Verdict
    conduct: Conduct | None
    rules: Rules | None

    @property
    def environment(self) -> str:
        """From the path."""
        return self.file.split("/")[1]

    @property
    def title(self) -> str:
        """`<tenant>/<model_name> in <env>`."""
        _, environment, tenant, name = self.file.split("/")
        return f"{tenant}/{name.removesuffix('.yaml')} in {environment}"


@dataclass
class Judge:
    """Judges what landed. main: its newest commit, whose files `repository` holds. bot: the bot's own account."""

    mirror: Mirror
    inquiry: Inquiry
    past: Past
    repository: Repository
    main: str
    bot: Callable[[], User]

    def judge(self, environment: str, landings: Sequence[Landing]) -> list[Served]:
        """Every file of an environment that says something else than its overlay does.

        Raises:
            ForgeAway: GitLab gives no answer, now.
        """
        files = [file for file in changed(landings, "serving") if file.split("/")[1] == environment]
        pairs = ((file, last_of(landings, file)) for file in files)
        found = (self._one(file, landing) for file, landing in pairs if landing is not None)
        return [each for each in found if each is not None]

    def _one(self, file: str, landing: Landing) -> Served | None:
        folder = serving.overlay_of(file)
        running = serving.read(self.repository, folder).value if self._has(folder) else None
        conduct, rules = self.inquiry.conduct(landing), self._rules(file, landing)
        if not self._has(file):
            if running is None:
                return None
            verdict = decide_cancel(file, conduct, rules)
            state: State = "withdrawn" if verdict.state == "authorized" else "refused"
            return Served(file, landing, None, state, verdict, conduct, rules)
        served = self.repository.optional(file, Serving)
        if served is not None and running is not None and running.content.served == served:
            return None
        verdict = decide(self._evidence(file, served, conduct, rules))
        state = "promoted" if verdict.state == "authorized" else "refused"
        return Served(file, landing, served, state, verdict, conduct, rules)

    def _evidence(self, file: str, served: Serving | None, conduct: Conduct | None, rules: Rules | None) -> Evidence:
        head = conduct.merge_request.head_sha if conduct is not None else self.main
        faults = tuple(in_words(each) for each in check(self.repository, file) if each.severity == "error")
        return Evidence(
            file=file,
            attempt=1,
            run_id=served.run_id if served is not None else "",
            sha256=digest(served) if served is not None else "",
            conduct=conduct,
            rules=rules,
            same_content=self.mirror.blob(head, file) == self.mirror.blob(self.main, file),
            shown=None,
            admin=tuple(self._strangers(conduct, rules)) if conduct is not None and rules is not None else (),
            faults=faults,
        )

    def _strangers(self, conduct: Conduct, rules: Rules) -> Iterator[str]:
        """Whoever wrote the change and is neither of the tenant nor the bot."""
        own = {person.id for person in (*rules.members, *rules.approvers)} | {self.bot().id}
        for user in dict.fromkeys((conduct.merge_request.author, *conduct.pushers)):
            if user.id not in own:
                yield f"{user.username} is no member of the tenant"

    def _rules(self, file: str, landing: Landing) -> Rules | None:
        return rules_before(self.past, landing, file.split("/")[2])

    def _has(self, path: str) -> bool:
        return (self.repository.root / path).exists()


def rules_before(past: Past, landing: Landing, tenant_name: str) -> Rules | None:
    """People and number of approvals as main had them before a landing; None without a valid tenant."""
    tenant = past.tenant(landing.before, tenant_name)
    if tenant is None:
        return None
    admins = past.admins(landing.before)
    return Rules(tuple(tenant.members), tuple(tenant.approvers), tenant.required_approvals, admins)
