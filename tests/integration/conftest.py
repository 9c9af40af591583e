from __future__ import annotations

from pathlib import Path

import pytest

from runner import tracking


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with MLflow's tables: making them takes seconds, copying does not."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    tracking.client(f"sqlite:///{file}").search_experiments()
    return file
