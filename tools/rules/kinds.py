"""Which kind of file stands at which path: the one place that knows the folders that people write to."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel

from tools.formats.audit import Audit
from tools.formats.behaviour import Behaviour
from tools.formats.dataset import Dataset
from tools.formats.environment import Environment, Platform
from tools.formats.experiment import Experiment
from tools.formats.gpus import Gpus
from tools.formats.model import Model
from tools.formats.recall import Recall
from tools.formats.serving import Serving
from tools.formats.tenant import Tenant

# People write in these; audit/ is the bot's, which `ft expand --check` looks at whole.
FOLDERS = ("catalog", "environments", "experiments", "recalls", "serving", "tenants")
SUFFIX = ".yaml"
FORMATS: dict[str, type[BaseModel]] = {
    "experiment": Experiment,
    "tenant": Tenant,
    "dataset": Dataset,
    "behaviour": Behaviour,
    "model": Model,
    "environment": Environment,
    "platform": Platform,
    "gpus": Gpus,
    "audit": Audit,
    "recall": Recall,
    "serving": Serving,
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
        case ["tenants", tenant, "datasets" | "behaviours" as kinds]:
            place = Place(kinds.removesuffix("s"), name, tenant)
        case ["catalog", "models"]:
            place = Place("model", name)
        case ["catalog"] if name == "gpus":
            place = Place("gpus", name)
        case ["serving", _, tenant]:
            place = Place("serving", name, tenant)
        case ["recalls", tenant]:
            place = Place("recall", name, tenant)
        case ["audit", _, tenant]:
            place = Place("audit", name, tenant)
        case ["environments"]:
            place = Place("platform" if name == "platform" else "environment", name)
    return place


_TENANTS = "tenants/{0}/tenant.yaml, tenants/{0}/datasets/<dataset>.yaml and tenants/{0}/behaviours/<behaviour>.yaml"
_BESIDE = {
    "catalog": "catalog/gpus.yaml and catalog/models/<model>.yaml",
    "environments": "environments/<environment>.yaml",
    "recalls": "recalls/<tenant>/<dataset>.yaml",
    "serving": "serving/<environment>/<tenant>/<model_name>.yaml",
}


def expected_beside(file: str) -> str:
    """What may stand in the folder of a stray file, in words."""
    top, *folders = file.split("/")[:-1] or [""]
    if top == "tenants":
        tenant = folders[0] if len(folders) == 1 else "<tenant>"
        return _TENANTS.format(tenant)
    return _BESIDE.get(top, "experiments/<tenant>/<name>.yaml")
