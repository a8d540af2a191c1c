"""The one switch of the course: how large a run is, on which device, in which number format, and why."""

import os
import platform
from dataclasses import dataclass

import torch

from coursekit import colab
from coursekit.errors import CourseError
from coursekit.places import build_folder

__all__ = ["SIZES", "Setup", "build_folder", "report", "setup"]
SIZES = ("smoke", "cpu", "gpu")
# Memory of a card, in bytes, from which the gpu settings fit: a T4 shows 14.6 GiB.
GPU_MEMORY = 8 * 2**30


@dataclass(frozen=True)
class Setup:
    """A size with its device, the dtype for autocast (None: plain float32), and the reason of each."""

    size: str
    device: torch.device
    dtype: torch.dtype | None
    reasons: dict[str, str]

    def pick(self, **options):
        """The option of this size: `pick(smoke=1, cpu=20, gpu=100)`. Raises CourseError if it is missing."""
        if self.size not in options:
            raise CourseError(
                f"These settings have no entry for size '{self.size}': add {self.size}=…"
            )
        return options[self.size]

    def __str__(self):
        shown = {"size": self.size, "device": str(self.device), "dtype": _name(self.dtype)}
        lines = [f"{k:7} {v:9} {self.reasons[k]}" for k, v in shown.items()]
        return "\n".join([*lines, *filter(None, [self.reasons.get("kept")])])


def setup(size=None):
    """Chooses size, device and dtype. Order: the argument, the variable COURSEKIT_SIZE, the hardware.

    On Colab it also asks where to keep what is trained (`colab.keep`).
    Raises CourseError for a size that does not exist, or for size gpu where there is no GPU.
    """
    device, why_device = _device()
    size, why_size = _size(size, device)
    if size == "gpu" and device.type == "cpu":
        raise CourseError(
            "Size 'gpu' needs a GPU and none was found: choose 'cpu', or switch a GPU on."
        )
    dtype, why_dtype = _dtype(device)
    reasons = {"size": why_size, "device": why_device, "dtype": why_dtype}
    if colab.on_colab():
        reasons["kept"] = colab.keep()
    return Setup(size, device, dtype, reasons)


def _size(size, device):
    asked, why = size, "asked for by argument"
    if asked is None:
        asked, why = os.environ.get("COURSEKIT_SIZE"), "from the variable COURSEKIT_SIZE"
    if asked:
        if asked not in SIZES:
            raise CourseError(f"There is no size '{asked}': choose one of {', '.join(SIZES)}.")
        return asked, why
    if device.type == "cuda" and torch.cuda.get_device_properties(0).total_memory >= GPU_MEMORY:
        return "gpu", "a GPU with room for the full settings"
    return "cpu", "no GPU with 8 GiB of memory or more"


def _device():
    if torch.cuda.is_available():
        return torch.device("cuda"), torch.cuda.get_device_name(0)
    # Apple's GPU is left out: bucketed batches change shape at every step and recompile its kernels.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return torch.device("cpu"), f"no CUDA GPU; {cores} cores, {torch.get_num_threads()} threads"


def _dtype(device):
    if device.type == "cpu":
        return None, f"bf16 is slower than fp32 on this processor ({platform.machine()})"
    if torch.cuda.get_device_capability(0) >= (8, 0):
        return torch.bfloat16, "mixed precision: this GPU computes bf16"
    return torch.float16, "mixed precision with loss scaling: this GPU has no bf16"


def _name(dtype):
    return "float32" if dtype is None else str(dtype).removeprefix("torch.")


def report(**scores):
    """Prints a notebook's main scores in the form that the ledger reads."""
    for name, value in scores.items():
        print(
            f"score: {name} = {value:.4g}"
            if isinstance(value, float)
            else f"score: {name} = {value}"
        )
