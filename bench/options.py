"""What all benchmarks are told: how large, and where things are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv" / "bin" / "python"
RUNNER_PYTHON = ROOT / ".venv-runner" / "bin" / "python"
FT = ROOT / ".venv" / "bin" / "ft"
PROGRAMS = ROOT / "bench" / "programs"


@dataclass(frozen=True, slots=True)
class Options:
    """One call of `python -m bench`.

    work: an empty folder, removed afterwards.
    storage: where the base model of the demo is, or will be made.
    """

    work: Path
    storage: Path
    quick: bool = False

    @property
    def repeats(self) -> int:
        """How often what takes seconds is measured; the median counts."""
        return 3

    @property
    def sizes(self) -> tuple[int, ...]:
        """Experiments of the generated repositories."""
        return (100,) if self.quick else (1000, 10000)

    @property
    def sample(self) -> int:
        """Overlays that the slow alternatives get."""
        return 5 if self.quick else 20

    @property
    def dataset_mb(self) -> int:
        """Size of the generated dataset, in 10^6 bytes."""
        return 5 if self.quick else 100
