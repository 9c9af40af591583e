"""The least that reading JSON Lines costs in Python: `json_loads.py FILE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

with Path(sys.argv[1]).open(encoding="utf-8") as stream:
    for line in stream:
        json.loads(line)
