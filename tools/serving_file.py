"""The text of `serving/<env>/<tenant>/<model_name>.yaml`, as `ft promote` and the bot write it."""

from __future__ import annotations

from tools.expand.yamltext import dump
from tools.formats.audit import Audit
from tools.formats.serving import Serving
from tools.rules.served import registered

_HEADER = """\
# yaml-language-server: $schema=../../../schemas/serving.schema.json
# Which version of {name} is served in {environment}. Owner: {tenant}; its approvers authorize a change by approving the merge
# request, a revert too. Check: ft validate serving
"""


def file_of(environment: str, name: str) -> str:
    """The file of a registered name `<tenant>.<model_name>`."""
    tenant, _, model_name = name.partition(".")
    return f"serving/{environment}/{tenant}/{model_name}.yaml"


def served_by(record: Audit) -> Serving | None:
    """What a file says that serves the run; None where its record lacks a version or the hash of what was published."""
    made = registered(record)
    if made is None or made.publication is None:
        return None
    return Serving(version=1, run_id=record.run_id, model_version=made.version, publication=made.publication)


def text(environment: str, name: str, served: Serving) -> str:
    """The whole file."""
    header = _HEADER.format(name=name, environment=environment, tenant=name.partition(".")[0])
    return header + dump(served.model_dump(mode="json"))
