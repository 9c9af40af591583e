"""How a served model is registered where clients look for it: one adapter a kind of gateway, each a pure function.

An adapter gives the objects that make `https://<hostname>/<tenant>/<model_name>/v1` lead to the model's Service. They are part
of the overlay: what is no longer served has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tools.formats.environment import Gateway
from tools.formats.serving_lock import ServingContent

Object = dict[str, Any]
# Names and port in base/serving/v1; the overlay puts the model's name behind them.
WORKLOAD = "model"
PORT = 8000


def objects(content: ServingContent) -> list[Object]:
    """What the environment's gateway takes; empty where there is none."""
    gateway = content.gateway
    return ADAPTERS[gateway.kind](content, gateway) if gateway is not None else []


def path_of(content: ServingContent) -> str:
    """The model's path at the gateway, which no other model has."""
    return f"/{content.tenant}/{content.model_name}"


def _http_route(content: ServingContent, gateway: Gateway) -> list[Object]:
    """An HTTPRoute of the Gateway API (https://gateway-api.sigs.k8s.io/reference/spec/#httproute)."""
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": path_of(content)}}],
        "filters": [
            {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}
        ],
        "backendRefs": [{"name": f"{WORKLOAD}-{content.model_name}", "port": PORT}],
    }
    return [
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {
                "name": WORKLOAD,
                "annotations": {"finetuning/served-model": content.registered_name},
            },
            "spec": {
                "parentRefs": [{"name": gateway.name, "namespace": gateway.namespace}],
                "hostnames": [gateway.hostname],
                "rules": [rule],
            },
        }
    ]


ADAPTERS: dict[str, Callable[[ServingContent, Gateway], list[Object]]] = {"gateway-api": _http_route}
