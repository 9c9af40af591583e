"""Where an image comes from: an in-toto statement with SLSA provenance.

Sources: in-toto attestation framework, Statement v1; SLSA specification, provenance v1. The statement is not signed
here, where whoever merges could read a key: the bot holds it against git and signs it (tools/bot/upkeep/origin.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any


def statement(
    root: Path, pins: Iterable[str], environment: Mapping[str, str], image: str, begun: datetime, ended: datetime
) -> dict[str, Any]:
    """The statement about `image` (name@sha256:digest), which a job with these variables built from `root` with these pins."""
    name, _, digest = image.rpartition("@sha256:")
    project, commit = environment.get("CI_PROJECT_URL", ""), environment["CI_COMMIT_SHA"]
    pinned = [{"uri": f"file:{pin}", "digest": {"sha256": _sha256(root / pin)}} for pin in pins]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": f"{project}/-/blob/{commit}/ci/build.py",
                "externalParameters": {
                    "source": project,
                    "ref": environment.get("CI_COMMIT_REF_NAME", ""),
                    "baseImage": environment["BASE_IMAGE"],
                    "indexUrl": environment.get("INDEX_URL", ""),
                },
                "resolvedDependencies": [{"uri": f"git+{project}", "digest": {"gitCommit": commit}}, *pinned],
            },
            "runDetails": {
                "builder": {
                    "id": f"{environment.get('CI_SERVER_URL', '')}/-/runners/{environment.get('CI_RUNNER_ID', '')}"
                },
                "metadata": {
                    "invocationId": environment.get("CI_JOB_URL", ""),
                    "startedOn": begun.isoformat(timespec="seconds"),
                    "finishedOn": ended.isoformat(timespec="seconds"),
                },
            },
        },
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
