"""Which engine serves."""

from __future__ import annotations

from curate.backend import environments
from curate.errors import UsageError
from deploy.engines import hf, vllm
from deploy.engines.contract import Engine

ENGINES = ("auto", "vllm", "hf")


def choose(name: str) -> Engine:
    """Return an engine; `auto` is vLLM where it is installed, else LLaMA-Factory's api.

    Args:
        name: One of ENGINES.

    Raises:
        UsageError: It is none of them.

    Example:
        >>> choose("hf").name
        'hf'
    """
    if name not in ENGINES:
        raise UsageError(f"--engine {name}: allowed are {', '.join(ENGINES)}")
    if name == "auto":
        name = "vllm" if environments.python(vllm.environment()) else "hf"
    return vllm.engine() if name == "vllm" else hf.engine()
