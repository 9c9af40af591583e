"""Writes a model of random weights: `base.py SHAPE TOKENIZER FOLDER`, in the runner's environment, on the GPU where there is one.

How fast a model trains does not hang on its weights' values. TOKENIZER is a model's folder whose tokenizer is taken over.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from bench.gpu_check.settings import SHAPES

_TEXTS = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def main(shape: str, tokenizer: Path, folder: Path) -> None:
    """Write config, weights and tokenizer."""
    old = AutoConfig.from_pretrained(tokenizer)
    config = AutoConfig.for_model(
        "llama",
        **SHAPES[shape].config,
        num_key_value_heads=8,
        vocab_size=old.vocab_size,
        max_position_embeddings=8192,
        tie_word_embeddings=False,
        bos_token_id=old.bos_token_id,
        eos_token_id=old.eos_token_id,
        pad_token_id=old.pad_token_id,
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="5GB")
    for name in _TEXTS:
        if (tokenizer / name).exists():
            shutil.copyfile(tokenizer / name, folder / name)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
