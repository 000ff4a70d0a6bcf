"""Which environments `deploy` knows."""

from __future__ import annotations

from curate.errors import UsageError, did_you_mean
from curate.system.environments import Environment
from deploy.engines import vllm
from deploy.quantizing import gptq

KNOWN = {"vllm": vllm.environment, "gptq": gptq.environment}


def environment(name: str) -> Environment:
    """Return the environment of that name."""
    if name not in KNOWN:
        raise UsageError(
            f"deploy setup {name}: no such environment.{did_you_mean(name, KNOWN)} Allowed are "
            f"{', '.join(KNOWN)}"
        )
    return KNOWN[name]()
