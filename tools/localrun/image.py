"""What the runner image brings to a container, as its Dockerfile says it; a test compares the two."""

from __future__ import annotations

ENTRYPOINT = ("-m", "runner")

ENVIRONMENT = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
}
