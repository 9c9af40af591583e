"""How Argo CD runs one tenant's experiments, as patches of base/argocd/tenant: its project and its set of Applications."""

from __future__ import annotations

from tools.expand.tenant_core import NAMED, Object, group, head
from tools.formats.environment import TENANT, Git
from tools.formats.tenant_lock import TenantContent

_API = "argoproj.io/v1alpha1"
_NAMESPACE = "argocd"
_SERVER = "https://kubernetes.default.svc"
_POLL_SECONDS = 60  # how often git is asked where no webhook tells
# Triggers of base/argocd/config, each called `finetuning-<event>`.
_EVENTS = ("started", "succeeded", "failed")


def patches(content: TenantContent) -> list[Object]:
    """base/argocd/tenant, empty where the environment names no repository."""
    git = content.cluster.git
    return [_project(content, git), _applications(content, git)] if git is not None else []


def _project(content: TenantContent, git: Git) -> Object:
    project = f"finetuning-{content.name}"
    viewer = {
        "name": "viewer",
        "description": "The tenant's people look at their runs and logs; changes go through git",
        "groups": [group(content)],
        "policies": [_right(project, "viewer", resource, "get") for resource in ("applications", "logs")],
    }
    bot = {
        "name": "bot",
        "description": "The platform bot, by token: syncs again what was never published, ends a cancelled run's operation",
        "policies": [_right(project, "bot", "applications", action) for action in ("get", "sync")],
    }
    spec = {
        "description": f"Fine-tuning runs of {content.name} in {content.environment}",
        "sourceRepos": [git.url],
        "destinations": [{"server": _SERVER, "namespace": content.namespace}],
        "signatureKeys": [{"keyID": key} for key in git.signing_keys],
        "roles": [viewer, bot],
    }
    return {**head(_API, "AppProject", NAMED, namespace=_NAMESPACE), "spec": spec}


def _right(project: str, role: str, resource: str, action: str) -> str:
    return f"p, proj:{project}:{role}, {resource}, {action}, {project}/*, allow"


def _applications(content: TenantContent, git: Git) -> Object:
    branch = f"deployed/{content.environment}"
    folders = {"path": f"overlays/{content.environment}/{content.name}/*"}
    generator = {"repoURL": git.url, "revision": branch, "requeueAfterSeconds": _POLL_SECONDS, "directories": [folders]}
    metadata = {
        "name": f"{content.name}.{{{{ .path.basename }}}}",
        "labels": {"finetuning/tenant": content.name},
        **_subscriptions(content),
    }
    application = {
        "project": f"finetuning-{content.name}",
        "source": {"repoURL": git.url, "targetRevision": branch},
        "destination": {"namespace": content.namespace},
    }
    spec = {"generators": [{"git": generator}], "template": {"metadata": metadata, "spec": application}}
    return {**head(_API, "ApplicationSet", NAMED, namespace=_NAMESPACE), "spec": spec}


def _subscriptions(content: TenantContent) -> Object:
    told = content.cluster.notifications
    if told is None:
        return {}
    recipient = told.recipient.replace(TENANT, content.name)
    names = (f"notifications.argoproj.io/subscribe.finetuning-{event}.{told.service}" for event in _EVENTS)
    return {"annotations": dict.fromkeys(names, recipient)}
