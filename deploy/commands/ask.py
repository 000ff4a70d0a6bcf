"""`deploy ask`: one question to a running server, its answer piece by piece."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from typer import Option

from curate.errors import ModelError, UsageError

_KEY = "CURATRAIN_API_KEY"
_LOADING_MINUTES, _PAUSE_SECONDS = 10, 1.0


def ask(
    question: Annotated[str, typer.Argument(help="- reads it from stdin.")],
    url: Annotated[str, Option(help="Of the server.")] = "http://127.0.0.1:8000",
    model: Annotated[
        str | None, Option(help="Name of a model or adapter.", show_default="its first")
    ] = None,
    max_tokens: Annotated[int, Option(help="Where the answer is cut off.", min=1)] = 512,
    temperature: Annotated[
        float, Option(help="0 always takes the most likely token.", min=0, max=2)
    ] = 0.0,
    system: Annotated[str, Option(help="Said before the question.")] = "",
    api_key_env: Annotated[
        str | None,
        Option(help="Variable with the server's key.", show_default=f"{_KEY}, where it is set"),
    ] = None,
    curl: Annotated[
        bool, Option("--curl", help="Print the request for curl; ask nothing.")
    ] = False,
    as_json: Annotated[bool, Option("--json", help="One JSON object instead of the text.")] = False,
) -> None:
    """Ask a running server one question; the answer appears as it is made.

    Example: deploy ask "What is the capital of France?" --max-tokens 40
    """
    from curate import console
    from deploy.gate.keys import read_key

    text = sys.stdin.read() if question == "-" else question
    if not text.strip():
        raise UsageError('the question is empty; give one, such as deploy ask "Who are you?"')
    variable = api_key_env or (_KEY if os.environ.get(_KEY) else None)
    body = request_body(text, model, max_tokens, temperature, system)
    if curl:
        typer.echo(curl_line(url, body, variable))
        return

    key, began = read_key(variable, None) or "", time.monotonic()
    write = (lambda piece: None) if as_json else partial(typer.echo, nl=False)
    answer = streamed(url, body, key, console.say, write)
    seconds = round(time.monotonic() - began, 3)
    typer.echo(json.dumps({**answer, "seconds": seconds}, ensure_ascii=False) if as_json else "")
    if answer["finish_reason"] == "length":
        console.say(f"note: cut off after {max_tokens} tokens; --max-tokens allows more")


def request_body(
    question: str, model: str | None, max_tokens: int, temperature: float, system: str
) -> dict[str, Any]:
    """Return a question in OpenAI's interface; without a name the server's first model answers."""
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": question})
    settings = {"max_tokens": max_tokens, "temperature": temperature, "stream": True}
    return {**({"model": model} if model else {}), "messages": messages, **settings}


def endpoint(url: str) -> str:
    """Return the address of a server's interface, such as http://localhost:8000/v1."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or parts.query or parts.username:
        raise UsageError(f"--url {url}: give an address such as http://127.0.0.1:8000")
    path = parts.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/v1")
    return f"{parts.scheme}://{parts.netloc}{path}/v1"


def curl_line(url: str, body: dict[str, Any], variable: str | None) -> str:
    """Return the same request as a line for the shell, which finds the key in the environment."""
    lines = [f"curl --no-buffer {shlex.quote(endpoint(url) + '/chat/completions')}"]
    lines.append("-H 'Content-Type: application/json'")
    if variable:
        lines.append(f'-H "Authorization: Bearer ${variable}"')
    lines.append(f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}")
    return " \\\n  ".join(lines)


def streamed(
    url: str, body: dict[str, Any], key: str, say: Callable[[str], Any], write: Callable[[str], Any]
) -> dict[str, str]:
    """Write the answer as it comes, and return it with the model and the reason that it ended."""
    import openai

    from curate.models.openai_server import connect, root_cause, server_words

    text = model = reason = ""
    try:
        with _opened(connect(endpoint(url), key, retries=0), body, say) as chunks:
            for chunk in chunks:
                model = chunk.model or model
                for choice in chunk.choices or ():
                    reason = choice.finish_reason or reason
                    piece = (choice.delta and choice.delta.content) or ""
                    text += piece
                    write(piece)
    except openai.APIStatusError as error:
        words = server_words(error, key)
        if error.status_code != 401:
            raise UsageError(f"{url} refuses (HTTP {error.status_code}): {words}") from error
        wants = f"wants {'another key' if key else 'its key'} (401: {words})"
        give = "put it into an environment variable and give --api-key-env NAME"
        raise UsageError(f"{url} {wants}: {give}") from error
    except (openai.APIConnectionError, ValueError) as error:
        cause = error if isinstance(error, ValueError) else root_cause(error)
        raise ModelError(_why_silent(url, cause)) from error
    except openai.APIError as error:
        raise ModelError(f"the server says: {server_words(error, key)}") from error
    if not reason:
        raise ModelError(f"{url} broke off in the middle of the answer; see its output")
    return {"answer": text, "model": model, "finish_reason": reason}


def _opened(client: Any, body: dict[str, Any], say: Callable[[str], Any]) -> Any:
    """Return the stream of an answer; a server of ours that still loads its model is waited for."""
    import openai

    until = 0.0
    while True:
        try:
            return client.chat.completions.create(**{"model": openai.omit, **body})
        except openai.APIStatusError as error:
            if error.status_code != 503 or error.code != "loading":
                raise
        if not until:
            until = time.monotonic() + 60 * _LOADING_MINUTES
            say(f"the server loads its model; waiting for it, {_LOADING_MINUTES} min. …")
        if time.monotonic() > until:
            still = f"the server still loads after {_LOADING_MINUTES} min.; see its output"
            raise ModelError(still)
        time.sleep(_PAUSE_SECONDS)


def _why_silent(url: str, cause: BaseException) -> str:
    if isinstance(cause, ConnectionRefusedError):
        start = "start one with `deploy serve smollm2`, or give its address with --url"
        return f"no server answers at {url}; {start}"
    if isinstance(cause, socket.gaierror):
        return f"{url}: there is no such host; give another --url"
    if isinstance(cause, TimeoutError):
        return f"{url} says nothing; ask again later"
    return f"{url} broke off ({cause or type(cause).__name__}); see its output"
