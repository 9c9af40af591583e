"""Argo CD and the admission policies: what their manifests alone do not say."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tools.cluster import objects
from tools.cluster.doctor.site import Site
from tools.cluster.reading import ARGOCD
from tools.examining import Result, right, unseen, wrong

PLATFORM = "finetuning-platform"
OLDEST_ARGOCD = (3, 2)  # the end-to-end tests run 3.2.6
_VERSION = re.compile(r"v(\d+)\.(\d+)\.\d+")


def argocd_version(site: Site) -> Iterator[Result]:
    """Argo CD's controller is new enough; read from its image's tag."""
    path = f"/apis/apps/v1/namespaces/{ARGOCD}/statefulsets/argocd-application-controller"
    live = site.optional(path)
    containers = objects.at(live, "spec", "template", "spec", "containers") or [{}]
    match = _VERSION.search(str(containers[0].get("image", "")))
    subject = "Argo CD"
    if live is None or match is None:
        why = f"no StatefulSet {ARGOCD}/argocd-application-controller whose image names a version"
        yield unseen("argocd-version", subject, why, f"`argocd version` must say {_dotted(OLDEST_ARGOCD)} or newer")
    elif (int(match[1]), int(match[2])) < OLDEST_ARGOCD:
        yield wrong("argocd-version", subject, match[0], f"v{_dotted(OLDEST_ARGOCD)} or newer", "upgrade Argo CD")
    else:
        yield right("argocd-version", f"{subject} {match[0]}")


def signing_keys(site: Site) -> Iterator[Result]:
    """Argo CD holds the public keys that the environment names; without them nothing is ever applied."""
    if site.environment.git is None:
        return
    keys = objects.at(site.optional(_config_map("argocd-gpg-keys-cm")), "data") or {}
    for key in site.environment.git.signing_keys:
        subject = f"GPG key {key}"
        if key in keys:
            yield right("signing-key", subject)
        else:
            remedy = "argocd gpg add --from KEY.asc (the bot's public key)"
            yield wrong("signing-key", subject, "nothing", f"a key in ConfigMap {ARGOCD}/argocd-gpg-keys-cm", remedy)


def applications(site: Site) -> Iterator[Result]:
    """Argo CD applies the platform and its tenants, and says so."""
    if site.environment.git is None:
        return
    for name in (PLATFORM, *(f"finetuning-tenant-{tenant}" for tenant in site.tenants)):
        live = site.optional(f"/apis/argoproj.io/v1alpha1/namespaces/{ARGOCD}/applications/{name}")
        subject, remedy = f"Application {ARGOCD}/{name}", f"argocd app get {name} --refresh; argocd app sync {name}"
        state = [str(objects.at(live, "status", part, "status") or "nothing") for part in ("sync", "health")]
        if live is None and name == PLATFORM:
            continue  # its manifest is compared with the others
        if live is None:
            yield wrong(
                "application",
                subject,
                "nothing",
                "it",
                f"argocd app sync {PLATFORM}; is the tenant's overlay on deployed/{site.name}?",
            )
        elif state != ["Synced", "Healthy"]:
            yield wrong("application", subject, ", ".join(state), "Synced, Healthy", remedy)
        else:
            yield right("application", subject)


def application_sets(site: Site) -> Iterator[Result]:
    """No ApplicationSet is in trouble: one that is neither starts nor cancels anything."""
    for item in site.wanted:
        if item.manifest["kind"] != "ApplicationSet":
            continue
        live = site.live(item.manifest)
        if (fault := objects.condition(live, "ErrorOccurred")) is not None:
            remedy = "see `git.url` of the environment, Argo CD's access to it, and the names of the overlays' folders"
            yield wrong("application-set", item.subject, str(fault.get("message")), "no error", remedy)
        elif live is not None:
            yield right("application-set", item.subject)


def policies(site: Site) -> Iterator[Result]:
    """The API server finds no type errors in the admission policies' expressions."""
    for item in site.wanted:
        if item.manifest["kind"] != "ValidatingAdmissionPolicy":
            continue
        live = site.live(item.manifest)
        for warning in objects.at(live, "status", "typeChecking", "expressionWarnings") or []:
            subject = f"{item.subject}: {warning.get('fieldRef')}"
            yield wrong(
                "policy", subject, str(warning.get("warning")), "no warning", "make e2e; then release base/admission"
            )


def _config_map(name: str) -> str:
    return f"/api/v1/namespaces/{ARGOCD}/configmaps/{name}"


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
