"""Which kind of file stands at which path: the one place that knows the folders that people write to."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel

from tools.formats.audit import Audit
from tools.formats.dataset import Dataset
from tools.formats.environment import Environment, Platform
from tools.formats.experiment import Experiment
from tools.formats.gpus import Gpus
from tools.formats.model import Model
from tools.formats.tenant import Tenant

# People write in these; audit/ is the bot's, which `ft expand --check` looks at whole.
FOLDERS = ("catalog", "environments", "experiments", "tenants")
SUFFIX = ".yaml"
FORMATS: dict[str, type[BaseModel]] = {
    "experiment": Experiment,
    "tenant": Tenant,
    "dataset": Dataset,
    "model": Model,
    "environment": Environment,
    "platform": Platform,
    "gpus": Gpus,
    "audit": Audit,
}


class Place(NamedTuple):
    """What a path says about its file: kind (a key of FORMATS), the name others use for it, and whose it is."""

    kind: str
    name: str
    tenant_name: str = ""


def place_of(file: str) -> Place | None:
    """The kind of the file at a path relative to the root, or None when nothing reads a file there."""
    folder, _, last = file.rpartition("/")
    name = last.removesuffix(SUFFIX)
    if name == last or not name:
        return None
    return _place(folder.split("/"), name)


def _place(folders: list[str], name: str) -> Place | None:
    place = None
    match folders:
        case ["experiments", tenant]:
            place = Place("experiment", name, tenant)
        case ["tenants", tenant] if name == "tenant":
            place = Place("tenant", tenant, tenant)
        case ["tenants", tenant, "datasets"]:
            place = Place("dataset", name, tenant)
        case ["catalog", "models"]:
            place = Place("model", name)
        case ["catalog"] if name == "gpus":
            place = Place("gpus", name)
        case ["audit", _, tenant]:
            place = Place("audit", name, tenant)
        case ["environments"]:
            place = Place("platform" if name == "platform" else "environment", name)
    return place


def expected_beside(file: str) -> str:
    """What may stand in the folder of a stray file, in words."""
    match file.split("/")[:-1]:
        case ["tenants", tenant]:
            return f"tenants/{tenant}/tenant.yaml and tenants/{tenant}/datasets/<dataset>.yaml"
        case ["tenants", *_]:
            return "tenants/<tenant>/tenant.yaml and tenants/<tenant>/datasets/<dataset>.yaml"
        case ["catalog", *_]:
            return "catalog/gpus.yaml and catalog/models/<model>.yaml"
        case ["environments", *_]:
            return "environments/<environment>.yaml"
    return "experiments/<tenant>/<name>.yaml"
