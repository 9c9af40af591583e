"""What a user would write instead: load the model, let peft merge, save. merge_peft.py BASE ADAPTER OUT."""

from __future__ import annotations

import sys

from peft import PeftModel
from transformers import AutoModelForCausalLM

base, adapter, out = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(out)
