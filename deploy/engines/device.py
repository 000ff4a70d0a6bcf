"""What this machine computes on, without loading torch."""

from __future__ import annotations

import os
from pathlib import Path


def has_gpu() -> bool:
    """Return whether there is a CUDA device that this process may use."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return Path("/dev/nvidiactl").exists() and allowed not in ("", "-1")


def dtype_for(declared: str, gpu: bool) -> str:
    """Return what a model is computed in: its own precision where the device is good at it.

    Example:
        >>> dtype_for("float16", gpu=False)
        'float32'
    """
    if gpu:
        return "float16" if declared == "float16" else "bfloat16"
    return "bfloat16" if declared == "bfloat16" else "float32"
