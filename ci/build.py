"""The job `build`: the training image, named by what goes into it, with its list of parts and its origin.

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
from datetime import UTC, datetime
from pathlib import Path

from ci.changed import git
from ci.provenance import statement

# What the Dockerfile copies, and what decides what it copies: `rules: changes` of the job are the same.
INPUTS = ("Dockerfile", ".dockerignore", "requirements/bootstrap.txt", "requirements/runner.txt", "runner", "tools")
_DIGITS = 16


def main(argv: Sequence[str] | None = None) -> int:
    """Build what is not there, and write the reports."""
    parser = argparse.ArgumentParser(prog="ci.build", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reports", type=Path, required=True, metavar="DIR", help="where the reports go")
    reports: Path = parser.parse_args(argv).reports
    reports.mkdir(parents=True, exist_ok=True)
    try:
        image = build(Path.cwd(), os.environ, reports)
    except subprocess.CalledProcessError as error:
        print(f"ci.build: `{error.cmd[0]} {error.cmd[1]}` ended with {error.returncode}; see above", file=sys.stderr)
        return int(error.returncode)
    print(
        f"{image}\nThe bot opens a merge request that puts it into environments/<env>.yaml; a platform admin approves it."
    )
    return 0


def tag(root: Path, base_image: str) -> str:
    """`c-` and the first 16 digits of the SHA-256 of all inputs: modes, object ids and paths in HEAD, and the base image."""
    tree = git(root, "ls-tree", "-r", "-z", "--full-tree", "HEAD", "--", *INPUTS)
    content = f"{base_image}\0{tree}".encode()
    return f"c-{hashlib.sha256(content).hexdigest()[:_DIGITS]}"


def build(root: Path, environment: Mapping[str, str], reports: Path) -> str:
    """Make sure that the image is in the registry; its name by digest."""
    name, base = environment["IMAGE"], environment["BASE_IMAGE"]
    reference = f"{name}:{tag(root, base)}"
    digest = existing(reference, environment)
    built = digest is None
    if digest is None:
        begun = datetime.now(UTC)
        digest = _push(reference, environment, reports)
        _run("syft", "scan", f"registry:{name}@{digest}", "--quiet", "--output", f"cyclonedx-json={reports / 'image.sbom.json'}")  # fmt: skip
        origin = statement(root, environment, f"{name}@{digest}", begun, datetime.now(UTC))
        _json(reports / "image.provenance.json", origin)
    image = f"{name}@{digest}"
    commit, pipeline = environment["CI_COMMIT_SHA"], environment.get("CI_PIPELINE_URL", "")
    facts = {"version": 1, "image": image, "tag": reference.rpartition(":")[2], "commit": commit, "built": built, "pipeline": pipeline}  # fmt: skip
    _json(reports / "image.json", facts)
    (reports / "image.env").write_text(f"IMAGE_REFERENCE={image}\n", encoding="utf-8")
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


def _push(reference: str, environment: Mapping[str, str], reports: Path) -> str:
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
    _run("buildah", "bud", "--pull", "--tag", reference, *options, ".")
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
