"""The login for MLflow's REST API."""

from __future__ import annotations

import base64
import os


def credentials() -> dict[str, str]:
    """Headers of a request, from the variables that MLflow's own client takes; empty without any."""
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if user and password:
        return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}
