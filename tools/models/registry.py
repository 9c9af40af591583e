"""A version of a registered model, found by its alias: over MLflow's REST API, or in its SQLite file.

REST: GET /api/2.0/mlflow/registered-models/alias (https://mlflow.org/docs/latest/api_reference/rest-api.html). SQLite: the
tables of mlflow/store/model_registry/dbmodels/models.py, opened read-only; a test compares both with MLflow itself.
"""

from __future__ import annotations

import json
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from tools.errors import ToolFault, UsageError
from tools.mlflow_login import credentials

_TIMEOUT = 30
_VERSION = """
    SELECT v.version, v.source FROM model_versions v
    JOIN registered_model_aliases a ON a.name = v.name AND a.version = v.version
    WHERE a.name = ? AND a.alias = ? AND v.current_stage != 'Deleted_Internal'
"""
_TAGS = "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?"


class Version(NamedTuple):
    """A registered version: its number, where its folder lies (`pvc://...`) and the tags that the runner gave it."""

    number: int
    source: str
    tags: Mapping[str, str]


def by_alias(uri: str, name: str, alias: str) -> Version:
    """The version that the alias points to.

    Raises:
        UsageError: there is no such model or alias, or the URI is of an unknown kind.
        ToolFault: the server or the file cannot be read.
    """
    if uri.startswith(("http://", "https://")):
        found = _over_http(uri, name, alias)
    elif uri.startswith("sqlite:///"):
        found = _in_sqlite(Path(uri.removeprefix("sqlite:///")), name, alias)
    else:
        raise UsageError(f"--tracking-uri {uri!r}; allowed: http://..., https://... or sqlite:///FILE")
    if found is None:
        raise UsageError(f"{uri} has no {name}@{alias}; look in MLflow's model registry for names and aliases")
    return found


def folder_of(version: Version) -> str:
    """The version's folder below the storage, from its source `pvc://<namespace>/<claim>/<folder>`.

    Raises:
        UsageError: the version was not registered by this platform.
    """
    parts = urllib.parse.urlsplit(version.source)
    folder = parts.path.lstrip("/").partition("/")[2]
    if parts.scheme != "pvc" or not folder.startswith("models/merged-model/") or ".." in folder.split("/"):
        raise UsageError(
            f"version {version.number} lies at {version.source!r}; allowed: pvc://<namespace>/<claim>/models/merged-model/..., "
            "as this platform registers it; add another model from its folder"
        )
    return folder


def _over_http(uri: str, name: str, alias: str) -> Version | None:
    query = urllib.parse.urlencode({"name": name, "alias": alias})
    request = urllib.request.Request(  # noqa: S310 - the scheme is http or https, see by_alias
        f"{uri.rstrip('/')}/api/2.0/mlflow/registered-models/alias?{query}", headers=credentials()
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            found = json.load(answer)["model_version"]
        return Version(int(found["version"]), str(found["source"]), _tags(found.get("tags") or ()))
    except urllib.error.HTTPError as error:
        if _means_unknown(error):
            return None
        raise ToolFault(
            f"{uri} answers {error.code} {error.reason}; give MLFLOW_TRACKING_USERNAME and _PASSWORD, or _TOKEN"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ToolFault(f"{uri} cannot be asked: {error}; check --tracking-uri and the network") from error


def _means_unknown(error: urllib.error.HTTPError) -> bool:
    """MLflow answers 404 for an unknown model and 400 for an unknown alias."""
    return error.code in {400, 404} and b"error_code" in error.read()


def _tags(pairs: Any) -> dict[str, str]:
    return {str(pair["key"]): str(pair["value"]) for pair in pairs}


def _in_sqlite(file: Path, name: str, alias: str) -> Version | None:
    if not file.is_file():
        raise UsageError(f"{file} is no file; give --tracking-uri sqlite:///FILE with MLflow's database")
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            row = connection.execute(_VERSION, (name, alias)).fetchone()
            if row is None:
                return None
            return Version(int(row[0]), str(row[1]), dict(connection.execute(_TAGS, (name, row[0]))))
    except sqlite3.Error as error:
        raise ToolFault(
            f"{file} cannot be read as MLflow's database: {error}; give the one that MLflow writes"
        ) from error
