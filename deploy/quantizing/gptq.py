"""The environment that GPTQ runs in: GPTQModel, and a LLaMA-Factory that serves what it writes.

GPTQModel is AutoGPTQ's successor and writes the same format. It and its companions ask for other
versions of NumPy, kernels and torchao than training does, so they live apart.
"""

from __future__ import annotations

import json
from pathlib import Path

from curate.errors import UsageError
from curate.llamafactory import backend as llamafactory
from curate.llamafactory.backend import Backend
from curate.system import environments
from curate.system.environments import Environment

TORCH = "torch==2.13.0"


def environment() -> Environment:
    """Return the environment; the same on CPUs and GPUs, where pip brings torch's CUDA build."""
    return Environment(
        name="gptq",
        purpose="quantising with GPTQModel, and serving what it writes",
        steps=(
            # GPTQModel is built where it is installed, and looks at torch for that.
            (TORCH, "setuptools", "wheel", "packaging", "ninja", "numpy==2.2.6"),
            (
                "--no-build-isolation",
                *("gptqmodel==5.7.0", "kernels>=0.12,<0.13", "optimum==2.1.0", "torchao==0.14.1"),
                *("transformers==5.5.4", "accelerate==1.11.0", "datasets==4.0.0"),
                "requests",  # GPTQModel imports it and does not ask for it
                TORCH,
            ),
            (
                *("peft==0.18.1", "trl==0.24.0", "omegaconf>=2.3", "sentencepiece>=0.2"),
                *("tiktoken>=0.9", "fastapi>=0.115", "uvicorn>=0.34", "sse-starlette>=2"),
                *("matplotlib>=3.9", TORCH),
            ),
            # Its own requirements bring sound, pictures and a web page, some gigabytes.
            ("--no-deps", f"llamafactory=={llamafactory.VERSION}"),
        ),
        imports=("gptqmodel", "optimum.gptq", "peft", "trl", "fastapi", "sse_starlette"),
        # Its CUDA kernels take an hour to compile; Triton's need no compiling.
        variables={"BUILD_CUDA_EXT": "0"},
        gigabytes=3.0,
    )


def python() -> Path:
    """Return the environment's interpreter."""
    found = environments.python(environment())
    if found is None:
        raise UsageError(
            f"GPTQ needs an environment of its own, about {environment().gigabytes:.0f} GB; "
            "`deploy setup gptq` builds it"
        )
    return found


def is_quantised(folder: Path) -> bool:
    """Return whether a model is a GPTQ one."""
    try:
        told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return bool(told["quantization_config"]["quant_method"] == "gptq")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def backend() -> Backend:
    """Return the LLaMA-Factory that can serve a GPTQ model."""
    return Backend(str(python()), llamafactory.VERSION, stub=True)
