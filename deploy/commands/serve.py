"""`deploy serve`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from typer import Option

from curate import console
from curate.errors import UsageError
from curate.system.keys import read_key
from deploy.engines.contract import ServeCall


def serve(
    call: ServeCall,
    print_compose: Annotated[bool, Option("--print-compose", help="Print a Compose file.")] = False,
    print_systemd: Annotated[bool, Option("--print-systemd", help="Print a systemd unit.")] = False,
    as_json: Annotated[bool, Option("--json", help="Say in JSON when it is ready.")] = False,
) -> None:
    """Answer questions over OpenAI's interface.

    Ready once the engine answers as transformers does. There is /v1/models,
    /v1/chat/completions, /health, and with vLLM /v1/completions. Ctrl-C ends it.

    Example: deploy serve smollm2 --port 8000
    """
    from deploy.serving.serve import Up
    from deploy.serving.serve import serve as run
    from deploy.serving.served_model import MAKE, check_host, choose, served

    if call.stop_timeout <= 0:
        raise UsageError(f"--stop-timeout {call.stop_timeout:g}: give seconds above 0")
    if print_compose or print_systemd:
        from deploy.serving.systemd_and_compose import compose, systemd

        if print_compose and print_systemd:
            raise UsageError("--print-compose and --print-systemd: give one of them")
        typer.echo(compose(call) if print_compose else systemd(call), nl=False)
        return
    key = read_key(call.api_key_env, call.api_key_file, MAKE)
    check_host(call.host, key, console.say)

    def tell(up: Up) -> None:
        console.say(
            f"ready after {up.seconds:.0f} s: {up.url}/v1 answers as {', '.join(up.models)} "
            f"(engine {up.engine}); Ctrl-C stops it. Try: deploy ask "
            '"What is the capital of France?"'
            + ("" if up.url.endswith(":8000") else f" --url {up.url}")
            + (f" --api-key-env {call.api_key_env}" if call.api_key_env else "")
        )
        console.answer(asdict(up))

    model_files = served(call, console.say)
    run(call, model_files, choose(call.engine, model_files), key, console.say, tell)
    console.say("stopped")
