"""`deploy ask`."""

from __future__ import annotations

import json
import os
import sys
import time
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
    max_tokens: Annotated[int, typer.Option(help="Where the answer is cut off.")] = 512,
    temperature: Annotated[float, typer.Option(help="0 always takes the most likely token.")] = 0.0,
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
    from deploy.serving import ask as asking

    text = sys.stdin.read() if question == "-" else question
    if not text.strip():
        raise UsageError('the question is empty; give one, such as deploy ask "Who are you?"')
    if max_tokens < 1:
        raise UsageError(f"--max-tokens {max_tokens}: give a whole number above 0")
    if not 0 <= temperature <= 2:
        raise UsageError(f"--temperature {temperature:g}: give a number from 0 to 2")
    variable = api_key_env or (_KEY if os.environ.get(_KEY) else None)
    asked = asking.Question(
        text, url, model, max_tokens, temperature, system, None if curl else _key(variable)
    )
    if curl:
        typer.echo(asking.curl(asked, variable))
        return
    _show(asked, as_json)


def _key(variable: str | None) -> str | None:
    from deploy.gate.keys import read_key

    return read_key(variable, None)


def _show(asked: object, as_json: bool) -> None:
    from curate import console
    from deploy.serving import ask as asking

    assert isinstance(asked, asking.Question)
    began, ending, pieces = time.monotonic(), asking.Ending(), []
    for piece in asking.ask(asked, ending, console.say):
        pieces.append(piece)
        if not as_json:
            typer.echo(piece, nl=False)
            sys.stdout.flush()
    if not as_json:
        typer.echo()
    if ending.reason == "length":
        console.say(f"note: cut off after {asked.most} tokens; --max-tokens allows more")
    if as_json:
        told = {
            "answer": "".join(pieces),
            "model": ending.model,
            "finish_reason": ending.reason,
            "seconds": round(time.monotonic() - began, 3),
        }
        typer.echo(json.dumps(told, ensure_ascii=False))
