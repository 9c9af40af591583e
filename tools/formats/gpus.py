"""`catalog/gpus.yaml`: the GPU types, their limits and price."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tools.formats.base import Label, Strict


class GpuType(Strict):
    """One GPU type, as its data sheet gives it."""

    memory_gib: Annotated[float, Field(gt=0, description="Usable memory, GiB")]
    bandwidth_gb_s: Annotated[float, Field(gt=0, description="Memory bandwidth, GB/s")]
    bf16_tflops: Annotated[float, Field(gt=0, description="Dense bf16 throughput, TFLOP/s")]
    price_per_hour: Annotated[float, Field(ge=0, description="Internal price of one GPU-hour")]


class Gpus(Strict):
    """All GPU types."""

    version: Annotated[Literal[1], Field(description="Version of this format")]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code of the prices")]
    gpus: Annotated[dict[Label, GpuType], Field(min_length=1)]
