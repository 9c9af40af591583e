"""`tenants/<tenant>/tenant.yaml`: who a tenant is and what it may use, as platform admins write it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tools.formats.base import Duration, Label, Strict, Text
from tools.formats.experiment import Priority
from tools.formats.people import Person
from tools.formats.retention import Retention


class Quota(Strict):
    """Limits of one tenant in one environment."""

    gpus: Annotated[int, Field(ge=0, description="GPUs in use at once")]
    gpu_hours_per_month: Annotated[
        int, Field(ge=0, description="Time limit x GPUs x nodes of a calendar month's runs (UTC)")
    ]
    storage_gib: Annotated[
        int, Field(ge=1, description="Size of the tenant's shared storage; an NFS export needs the same quota")
    ] = 200
    borrow_gpus: Annotated[
        int, Field(ge=0, description="Idle GPUs of other tenants that it may use besides, until they need them (Kueue)")
    ] = 0
    jobs: Annotated[int, Field(ge=2, description="Jobs in the namespace, finished ones included; a run has two")] = 200
    time_limit: Annotated[Duration, Field(description="Longest run that needs no platform admin")] = "2d"


class Tenant(Strict):
    """One team with a namespace, people, quota and allowed models."""

    version: Annotated[int, Field(ge=1, le=1, description="Version of this format")]
    description: Annotated[Text, Field(description="Who the team is")]
    members: Annotated[
        list[Person], Field(min_length=1, description="May open merge requests for experiments and datasets")
    ]
    approvers: Annotated[list[Person], Field(min_length=1, description="May authorize experiments by approving")]
    required_approvals: Annotated[int, Field(ge=1, le=10, description="How many approvers it takes")] = 1
    namespace: Annotated[Label | None, Field(description="Kubernetes namespace; <tenant>-training when omitted")] = None
    environments: Annotated[list[Label], Field(min_length=1, description="Where it may run; the first is the default")]
    models: Annotated[
        list[Label], Field(min_length=1, description="Base models it may use: file names of catalog/models/")
    ]
    priorities: Annotated[list[Priority], Field(min_length=1, description="Queue priorities it may ask for")] = [
        "low",
        "normal",
    ]
    quota: Quota
    # No part of the tenant's overlay: `ft storage prune` reads it here, so a change is no deployment.
    retention: Annotated[
        Retention | None,
        Field(exclude=True, description="How long the storage keeps what runs left; the environment's when omitted"),
    ] = None
    # No part of it either: `ft bot retire` reads it here.
    keep_failed: Annotated[
        Duration | None,
        Field(exclude=True, description="How long a failed run's overlay stays; keep_finished when omitted"),
    ] = None
    uid: Annotated[
        int, Field(ge=10000, le=2_000_000_000, description="User id of its jobs, fixed by admission (NFS believes it)")
    ] = 10001
    gid: Annotated[int, Field(ge=10000, le=2_000_000_000, description="Group id of its jobs")] = 10001
