"""kubernetes-validate's own `validate()` on each document of some files: `validate_documents.py MINOR FILE...`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import kubernetes_validate
import yaml

documents = [
    document for file in sys.argv[2:] for document in yaml.load_all(Path(file).read_text(), Loader=yaml.CSafeLoader)
]
cpu, wall = time.process_time(), time.monotonic()
for document in documents:
    kubernetes_validate.validate(document, sys.argv[1], strict=True)
print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.monotonic() - wall, "items": len(documents)}))
