"""How LLaMA Factory itself reads a file: `load_dataset.py FILE CACHE`, in the runner's environment, with a fresh cache."""

from __future__ import annotations

import shutil
import sys

from datasets import load_dataset

shutil.rmtree(sys.argv[2], ignore_errors=True)
load_dataset("json", data_files=sys.argv[1], split="train", cache_dir=sys.argv[2])
