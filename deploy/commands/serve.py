"""`deploy serve`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from curate.errors import UsageError


def serve(
    model: Annotated[
        str,
        Argument(
            metavar="MODEL|RUN",
            help="smollm2, a folder, hub id or ms://OWNER/NAME, an adapter, or a run of `train`.",
        ),
    ],
    engine: Annotated[str, Option(help="auto (vLLM where it is installed), vllm, hf.")] = "auto",
    host: Annotated[str, Option(help="Any but this machine's own needs a key.")] = "127.0.0.1",
    port: Annotated[int, Option(help="0 takes any free one.")] = 8000,
    api_key_env: Annotated[
        str | None, Option(metavar="NAME", help="Environment variable with the key to demand.")
    ] = None,
    api_key_file: Annotated[Path | None, Option(help="File with the key to demand.")] = None,
    adapter: Annotated[
        list[str] | None, Option(metavar="NAME=PATH", help="Answers beside the model; again.")
    ] = None,
    dtype: Annotated[str, Option(help="auto, float32, bfloat16, float16.")] = "auto",
    max_length: Annotated[
        int | None,
        Option(help="Tokens, answer included.", show_default="the model's; on a CPU at most 8192"),
    ] = None,
    stop_timeout: Annotated[float, Option(help="Seconds from Ctrl-C to the end of all.")] = 30.0,
    print_compose: Annotated[bool, Option("--print-compose", help="Print a Compose file.")] = False,
    print_systemd: Annotated[bool, Option("--print-systemd", help="Print a systemd unit.")] = False,
    as_json: Annotated[bool, Option("--json", help="Say in JSON when it is ready.")] = False,
) -> None:
    """Answer questions over OpenAI's interface.

    Ready once the engine answers as transformers does. There is /v1/models,
    /v1/chat/completions, /health, and with vLLM /v1/completions. Ctrl-C ends it.

    Example: deploy serve smollm2 --port 8000
    """
    from curate import console
    from deploy.gate.keys import check_host, read_key
    from deploy.serving.serve import Plan, Up
    from deploy.serving.serve import serve as run
    from deploy.serving.served_model import ServeCall, choose, served

    if stop_timeout <= 0:
        raise UsageError(f"--stop-timeout {stop_timeout:g}: give seconds above 0")
    call = ServeCall(
        model=model,
        engine=engine,
        host=host,
        port=port,
        api_key_env=api_key_env,
        api_key_file=api_key_file,
        adapters=tuple(adapter or ()),
        dtype=dtype,
        max_length=max_length,
        stop_timeout=stop_timeout,
    )
    if print_compose or print_systemd:
        from deploy.serving.systemd_and_compose import compose, systemd

        if print_compose and print_systemd:
            raise UsageError("--print-compose and --print-systemd: give one of them")
        typer.echo(compose(call) if print_compose else systemd(call), nl=False)
        return
    key = read_key(api_key_env, api_key_file)
    check_host(host, key, console.say)
    model_files = served(call, console.say)
    plan = Plan(call=call, served=model_files, engine=choose(engine, model_files), key=key)

    def tell(up: Up) -> None:
        console.say(
            f"ready after {up.seconds:.0f} s: {up.url}/v1 answers as {', '.join(up.models)} "
            f"(engine {up.engine}); Ctrl-C stops it. Try: deploy ask "
            '"What is the capital of France?"'
            + ("" if up.url.endswith(":8000") else f" --url {up.url}")
            + (f" --api-key-env {api_key_env}" if api_key_env else "")
        )
        if as_json:
            typer.echo(json.dumps(asdict(up)))

    run(plan, console.say, tell)
    console.say("stopped")
