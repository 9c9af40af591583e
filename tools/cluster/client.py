"""A kubeconfig's cluster, read through its REST API: the official client logs in and speaks TLS, answers stay JSON.

The client's own model classes are not used: they know neither Argo CD's nor Kueue's kinds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.cluster.faults import ClusterFault, Missing, Refused, Unreachable
from tools.errors import UsageError

Json = dict[str, Any]

_SECONDS = (5.0, 30.0)  # to connect, to answer
_PAGE = 500
_UNKNOWN, _FORBIDDEN, _MISSING = 401, 403, 404


class Cluster:
    """One API server. All methods raise ClusterFault.

    context: the kubeconfig's context, `in-cluster` inside a pod.
    """

    def __init__(self, api: Any, context: str) -> None:
        api.configuration.retries = False
        self.context = context
        self.server = str(api.configuration.host)
        self._api = api

    @classmethod
    def connect(cls, kubeconfig: Path | None = None, context: str | None = None) -> Cluster:
        """Choose the cluster: --kubeconfig, else KUBECONFIG, else ~/.kube/config, else the pod around this process.

        Raises:
            UsageError: none of them names a cluster, or no such context.
            ClusterFault: its certificate would not be checked.
        """
        from kubernetes import client, config
        from kubernetes.config import ConfigException

        settings = client.Configuration()
        settings.retries = False
        file = str(kubeconfig) if kubeconfig else None
        try:
            _, active = config.list_kube_config_contexts(config_file=file)
            config.load_kube_config(file, context, settings, persist_config=False)
            chosen = context or str(active["name"])
        except ConfigException as error:
            if kubeconfig or context:
                raise UsageError(f"{error}; give --kubeconfig FILE and --context NAME, or set KUBECONFIG") from error
            if not _inside_a_pod():
                raise Unreachable(f"no cluster is configured ({error}); set KUBECONFIG or give --kubeconfig") from error
            config.load_incluster_config(client_configuration=settings)
            chosen = "in-cluster"
        if not settings.verify_ssl:
            raise ClusterFault(
                f"context {chosen} switches TLS verification off (insecure-skip-tls-verify), so anybody could answer in "
                "the cluster's place; put its certificate-authority into the kubeconfig instead"
            )
        return cls(client.ApiClient(settings), chosen)

    def get(self, path: str, **query: str) -> Json:
        """One object, list or document, by its path below the server."""
        body = self._body(path, query)
        try:
            data = json.loads(body)
        except ValueError as error:
            raise Unreachable(f"{self.server} does not answer: {error}") from error
        if not isinstance(data, dict):
            raise Unreachable(f"{self.server}{path} answers no object")
        return data

    def text(self, path: str, **query: str) -> str:
        """A document that is text, such as a pod's log; bytes that are no UTF-8 are replaced."""
        return self._body(path, query).decode("utf-8", "replace")

    def _body(self, path: str, query: dict[str, str]) -> bytes:
        import urllib3
        from kubernetes.client import ApiException

        headers = {"Accept": "application/json, */*", "User-Agent": "ft"}
        self._api.update_params_for_auth(headers, [], ["BearerToken"])
        try:
            response = self._api.rest_client.request(
                "GET",
                self.server + path,
                list(query.items()),
                headers,
                _preload_content=False,
                _request_timeout=_SECONDS,
            )
            return bytes(response.data)
        except ApiException as error:
            raise _fault(path, error) from error
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            raise Unreachable(f"{self.server} does not answer: {_short(error)}") from error

    def items(self, path: str, **query: str) -> list[Json]:
        """All objects of a list, page by page."""
        return list(self._pages(path, query))

    def _pages(self, path: str, query: dict[str, str]) -> Iterator[Json]:
        token = ""
        while True:
            page = self.get(path, limit=str(_PAGE), **query, **({"continue": token} if token else {}))
            yield from page.get("items") or []
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return


def _inside_a_pod() -> bool:
    from kubernetes.config.incluster_config import SERVICE_TOKEN_FILENAME

    return Path(SERVICE_TOKEN_FILENAME).is_file()


def _fault(path: str, error: Any) -> ClusterFault:
    message = _message(error)
    if error.status == _UNKNOWN:
        return Unreachable(f"the login is not accepted ({message}); log in again, as for kubectl")
    if error.status == _FORBIDDEN:
        return Refused(message)
    if error.status == _MISSING:
        return Missing(f"{path}: {message}")
    return Unreachable(f"the API server answers {error.status or 'nothing'}: {message}")


def _message(error: Any) -> str:
    """What the server says in its Status object, else the reason of the answer."""
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        return " ".join(str(error.reason).split())


def _short(error: Exception) -> str:
    """The innermost reason: urllib3 wraps each in a sentence that repeats the address."""
    inner = getattr(error, "reason", None)
    text = str(inner if isinstance(inner, Exception) else error)
    return text.rpartition(">: ")[2] or type(error).__name__
