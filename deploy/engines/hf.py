"""LLaMA-Factory's own api: slow, and it runs wherever training does."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from curate.errors import UsageError
from curate.llamafactory import release as llamafactory
from curate.llamafactory.doctor.templates import TEMPLATES
from deploy.engines.contract import Engine, Launch, Served
from deploy.quantizing import gptq


def names(served: Served) -> tuple[str, ...]:
    """Return the one name there is: the adapter's, since it is merged into the model."""
    adapters = [adapter.name for adapter in served.adapters]
    if len(adapters) > 1:
        several = f"{len(adapters)} are given ({', '.join(adapters)})"
        raise UsageError(
            f"engine hf serves one adapter, and {several}; --engine vllm serves several"
        )
    return (adapters[0] if adapters else served.name,)


def launch(served: Served, folder: Path, key: str) -> Launch:
    """Return how `llamafactory-cli api` is started: on 127.0.0.1, with a key, without a log."""
    backend = gptq.backend() if gptq.is_quantised(served.folder) else llamafactory.find()
    port, template = free_port(), served.template
    arguments = ["--model_name_or_path", str(served.folder), "--infer_backend", "huggingface"]
    # Sampling as OpenAI's interface has it: among all tokens, not among the likeliest 50.
    arguments += ["--infer_dtype", served.dtype, "--top_k", "0"]
    for adapter in served.adapters:
        arguments += ["--adapter_name_or_path", str(adapter.folder), "--finetuning_type", "lora"]
        template = adapter.template or template
    if template:
        arguments += ["--template", template]
    variables = {
        **backend.variables,
        "API_HOST": "127.0.0.1",
        "API_PORT": str(port),
        "API_KEY": key,
        "API_MODEL_NAME": names(served)[0],
        "API_VERBOSE": "0",  # what is asked is nobody's business
        "FASTAPI_ROOT_PATH": "",
        "HF_HUB_OFFLINE": "1",  # all is here; without it each start asks the hub
    }
    return Launch(tuple(backend.command("api", arguments)), variables, f"http://127.0.0.1:{port}")


def translate(served: Served, fields: dict[str, Any]) -> dict[str, Any]:
    """Name the penalty on repetition `presence_penalty`, whose neutral value is 1 there.

    LLaMA-Factory's plain template begins with no BOS; it is written before the system's words.
    """
    renamed = {"repetition_penalty": "presence_penalty"}
    body = {renamed.get(name, name): value for name, value in fields.items()}
    if messages := body.get("messages"):
        body["messages"] = [
            _as_trained(turn) if turn.get("tool_calls") else turn for turn in messages
        ]
    if served.opening and not any(adapter.template for adapter in served.adapters):
        first, *others = body["messages"]
        has_system = first["role"] == "system"
        system = first["content"] if has_system else TEMPLATES["alpaca"].default_system
        body["messages"] = [
            {"role": "system", "content": f"{served.opening}{system}"},
            *(others if has_system else (first, *others)),
        ]
    tools = body.pop("tools", None)
    if tools and body.pop("tool_choice", "auto") != "none":
        without = {"description": "", "parameters": {"type": "object", "properties": {}}}
        body["tools"] = [{**tool, "function": {**without, **tool["function"]}} for tool in tools]
    body.pop("tool_choice", None)
    body.pop("stream_options", None)  # the gate counts for it
    return body


def _as_trained(turn: Mapping[str, Any]) -> dict[str, Any]:
    """Return a turn of calls as rows have it; LLaMA-Factory's api would quote the arguments."""
    calls = []
    for call in turn["tool_calls"]:
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        with suppress(ValueError):
            arguments = json.loads(arguments)
        calls.append({"name": name, "arguments": arguments})
    return {"role": "function", "content": json.dumps(calls, ensure_ascii=False)}


def refusal(served: Served, fields: Mapping[str, Any]) -> str:
    roles = [message["role"] for message in fields.get("messages", ())]
    if ("tool", "tool") in pairwise(roles):
        return "'messages': engine hf takes the result of one call at a time. Engine vllm takes all"
    if not fields.get("tools") or fields.get("tool_choice") == "none":
        return ""
    if fields.get("tool_choice", "auto") != "auto":
        return "'tool_choice': engine hf knows auto and none. Engine vllm knows all"
    if fields.get("stream"):
        return "'stream' with 'tools': engine hf tells calls whole; leave 'stream' out, or use vllm"
    return ""


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def engine() -> Engine:
    # How many answers LLaMA-Factory computes at once, as its own variable says.
    parallel = os.environ.get("MAX_CONCURRENT", "1")
    return Engine(
        name="hf",
        fields=frozenset({"repetition_penalty", "tools", "tool_choice", "stream_options"}),
        completions=False,
        health="/v1/models",
        tells_ends=False,
        parallel=max(1, int(parallel)) if parallel.isdigit() else 1,
        names=names,
        launch=launch,
        translate=translate,
        refusal=refusal,
    )
