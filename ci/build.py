"""The jobs `build` and `build-bot`: an image, named by what goes into it, with its list of parts and its origin.

The tag is a hash of the inputs' git objects and of the base image's name: the same content is built once, whichever commit asks
for it. A new image is pushed, listed by syft (CycloneDX, from what was pushed: the base image's Debian packages and the
pinned Python packages as they are installed) and described by an in-toto statement (SLSA provenance).
Exit code 0: the image is in the registry; otherwise that of the program that failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ci.changed import git
from ci.provenance import statement

_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Sources:
    """What an image is made of. variable: names it by digest in reports/image.env."""

    dockerfile: str
    ignorefile: str
    pins: tuple[str, ...]
    folders: tuple[str, ...]
    variable: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the Dockerfile copies, and what decides what it copies: `rules: changes` of the job are the same."""
        return (self.dockerfile, self.ignorefile, *self.pins, *self.folders)


_BOOTSTRAP = "requirements/bootstrap.txt"
IMAGES = {
    "runner": Sources(
        "Dockerfile", ".dockerignore", (_BOOTSTRAP, "requirements/runner.txt"), ("runner", "tools"), "IMAGE_REFERENCE"
    ),
    "bot": Sources(
        "bot.Dockerfile",
        "bot.Dockerfile.dockerignore",
        (_BOOTSTRAP, "requirements/bot.txt"),
        ("tools",),
        "BOT_IMAGE_REFERENCE",
    ),
}
# Who takes it up.
_NEXT = {
    "runner": "The bot opens a merge request that puts it into environments/<env>.yaml; a platform admin approves it.",
    "bot": "A platform admin puts its digest into base/bot/kustomization.yaml by a merge request and applies that.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Build what is not there, and write the reports."""
    parser = argparse.ArgumentParser(prog="ci.build", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reports", type=Path, required=True, metavar="DIR", help="where the reports go")
    parser.add_argument("--image", choices=sorted(IMAGES), default="runner", help="which one (runner)")
    arguments = parser.parse_args(argv)
    reports: Path = arguments.reports
    reports.mkdir(parents=True, exist_ok=True)
    try:
        image = build(Path.cwd(), IMAGES[arguments.image], os.environ, reports)
    except subprocess.CalledProcessError as error:
        print(f"ci.build: `{error.cmd[0]} {error.cmd[1]}` ended with {error.returncode}; see above", file=sys.stderr)
        return int(error.returncode)
    print(f"{image}\n{_NEXT[arguments.image]}")
    return 0


def tag(root: Path, sources: Sources, base_image: str) -> str:
    """`c-` and the first 16 digits of the SHA-256 of all inputs: modes, object ids and paths in HEAD, and the base image."""
    tree = git(root, "ls-tree", "-r", "-z", "--full-tree", "HEAD", "--", *sources.inputs)
    content = f"{base_image}\0{tree}".encode()
    return f"c-{hashlib.sha256(content).hexdigest()[:_DIGITS]}"


def build(root: Path, sources: Sources, environment: Mapping[str, str], reports: Path) -> str:
    """Make sure that the image is in the registry; its name by digest."""
    name, base = environment["IMAGE"], environment["BASE_IMAGE"]
    reference = f"{name}:{tag(root, sources, base)}"
    digest = existing(reference, environment)
    built = digest is None
    if digest is None:
        begun = datetime.now(UTC)
        digest = _push(reference, sources, environment, reports)
        _run("syft", "scan", f"registry:{name}@{digest}", "--quiet", "--output", f"cyclonedx-json={reports / 'image.sbom.json'}")  # fmt: skip
        origin = statement(root, sources.pins, environment, f"{name}@{digest}", begun, datetime.now(UTC))
        _json(reports / "image.provenance.json", origin)
    image = f"{name}@{digest}"
    commit, pipeline = environment["CI_COMMIT_SHA"], environment.get("CI_PIPELINE_URL", "")
    facts = {"version": 1, "image": image, "tag": reference.rpartition(":")[2], "commit": commit, "built": built, "pipeline": pipeline}  # fmt: skip
    _json(reports / "image.json", facts)
    (reports / "image.env").write_text(f"{sources.variable}={image}\n", encoding="utf-8")
    return image


def existing(reference: str, environment: Mapping[str, str]) -> str | None:
    """The digest behind a tag, None where the registry has no such tag."""
    command = [
        "skopeo",
        "inspect",
        "--no-tags",
        *_skopeo(environment),
        "--format",
        "{{.Digest}}",
        f"docker://{reference}",
    ]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else None


def _push(reference: str, sources: Sources, environment: Mapping[str, str], reports: Path) -> str:
    """Build and push; the pushed digest. INDEX_URL and CA_BUNDLE are for networks with a package mirror of their own."""
    arguments = {
        "BASE_IMAGE": environment["BASE_IMAGE"],
        "INDEX_URL": environment.get("INDEX_URL", ""),
        "REVISION": environment["CI_COMMIT_SHA"],
        "SOURCE": environment.get("CI_PROJECT_URL", ""),
    }
    options = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    if environment.get("CA_BUNDLE"):
        options += ["--secret", f"id=ca-bundle,src={environment['CA_BUNDLE']}"]
    files = ("--file", sources.dockerfile, "--ignorefile", sources.ignorefile)
    _run("buildah", "bud", "--pull", *files, "--tag", reference, *options, ".")
    digest = reports / "image.digest"
    _run("buildah", "push", "--digestfile", str(digest), *_skopeo(environment), reference)
    return digest.read_text(encoding="utf-8").strip()


def _skopeo(environment: Mapping[str, str]) -> list[str]:
    """Options for a registry without TLS, which only a test has."""
    return ["--tls-verify=false"] if environment.get("REGISTRY_WITHOUT_TLS") else []


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
