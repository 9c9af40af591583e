"""`catalog/models/<model>.yaml`: one base model, as `ft model add` writes it and platform admins keep it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tools.formats.base import RelativePath, Sha256, Strict, Text

# A YAML list is no tuple to a strict format; its numbers stay strict.
LayerShape = Annotated[tuple[int, int, int], Field(strict=False)]


class Source(Strict):
    """Where the weights come from."""

    repository: Annotated[str, Field(min_length=1, max_length=255, description="Model repository or registered model")]
    revision: Annotated[
        str, Field(min_length=1, max_length=255, description="Commit or version, never a moving branch")
    ]


class Architecture(Strict):
    """The numbers of config.json from which parameters, memory and LoRA targets follow."""

    model_type: Annotated[str, Field(min_length=1, max_length=64, description="`model_type` of config.json")]
    hidden_size: Annotated[int, Field(ge=1)]
    intermediate_size: Annotated[int, Field(ge=1)]
    num_hidden_layers: Annotated[int, Field(ge=1)]
    num_attention_heads: Annotated[int, Field(ge=1)]
    num_key_value_heads: Annotated[int, Field(ge=1)]
    head_dim: Annotated[int, Field(ge=1)]
    vocab_size: Annotated[int, Field(ge=1)]
    max_position_embeddings: Annotated[int, Field(ge=1, description="Longest context, in tokens")]
    tie_word_embeddings: bool
    parameters: Annotated[int, Field(ge=1, description="All parameters, counted from the tensors' shapes")]
    num_experts: Annotated[int, Field(ge=1, description="Experts per mixture-of-experts layer; 1 for dense models")] = 1
    linear_modules: Annotated[
        dict[str, LayerShape],
        Field(description="Linear layers LoRA can target: name -> [input size, output size, how many in the model]"),
    ]


class File(Strict):
    """One file of the model's folder."""

    sha256: Sha256
    size: Annotated[int, Field(ge=0, description="Bytes")]


class Model(Strict):
    """One base model that tenants may be allowed."""

    version: Annotated[Literal[1], Field(description="Version of this format")]
    description: Annotated[Text, Field(description="What it is good for")]
    path: Annotated[RelativePath, Field(description="Folder below /storage/models/base-model/")]
    source: Source
    licence: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9][a-z0-9.+-]*$",
            max_length=64,
            description="SPDX-style id in lower case, for instance apache-2.0",
        ),
    ]
    template: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=64, description="LLaMA Factory chat template")
    ]
    dtype: Annotated[Literal["float32", "float16", "bfloat16"], Field(description="Type of the stored weights")]
    architecture: Architecture
    files: Annotated[dict[RelativePath, File], Field(min_length=1, description="Every file of the folder")]
