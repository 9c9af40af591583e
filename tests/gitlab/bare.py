"""A real bare git repository behind a project: commits without a working copy, and the three ways to merge."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

# Nothing of the machine's own git settings.
ENVIRONMENT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "PATH": "/usr/local/bin:/usr/bin:/bin"}
UPDATE_HOOK = """#!/bin/sh
# What GitLab's pre-receive check does: protected branches, by the role of who pushes.
for pattern in $STANDIN_MAY_NOT_PUSH; do
  case "$1" in refs/heads/$pattern)
    echo "GitLab: You are not allowed to push code to protected branches on this project." >&2; exit 1;;
  esac
done
for pattern in $STANDIN_MAY_NOT_FORCE; do
  case "$1" in refs/heads/$pattern)
    if [ "$2" != 0000000000000000000000000000000000000000 ] && ! git merge-base --is-ancestor "$2" "$3"; then
      echo "GitLab: You are not allowed to force push code to a protected branch on this project." >&2; exit 1
    fi;;
  esac
done
"""


@dataclass(frozen=True)
class Link:
    """A symbolic link, as the content of a path."""

    target: str


@dataclass(frozen=True)
class Submodule:
    """A submodule, as the content of a path."""

    sha: str


Content = str | bytes | Link | Submodule | None  # None removes the path


class Conflict(Exception):  # noqa: N818 - the situation's name
    """The branches cannot be merged."""


def git(bare: Path, *arguments: str, stdin: bytes | None = None, environment: Mapping[str, str] | None = None) -> str:
    """Run git in a bare repository."""
    done = subprocess.run(
        ["git", "-C", str(bare), *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        env={**ENVIRONMENT, **(environment or {})},
    )
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr.decode())
    return done.stdout.decode().strip()


def create(bare: Path) -> None:
    """An empty repository whose update hook knows protected branches."""
    bare.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True, env=ENVIRONMENT)
    for key, value in {
        "http.receivepack": "true",
        "uploadpack.allowAnySHA1InWant": "true",
        "gc.auto": "0",
        "receive.advertisePushOptions": "true",
    }.items():
        git(bare, "config", key, value)
    hook = bare / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(UPDATE_HOOK)
    hook.chmod(0o755)


def tip(bare: Path, ref: str) -> str | None:
    """The commit of a branch (or of any name), None when there is none."""
    try:
        return git(bare, "rev-parse", "--verify", "-q", f"{ref}^{{commit}}")
    except subprocess.CalledProcessError:
        return None


def refs(bare: Path) -> dict[str, str]:
    """All branches and tags."""
    lines = git(bare, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags").splitlines()
    return dict(line.split(" ") for line in lines)


def person(name: str, email: str, when: datetime | None = None) -> str:
    """A name and a time as a commit holds them; anybody may write any."""
    moment = when or datetime.now(UTC)
    return f"{name} <{email}> {int(moment.timestamp())} +0000"


def commit(bare: Path, branch: str, start: str | None, files: Mapping[str, Content], author: str, message: str) -> str:
    """One commit on top of `start`, by git's own importer; moves the branch and returns the commit."""
    text = message.encode()
    parts = [
        f"commit refs/heads/{branch}\nauthor {author}\ncommitter {author}\ndata {len(text)}\n".encode(),
        text,
        b"\n",
    ]
    if start:
        parts.append(f"from {start}\n".encode())
    for path, content in files.items():
        parts.append(_change(path, content))
    git(bare, "fast-import", "--quiet", "--force", "--date-format=raw", stdin=b"".join(parts))
    return git(bare, "rev-parse", f"refs/heads/{branch}")


def _change(path: str, content: Content) -> bytes:
    quoted = '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if content is None:
        return f"D {quoted}\n".encode()
    if isinstance(content, Submodule):
        return f"M 160000 {content.sha} {quoted}\n".encode()
    mode, data = ("120000", content.target) if isinstance(content, Link) else ("100644", content)
    raw = data.encode() if isinstance(data, str) else data
    return f"M {mode} inline {quoted}\ndata {len(raw)}\n".encode() + raw + b"\n"


def merge(bare: Path, target: str, head: str, author: str, message: str, how: str) -> tuple[str | None, str | None]:
    """Merge `head` into the branch `target`: merge, squash, ff or squash-ff.

    Returns the merge commit and the squash commit, either None where GitLab has none.

    Raises:
        Conflict: it cannot be done without a person.
    """
    old = git(bare, "rev-parse", f"refs/heads/{target}")
    squashed = _squash(bare, old, head, author, message) if how.startswith("squash") else None
    if how == "ff" and git(bare, "merge-base", old, head) != old:
        raise Conflict("not a fast-forward; rebase first")
    new = squashed or head
    merged = None
    if how in {"merge", "squash"}:
        merged = new = _commit_tree(bare, _merged_tree(bare, old, new), [old, new], author, f"Merge {message}")
    git(bare, "update-ref", f"refs/heads/{target}", new, old)
    return merged, squashed


def _squash(bare: Path, old: str, head: str, author: str, message: str) -> str:
    return _commit_tree(bare, _merged_tree(bare, old, head), [old], author, message)


def _merged_tree(bare: Path, ours: str, theirs: str) -> str:
    try:
        return git(bare, "merge-tree", "--write-tree", ours, theirs).splitlines()[0]
    except subprocess.CalledProcessError:
        raise Conflict("conflicts") from None


def _commit_tree(bare: Path, tree: str, parents: list[str], author: str, message: str) -> str:
    name, _, rest = author.partition(" <")
    email, _, when = rest.partition("> ")
    environment = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", name), ("EMAIL", email), ("DATE", when))
    }
    arguments = [argument for parent in parents for argument in ("-p", parent)]
    return git(bare, "commit-tree", tree, *arguments, stdin=message.encode(), environment=environment)


def content(bare: Path, name: str) -> bytes:
    """The bytes of `commit:path`."""
    return subprocess.run(
        ["git", "-C", str(bare), "cat-file", "blob", name], capture_output=True, check=True, env=ENVIRONMENT
    ).stdout


def planted(bare: Path, base: str, path: str, data: bytes) -> str:
    """A commit over `base` whose tree objects name `path` literally, as no git client would write them."""
    blob = git(bare, "hash-object", "-w", "--stdin", stdin=data)
    *folders, name = path.split("/")
    entry = f"100644 {name}".encode() + b"\0" + bytes.fromhex(blob)
    for folder in reversed(folders):
        tree = git(bare, "hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=entry)
        entry = f"40000 {folder}".encode() + b"\0" + bytes.fromhex(tree)
    tree = git(bare, "hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=entry)
    return _commit_tree(bare, tree, [base], person("mallory", "mallory@bank.example"), "planted")


def commits(bare: Path, before: str | None, after: str | None) -> list[dict[str, object]]:
    """The commits of a push with their files, as webhooks name them; none for a new or removed branch."""
    if before is None or after is None:
        return []
    kinds = {"A": "added", "M": "modified", "D": "removed"}
    found: list[dict[str, object]] = []
    log = git(
        bare, "log", "--format=%x01%H", "--name-status", "--no-renames", "-m", "--first-parent", f"{before}..{after}"
    )
    for part in log.split("\x01")[1:]:
        sha, *lines = part.split("\n")
        files: dict[str, list[str]] = {kind: [] for kind in kinds.values()}
        for line in (line for line in lines if line):
            files[kinds.get(line[0], "modified")].append(line.partition("\t")[2])
        found.append({"id": sha, **files})
    return found
