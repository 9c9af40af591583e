"""Every object that the overlays ask for, compared with the live one."""

from __future__ import annotations

from collections.abc import Iterator

from tools.cluster.doctor.compare import differences
from tools.cluster.doctor.site import Site, Wanted
from tools.cluster.faults import Missing, Refused
from tools.examining import Result, right, unseen, wrong
from tools.expand.tenant import TENANTS

CHECK = "manifest"
_INSTALL = {
    "argoproj.io": "install Argo CD (docs/install.md)",
    "kueue.x-k8s.io": "install Kueue (docs/install.md), or say `kueue: false` in the environment",
    "external-secrets.io": "install the External Secrets Operator, or leave `external_secrets` out of the environment",
}


def compare(site: Site, item: Wanted) -> Iterator[Result]:
    """One object: right, missing, different in so many places, or not to be read."""
    remedy = apply(item.folder)
    try:
        live = site.live(item.manifest)
    except Missing:
        group = str(item.manifest["apiVersion"]).partition("/")[0]
        found = f"the cluster serves no {item.manifest['kind']} of {item.manifest['apiVersion']}"
        yield wrong(CHECK, item.subject, found, "the kind", _INSTALL.get(group, "upgrade Kubernetes"))
        return
    except Refused as error:
        yield unseen(CHECK, item.subject, str(error), "ask as somebody who may read it")
        return
    if live is None:
        yield wrong(CHECK, item.subject, "nothing", f"as in {item.folder}", remedy)
        return
    different = differences(item.manifest, live)
    for place in different:
        yield wrong(CHECK, f"{item.subject}: {place.path}", place.found, place.wanted, remedy)
    if not different:
        yield right(CHECK, item.subject)


def apply(folder: str) -> str:
    """How an overlay's objects get into the cluster: a tenant's are Argo CD's alone to write (base/admission)."""
    parts = folder.split("/")
    if TENANTS in parts:
        return f"argocd app sync finetuning-tenant-{parts[-1]}"
    return f"kubectl apply --server-side --force-conflicts -k {folder}"
