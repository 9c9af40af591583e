"""Text models whose layers Liger's kernels replace; for others LLaMA Factory warns and goes on without them.

Source: llamafactory/model/model_utils/liger_kernel.py, 0.9.5.
"""

MODELS = frozenset(
    {
        "gemma",
        "gemma2",
        "gemma3_text",
        "glm",
        "glm4",
        "granite",
        "llama",
        "mistral",
        "mixtral",
        "olmo2",
        "phi3",
        "qwen2",
    }
    | {"qwen3", "qwen3_moe", "qwen3_next"}
)
