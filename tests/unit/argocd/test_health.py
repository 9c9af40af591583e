"""The Lua health checks of base/argocd/config, run in Lua 5.1 as Argo CD runs them: base library and tables only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa.lua51 import LuaRuntime

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = ROOT / "base" / "argocd" / "config" / "health"
OBJECTS = ROOT / "tests" / "fixtures" / "health"
# What Argo CD's interpreter has not got.
_ABSENT = ("string", "math", "io", "os", "debug", "package", "require", "python")


def health(script: Path, manifest: dict[str, Any]) -> dict[str, str]:
    """What a script says of an object."""
    lua = LuaRuntime(unpack_returned_tuples=True, register_eval=False)
    for name in _ABSENT:
        lua.globals()[name] = None
    lua.globals().obj = lua.table_from(manifest, recursive=True)
    return dict(lua.execute(script.read_text()))


@pytest.mark.parametrize("file", sorted(OBJECTS.glob("*/*.yaml")), ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_health_is_what_the_file_name_says(file: Path) -> None:
    """Only what is finished is Healthy, so that nothing is published before."""
    found = health(SCRIPTS / f"{file.parent.name}.lua", yaml.safe_load(file.read_text()))
    assert found["status"] == file.stem.partition("-")[0].capitalize()
    assert found["message"]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("job/suspended-queued", "waits in the queue finetuning"),
        ("job/degraded-failed", "failed: Container runner failed with exit code 4"),
        ("job/progressing-retried", "pods active: 1, failed: 1"),
        ("workload/suspended-no-quota", "waits in the queue: couldn't assign flavors"),
    ],
)
def test_message_says_why(file: str, message: str) -> None:
    """Argo CD shows the message beside the object; it is the first answer to why nothing happens."""
    manifest = yaml.safe_load((OBJECTS / f"{file}.yaml").read_text())
    assert health(SCRIPTS / f"{file.partition('/')[0]}.lua", manifest)["message"].startswith(message)


def test_every_script_is_a_setting_and_has_objects() -> None:
    """No script that Argo CD never reads, and none without examples of every answer that it can give."""
    settings = (SCRIPTS.parent / "kustomization.yaml").read_text()
    for script in SCRIPTS.glob("*.lua"):
        assert f"=health/{script.name}\n" in settings
        found = {file.stem.partition("-")[0] for file in (OBJECTS / script.stem).glob("*.yaml")}
        assert found == {"healthy", "progressing", "suspended", "degraded"}
