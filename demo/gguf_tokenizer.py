"""The tokenizer inside a GGUF file of the SmolLM family, written as a transformers folder.

transformers' own GGUF reader gets this one wrong: it ends texts with `<|im_start|>`, has no padding token and joins digits.
The file's metadata name the pre-tokenizer `smollm`, which is: each digit alone, then GPT-2's byte-level split.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from demo.gguf_model import Source, save_json

_CONTROL = 3  # gguf.TokenType.CONTROL: a token that stands for no text, such as <|im_end|>
PROBES = (
    "Card 4071 was declined 2x - why?!",
    "  two  spaces\nand a line\t",
    "Zażółć gęślą jaźń, 10 € & 日本 🙂",
    "don't I'll we've",
)


def write(source: Source, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja into `folder`.

    Raises ValueError if the metadata name another kind of tokenizer, or if a text does not survive encoding and decoding.
    """
    metadata = source.metadata
    kind = (metadata["tokenizer.ggml.model"], metadata["tokenizer.ggml.pre"])
    if kind != ("gpt2", "smollm"):
        raise ValueError(f"tokenizer of kind {kind}; only ('gpt2', 'smollm') can be written")
    tokenizer = assemble(metadata)
    check_round_trip(tokenizer)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=True)
    settings = {
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": metadata["llama.context_length"],
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    save_json({**settings, **special_tokens(metadata)}, folder / "tokenizer_config.json")
    (folder / "chat_template.jinja").write_text(metadata["tokenizer.chat_template"], encoding="utf-8")


def assemble(metadata: dict[str, Any]) -> Tokenizer:
    """Byte-level BPE from the file's tokens and merges, with its control tokens as special ones."""
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=merges))
    digits, words = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    tokenizer.decoder = decoders.ByteLevel()
    kinds = metadata["tokenizer.ggml.token_type"]
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return tokenizer


def special_tokens(metadata: dict[str, Any]) -> dict[str, str]:
    """Texts of the tokens that begin, end and pad a text, by transformers' names."""
    names = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    tokens = metadata["tokenizer.ggml.tokens"]
    return {name: tokens[metadata[f"tokenizer.ggml.{key}_token_id"]] for name, key in names.items()}


def check_round_trip(tokenizer: Tokenizer) -> None:
    """Raise ValueError unless decode(encode(text)) gives each probe text back."""
    for text in PROBES:
        back = tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids)
        if back != text:
            raise ValueError(f"tokenizer changes {text!r} into {back!r}")
