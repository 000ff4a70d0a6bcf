"""Which engine serves."""

from __future__ import annotations

from curate.errors import UsageError
from curate.system import environments
from deploy.engines import hf, vllm
from deploy.engines.contract import Engine, Served

ENGINES = ("auto", "vllm", "hf")


def choose(name: str, served: Served) -> Engine:
    """Return an engine; `auto` is vLLM where it is installed and takes the model, else hf."""
    if name not in ENGINES:
        raise UsageError(f"--engine {name}: allowed are {', '.join(ENGINES)}")
    refusal = vllm.refusal(served)
    if name == "vllm" and refusal:
        raise UsageError(f"engine vllm: {refusal}; --engine hf serves it")
    there = bool(environments.python(vllm.environment())) and not refusal
    return vllm.ENGINE if name == "vllm" or (name == "auto" and there) else hf.engine()
