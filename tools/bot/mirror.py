"""The bot's own bare copy of the repository: what is read is what was fetched, never a working copy.

Only `fetch` and `push` move branches here, one at a time over all processes; everything else reads objects, which never change.
"""

from __future__ import annotations

import fcntl
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tools.bot import materialise
from tools.bot.errors import MirrorFault, PushLost
from tools.bot.gitrun import REMOTE_SECONDS, Git, fault
from tools.bot.materialise import DATA, LARGEST_FILE, Entry

BRANCHES = ("main", "deployed/*", "ft-bot/*")
NOTHING = "0" * 40
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SIGNED = re.compile(rb"^gpgsig -----BEGIN PGP SIGNATURE-----$", re.MULTILINE)
# "atomic transaction failed" is also the second half of a push whose first answer was lost: curl sends it again.
_LOST = (
    "stale info", "fetch first", "non-fast-forward", "cannot lock ref", "failed to update ref", "already exists",
    "atomic transaction failed",
)  # fmt: skip


@dataclass(frozen=True)
class Signer:
    """Whose commits the bot makes, and whose signatures it believes (its own and, while keys change, the last one's).

    key: the fingerprint that signs; trusted: fingerprints of keys whose commits are the bot's.
    """

    name: str
    email: str
    key: str
    gnupghome: Path
    trusted: tuple[str, ...] = ()


