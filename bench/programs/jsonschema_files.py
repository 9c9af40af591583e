"""PyYAML's `safe_load` and the pure Python jsonschema with a JSON Schema, file by file: `jsonschema_files.py SCHEMA FILE...`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import yaml

validator = jsonschema.Draft202012Validator(json.loads(Path(sys.argv[1]).read_text()))
cpu, wall = time.process_time(), time.monotonic()
for file in sys.argv[2:]:
    validator.validate(yaml.safe_load(Path(file).read_text()))
print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.monotonic() - wall, "items": len(sys.argv) - 2}))
