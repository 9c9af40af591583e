"""MLflow's database in a file: made whole or not at all.

MLflow makes its tables one after the other, in transactions of their own, when a client first opens the file. A process that is killed
in between leaves a file that no client takes any more ("table ... already exists"). So the tables are made in another file, which then
gets the name.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_SCHEME = "sqlite:///"
_ABANDONED = 60.0  # seconds after which a folder in which tables were being made is a killed process's


def prepare(uri: str) -> None:
    """Make the database of a tracking URI `sqlite:///FILE` if there is none; other URIs are a server's own business.

    Whatever MLflow raises passes through; the file is not there then.
    """
    file = Path(uri.removeprefix(_SCHEME))
    if not uri.startswith(_SCHEME) or file.exists():
        return
    from mlflow.tracking import MlflowClient

    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{file.name}-", dir=file.parent, ignore_cleanup_errors=True) as folder:
        made = Path(folder) / file.name
        MlflowClient(tracking_uri=f"{_SCHEME}{made}").search_experiments(max_results=1)
        # Refused where another process was faster, and by a file system without links: MLflow makes its tables itself there.
        with suppress(OSError):
            os.link(made, file)
    for left in file.parent.glob(f".{file.name}-*"):
        with suppress(OSError):  # its maker has just taken it away
            if time.time() - left.stat().st_mtime > _ABANDONED:
                shutil.rmtree(left)