class Mirror:
    """The repository behind `url`, kept in `folder`. One `Mirror` belongs to one thread; many may share the folder."""

    def __init__(self, folder: Path, url: str, token_file: Path | None = None, signer: Signer | None = None) -> None:
        self._url = url
        self._signer = signer
        self._signatures: dict[str, bool] = {}
        self._git = Git(folder, token_file, signer.gnupghome if signer else None)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "HEAD").exists():
            with self._alone():
                self._git.out("init", "--quiet", "--bare", "--initial-branch=main", str(folder))

    # --- with GitLab ---------------------------------------------------------------------------------------------------
    def fetch(self, merge_requests: Iterable[int] = ()) -> None:
        """Bring the branches up to date, and the heads of these merge requests; one that GitLab no longer has is left out.

        Raises:
            MirrorAway: no answer, try later.
            MirrorFault: refused, or no such repository.
        """
        branches = [f"+refs/heads/{branch}:refs/heads/{branch}" for branch in BRANCHES]
        heads = [f"+refs/merge-requests/{int(iid)}/head:refs/merge-requests/{int(iid)}/head" for iid in merge_requests]
        with self._alone():
            if heads and not self._fetch([*branches, *heads]):
                for head in heads:
                    self._fetch([head])
                heads = []
            if not heads and not self._fetch(branches):
                raise MirrorFault(
                    "git fetch: the project has no branch main; check the project's address in the settings"
                )

    def _fetch(self, refspecs: Sequence[str]) -> bool:
        """Whether everything named was there."""
        options = ("--quiet", "--prune", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance")
        done = self._git.run("fetch", *options, self._url, *refspecs, seconds=REMOTE_SECONDS)
        if done.returncode and b"couldn't find remote ref" not in done.stderr:
            raise fault("fetch", done.stderr)
        return not done.returncode

    def push(self, branches: Mapping[str, tuple[str | None, str]]) -> None:
        """Move branches (name -> expected commit, new commit), all or none; None: it must not be there yet.

        Raises:
            PushLost: one is not at the expected commit any more, perhaps because this very push got through.
            MirrorAway: no answer; it may have happened all the same: fetch and look.
            MirrorFault: GitLab refused, for instance because the branch is protected against the bot.
        """
        leases = [f"--force-with-lease=refs/heads/{name}:{old or ''}" for name, (old, _) in branches.items()]
        refs = [f"{_checked(new)}:refs/heads/{name}" for name, (_, new) in branches.items()]
        options = ("--porcelain", "--atomic", "--no-verify", "--push-option=ci.skip")
        with self._alone():
            done = self._git.run("push", *options, *leases, self._url, *refs, seconds=REMOTE_SECONDS)
            if done.returncode:
                raise _push_fault(done.stdout, done.stderr)
            for name, (_, new) in branches.items():
                self._git.out("update-ref", f"refs/heads/{name}", new)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else moves branches meanwhile; what a killed git left locked is freed."""
        folder = self._git.folder
        with (folder / "ft-bot.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._git.lock = lock.fileno()
            try:
                for stale in (*folder.glob("*.lock"), *(folder / "refs").rglob("*.lock")):
                    if stale.name != "ft-bot.lock":
                        stale.unlink(missing_ok=True)
                yield
            finally:
                self._git.lock = None

    # --- reading -------------------------------------------------------------------------------------------------------
    def tip(self, branch: str) -> str | None:
        """The commit of a branch as it was fetched."""
        return self._resolve(f"refs/heads/{branch}^{{commit}}")

    def head(self, merge_request: int) -> str | None:
        """The head of a merge request as it was fetched."""
        return self._resolve(f"refs/merge-requests/{int(merge_request)}/head^{{commit}}")

    def has(self, commit: str) -> bool:
        """Whether a commit was fetched."""
        return self._resolve(f"{_checked(commit)}^{{commit}}") is not None

    def first_parents(self, old: str | None, new: str) -> list[tuple[str, tuple[str, ...]]]:
        """Main's own steps from `old` (not included) to `new`: each commit with its parents, oldest first."""
        without = [f"^{_checked(old)}"] if old else []
        out = self._git.out("rev-list", "--first-parent", "--reverse", "--parents", _checked(new), *without)
        return [(line.split()[0], tuple(line.split()[1:])) for line in out.decode().splitlines()]

    def parents(self, commit: str) -> tuple[str, ...]:
        """A commit's parents."""
        return tuple(self._git.out("rev-parse", f"{_checked(commit)}^@").decode().split())

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` holds `old`; False when either is unknown here."""
        return self._git.run("merge-base", "--is-ancestor", _checked(old), _checked(new)).returncode == 0

    def merge_base(self, one: str, other: str) -> str | None:
        """Where two commits part."""
        done = self._git.run("merge-base", _checked(one), _checked(other))
        return done.stdout.decode().strip() or None

    def committed_at(self, commit: str) -> datetime:
        """The commit's own date: only of the bot's signed commits does it mean anything."""
        out = self._git.out("log", "-1", "--format=%ct", _checked(commit))
        return datetime.fromtimestamp(int(out), UTC)

    def diff(self, old: str, new: str) -> dict[str, tuple[str | None, str | None]]:
        """Changed paths with what they held and hold ("mode object"); a renamed file is one removed and one added."""
        options = ("-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-ext-diff")
        fields = self._git.out("diff-tree", *options, _checked(old), _checked(new)).split(b"\0")
        found: dict[str, tuple[str | None, str | None]] = {}
        for line, path in zip(fields[::2], fields[1::2], strict=False):
            before, after, was, now, _ = line.decode().lstrip(":").split()
            found[path.decode(errors="backslashreplace")] = (_entry(before, was), _entry(after, now))
        return found

    def blob(self, commit: str, path: str) -> str | None:
        """What a path holds ("mode object"), for comparing; None where nothing is."""
        found = self._at(commit, path)
        return f"{found.mode} {found.sha}" if found else None

    def file(self, commit: str, path: str) -> bytes | None:
        """A regular file's content; None where there is none, or it is larger than the bot reads."""
        found = self._at(commit, path)
        if found is None or not found.mode.startswith("100") or found.size > LARGEST_FILE:
            return None
        return self._git.out("cat-file", "blob", found.sha)

    def tree(self, commit: str) -> str:
        """The object of a commit's whole content."""
        return self._git.out("rev-parse", f"{_checked(commit)}^{{tree}}").decode().strip()

    def merged_tree(self, ours: str, theirs: str) -> str | None:
        """The content that merging gives; None when it takes a person."""
        done = self._git.run("merge-tree", "--write-tree", _checked(ours), _checked(theirs))
        return done.stdout.decode().splitlines()[0] if done.returncode == 0 else None

    def materialise(
        self, commit: str, into: Path, paths: Sequence[str] = DATA, wanted: Callable[[str], bool] = lambda _path: True
    ) -> list[str]:
        """Write the wanted files below `paths`; the paths that are links or submodules, hence not there as such.

        Raises:
            Hostile: over the bot's limits.
        """
        return materialise.write(self._git, _checked(commit), into, paths, wanted)

    def is_signed(self, commit: str) -> bool:
        """Whether a key that the bot trusts signed the commit, by gpg's own word."""
        if commit not in self._signatures:
            self._signatures[commit] = self._verify(_checked(commit))
        return self._signatures[commit]

    def _verify(self, commit: str) -> bool:
        if self._signer is None or not _SIGNED.search(
            self._git.out("cat-file", "commit", commit).partition(b"\n\n")[0]
        ):
            return False
        done = self._git.run("verify-commit", "--raw", commit)
        said = [
            line.split()[1:]
            for line in done.stderr.decode(errors="replace").splitlines()
            if line.startswith("[GNUPG:]")
        ]
        good = any(words[:1] == ["GOODSIG"] for words in said)
        keys = {word for words in said if words[:1] == ["VALIDSIG"] for word in (words[1], words[-1])}
        return done.returncode == 0 and good and bool(keys & {self._signer.key, *self._signer.trusted})

    # --- writing -------------------------------------------------------------------------------------------------------
    def commit(self, base: str, changes: Mapping[str, bytes | None], message: str, *, sign: bool = True) -> str:
        """One commit over `base` (path -> content, None removes it); nothing is moved.

        sign: False for what the bot only proposes. A signed commit counts as decided, and a fast-forward merge would bring
        it to main as it is.

        Raises:
            MirrorFault: there is no key, or gpg fails.
        """
        if self._signer is None:
            raise MirrorFault("the bot has no signing key; give `signing` in its settings")
        with tempfile.TemporaryDirectory(prefix="ft-index-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self._git.out("read-tree", _checked(base), environment=index)
            lines = self._index_lines(changes, Path(folder))
            self._git.out("update-index", "-z", "--index-info", stdin=lines, environment=index)
            tree = self._git.out("write-tree", environment=index).decode().strip()
        who = {"NAME": self._signer.name, "EMAIL": self._signer.email}
        person = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
        options = ("-p", base, f"-S{self._signer.key}" if sign else "--no-gpg-sign")
        return self._git.out("commit-tree", tree, *options, stdin=message.encode(), environment=person).decode().strip()

    def _index_lines(self, changes: Mapping[str, bytes | None], folder: Path) -> bytes:
        """What update-index reads; all contents become objects in one process."""
        written = {path: content for path, content in changes.items() if content is not None}
        files = []
        for number, content in enumerate(written.values()):
            files.append(folder / str(number))
            files[-1].write_bytes(content)
        names = "".join(f"{file}\n" for file in files).encode()
        made = self._git.out("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=names).decode().split()
        added = [f"100644 {sha}\t{path}\0" for path, sha in zip(written, made, strict=True)]
        removed = [f"0 {NOTHING}\t{path}\0" for path, content in changes.items() if content is None]
        return "".join([*removed, *added]).encode()

    def _at(self, commit: str, path: str) -> Entry | None:
        found = list(materialise.entries(self._git, _checked(commit), [path]))
        return found[0] if len(found) == 1 and found[0].path == path else None

    def _resolve(self, name: str) -> str | None:
        done = self._git.run("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        return done.stdout.decode().strip() or None if done.returncode == 0 else None


def _checked(commit: str) -> str:
    """A commit id and nothing that git would take for an option or another name."""
    if not _COMMIT.fullmatch(commit):
        raise MirrorFault(f"{commit[:60]!r} is no full commit id")
    return commit


def _entry(mode: str, sha: str) -> str | None:
    return None if mode == "000000" else f"{mode} {sha}"


def _push_fault(out: bytes, err: bytes) -> MirrorFault:
    refused = [line.split("\t")[-1] for line in out.decode(errors="replace").splitlines() if line.startswith("!")]
    declined = [line for line in refused if "declined" in line]
    reasons = declined or [line for line in refused if "atomic push failed" not in line]
    if not declined and any(word in reason for reason in reasons for word in _LOST):
        return PushLost("git push: the branch moved meanwhile, or the push was done already; fetch, decide again")
    if reasons:
        said = next((line for line in err.decode(errors="replace").splitlines() if "GitLab:" in line), "").strip()
        remedy = "let the bot's account push to main and deployed/* in the project's protected branches"
        return MirrorFault(f"git push: {reasons[0]} {said[:300]}; {remedy}")
    return fault("push", err)
