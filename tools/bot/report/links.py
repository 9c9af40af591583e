"""Addresses inside our project on the forge."""

from __future__ import annotations

from dataclasses import dataclass

from tools.bot.report.escape import link, path_part


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of one merge request's files, at one commit.

    project: the project's web address. GitLab keeps every merge request's head commit in the target project, also one from
    a fork, so that a commit's id finds it there.
    """

    project: str
    commit: str
    branch: str = "main"

    @classmethod
    def of(cls, web_url: str, commit: str, branch: str) -> Links:
        """From a merge request's own address."""
        return cls(web_url.rpartition("/-/merge_requests/")[0], commit, branch)

    def file(self, path: str, line: int | None = None, text: str | None = None) -> str:
        """A file at the head commit, at a line where there is one."""
        place = f"#L{line}" if line else ""
        shown = text or (f"{path}:{line}" if line else path)
        return link(shown, f"{self.project}/-/blob/{self.commit}/{path_part(path)}{place}")

    def on_branch(self, path: str, text: str | None = None) -> str:
        """A file as the target branch has it."""
        return link(text or path, f"{self.project}/-/blob/{path_part(self.branch)}/{path_part(path)}")

    def rule(self, rule: str) -> str:
        """A rule's explanation."""
        return link(rule, f"{self.project}/-/blob/{path_part(self.branch)}/docs/rules.md#{path_part(rule)}")

    def revision(self, commit: str) -> str:
        """A commit by its id."""
        return link(commit[:8], f"{self.project}/-/commit/{path_part(commit)}")

    def merge_request(self, iid: int) -> str:
        """Another merge request."""
        return link(f"!{iid}", f"{self.project}/-/merge_requests/{iid}")
