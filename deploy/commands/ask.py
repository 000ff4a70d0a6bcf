"""`deploy ask`."""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from typing import Annotated

import typer

from curate.errors import UsageError

_KEY = "CURATRAIN_API_KEY"


def ask(
    question: Annotated[str, typer.Argument(help="- reads it from stdin.")],
    url: Annotated[str, typer.Option(help="Of the server.")] = "http://127.0.0.1:8000",
    model: Annotated[
        str | None, typer.Option(help="Name of a model or adapter.", show_default="its first")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Where the answer is cut off.", min=1)] = 512,
    temperature: Annotated[
        float, typer.Option(help="0 always takes the most likely token.", min=0, max=2)
    ] = 0.0,
    system: Annotated[str, typer.Option(help="Said before the question.")] = "",
    api_key_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Environment variable with the server's key.",
            show_default=f"{_KEY}, where it is set",
        ),
    ] = None,
    curl: Annotated[
        bool, typer.Option("--curl", help="Print the request for curl; ask nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object instead of the text.")
    ] = False,
) -> None:
    """Ask a running server one question; the answer appears as it is made.

    Example: deploy ask "What is the capital of France?" --max-tokens 40
    """
    from curate import console
    from deploy.gate.keys import read_key
    from deploy.serving import ask as asking

    text = sys.stdin.read() if question == "-" else question
    if not text.strip():
        raise UsageError('the question is empty; give one, such as deploy ask "Who are you?"')
    variable = api_key_env or (_KEY if os.environ.get(_KEY) else None)
    body = asking.request_body(text, model, max_tokens, temperature, system)
    if curl:
        typer.echo(asking.curl(url, body, variable))
        return

    key, began = read_key(variable, None) or "", time.monotonic()
    write = (lambda piece: None) if as_json else partial(typer.echo, nl=False)
    answer = asking.ask(url, body, key, console.say, write)
    seconds = round(time.monotonic() - began, 3)
    typer.echo(json.dumps({**answer, "seconds": seconds}, ensure_ascii=False) if as_json else "")
    if answer["finish_reason"] == "length":
        console.say(f"note: cut off after {max_tokens} tokens; --max-tokens allows more")
