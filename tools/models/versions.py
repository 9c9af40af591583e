"""Registered models of MLflow over its REST API: versions with tags and aliases, the run behind each, and the moving of an alias.

API: MLflow's documentation, "REST API", 2.0. Login: MLflow's own variables, see tools/mlflow_login.py. No mlflow import.
"""

from __future__ import annotations

import json
import math
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tools.errors import ToolFault
from tools.mlflow_login import credentials

CHAMPION = "champion"
_SECONDS = 15.0
_MISSING = 404
_PAGE = 1000


class RegistryFault(ToolFault):
    """MLflow does not answer, refuses, or speaks something else."""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version. run: MLflow's id of the run that made it; created: milliseconds since 1970."""

    name: str
    number: int
    run: str
    source: str
    created: int
    tags: Mapping[str, str]
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunData:
    """What a run logged last."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


class Versions:
    """One MLflow server. Every method raises RegistryFault."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        cafile = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
        self._tls = ssl.create_default_context(cafile=cafile) if self.uri.startswith("https:") else None

    def of_tenant(self, tenant: str) -> list[ModelVersion]:
        """Every version of the tenant's models, by name, newest first."""
        names = [(str(each["name"]), _aliases(each)) for each in self._models(tenant)]
        return [version for name, aliases in sorted(names) for version in self._versions(name, aliases)]

    def of_model(self, name: str) -> list[ModelVersion]:
        """Every version of one model, newest first; none where there is no such model."""
        query = urllib.parse.urlencode({"name": name})
        answer = self._call("GET", f"registered-models/get?{query}")
        return self._versions(name, _aliases(answer["registered_model"])) if answer is not None else []

    def data(self, run: str) -> RunData:
        """Metrics and parameters of a run; nothing where it is gone."""
        answer = self._call("GET", f"runs/get?{urllib.parse.urlencode({'run_id': run})}") if run else None
        data = (answer or {}).get("run", {}).get("data", {})
        metrics = {str(each["key"]): _number(each.get("value")) for each in data.get("metrics") or []}
        finite = {name: value for name, value in metrics.items() if value is not None}
        return RunData(finite, {str(each["key"]): str(each["value"]) for each in data.get("params") or []})

    def point(self, name: str, alias: str, number: int | None) -> None:
        """Move an alias to a version; None: take it away."""
        if number is None:
            query = urllib.parse.urlencode({"name": name, "alias": alias})
            self._call("DELETE", f"registered-models/alias?{query}", {"name": name, "alias": alias})
        else:
            self._call("POST", "registered-models/alias", {"name": name, "alias": alias, "version": str(number)})

    def _models(self, tenant: str) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            query = {"filter": f"name LIKE '{tenant}.%'", "max_results": str(_PAGE), "page_token": token}
            answer = self._call("GET", f"registered-models/search?{urllib.parse.urlencode(query)}") or {}
            # LIKE takes `_` for any character, and a tenant's name holds none; the dot keeps `team-a` from `team-ab`.
            yield from (each for each in answer.get("registered_models") or [] if each["name"].startswith(f"{tenant}."))
            token = str(answer.get("next_page_token") or "")
            if not token:
                return

    def _versions(self, name: str, aliases: Mapping[str, int]) -> list[ModelVersion]:
        found: list[ModelVersion] = []
        token = ""
        while True:
            query = {"filter": f"name = '{name}'", "max_results": str(_PAGE), "page_token": token}
            answer = self._call("GET", f"model-versions/search?{urllib.parse.urlencode(query)}") or {}
            found += [self._version(each, aliases) for each in answer.get("model_versions") or []]
            token = str(answer.get("next_page_token") or "")
            if not token:
                return sorted(found, key=lambda version: -version.number)

    def _version(self, entry: dict[str, Any], aliases: Mapping[str, int]) -> ModelVersion:
        number = int(entry["version"])
        return ModelVersion(
            name=str(entry["name"]),
            number=number,
            run=str(entry.get("run_id") or ""),
            source=str(entry.get("source") or ""),
            created=int(entry.get("creation_timestamp") or 0),
            tags={str(tag["key"]): str(tag["value"]) for tag in entry.get("tags") or []},
            aliases=tuple(sorted(alias for alias, pointed in aliases.items() if pointed == number)),
        )

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """The answer; None where MLflow has no such thing."""
        request = urllib.request.Request(  # noqa: S310 - the formats let http and https through, nothing else
            f"{self.uri}/api/2.0/mlflow/{path}",
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json", **credentials()},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS, context=self._tls) as response:  # noqa: S310
                answer = json.loads(response.read())
        except urllib.error.HTTPError as error:
            if error.code == _MISSING:
                return None
            login = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD log in"
            raise RegistryFault(f"{self.uri} refuses {path.partition('?')[0]}: {error.code}; {login}") from None
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", None) or error
            raise RegistryFault(f"{self.uri} does not answer: {why}; give --tracking-uri, or try again") from None
        if not isinstance(answer, dict):
            raise RegistryFault(f"{self.uri} does not speak MLflow's API; give --tracking-uri")
        return answer


def _aliases(model: Mapping[str, Any]) -> dict[str, int]:
    return {str(each["alias"]): int(each["version"]) for each in model.get("aliases") or []}


def _number(value: object) -> float | None:
    try:
        found = float(str(value))
    except ValueError:
        return None
    return found if math.isfinite(found) else None
