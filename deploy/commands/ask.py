"""`deploy ask` and `deploy chat`: a server's answers, piece by piece as they are made."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from curate import console
from curate.errors import CuratrainError, ModelError, UsageError
from curate.system.background import in_background
from curate.system.keys import read_key
from curate.system.programs import dying_with_parent

if TYPE_CHECKING:
    from curate.models.openai_request import ServerError

KEY = "CURATRAIN_API_KEY"
_LOADING_MINUTES, _PAUSE_SECONDS = 10, 1.0
_HELP = "Type what you want to say; /reset forgets what was said, Ctrl-C ends an answer, Ctrl-D all"
_END_SECONDS = 40.0

System = Annotated[str, Option(help="Said before the first question.")]
MaxTokens = Annotated[int, Option(help="Where an answer is cut off.", min=1)]
Temperature = Annotated[float, Option(help="0 always takes the most likely token.", min=0, max=2)]
KeyVariable = Annotated[
    str | None,
    Option(
        metavar="NAME",
        help="Variable with the server's key.",
        show_default=f"{KEY}, where it is set",
    ),
]


def ask(
    question: Annotated[str, typer.Argument(help="- reads it from stdin.")],
    url: Annotated[str, Option(help="Of the server.")] = "http://127.0.0.1:8000",
    model: Annotated[
        str | None, Option(help="Name of a model or adapter.", show_default="its first")
    ] = None,
    max_tokens: MaxTokens = 512,
    temperature: Temperature = 0.0,
    system: System = "",
    api_key_env: KeyVariable = None,
    as_json: Annotated[bool, Option("--json", help="One JSON object instead of the text.")] = False,
) -> None:
    """Ask a running server one question; the answer appears as it is made.

    Example: deploy ask "What is the capital of France?" --max-tokens 40
    """
    text = sys.stdin.read() if question == "-" else question
    if not text.strip():
        raise UsageError('the question is empty; give one, such as deploy ask "Who are you?"')
    messages = [*_system_messages(system), {"role": "user", "content": text}]
    url, _, named = url.partition("#")
    body = request_body(messages, model or named, max_tokens, temperature)
    key = read_key(api_key_env or (KEY if os.environ.get(KEY) else None), None) or ""
    began = time.monotonic()
    write = (lambda piece: None) if as_json else partial(typer.echo, nl=False)
    answer = in_background(streamed(url, body, key, write))
    seconds = round(time.monotonic() - began, 3)
    typer.echo(json.dumps({**answer, "seconds": seconds}, ensure_ascii=False) if as_json else "")
    if answer["finish_reason"] == "length":
        console.say(f"note: cut off after {max_tokens} tokens; --max-tokens allows more")


def chat(
    model: Annotated[
        str, Argument(metavar="MODEL|RUN|URL", help="As `deploy serve` takes it, or a server's.")
    ],
    system: System = "",
    max_tokens: MaxTokens = 1024,
    temperature: Temperature = 0.0,
    engine: Annotated[str, Option(help="auto, vllm, hf; for a model.")] = "auto",
    api_key_env: KeyVariable = None,
) -> None:
    """Talk with a model, several turns; each answer appears as it is made.

    /reset forgets what was said before. Ctrl-C stops the answer only, Ctrl-D
    ends. A model is served on this machine for as long as the conversation is.

    Example: deploy chat saves/NAME
    """
    from curate.models.openai_client import is_address

    key = read_key(api_key_env or (KEY if os.environ.get(KEY) else None), None) or ""
    with served(model, engine) if not is_address(model) else nullcontext(model) as address:
        url, _, name = address.partition("#")
        console.say(_HELP)
        messages = _system_messages(system)
        for text in _lines():
            if text == "/reset":
                messages = _system_messages(system)
                console.say("what was said is forgotten")
                continue
            messages.append({"role": "user", "content": text})
            pieces: list[str] = []

            def write(piece: str, pieces: list[str] = pieces) -> None:
                pieces.append(piece)
                typer.echo(piece, nl=False)

            try:
                body = request_body(messages, name, max_tokens, temperature)
                in_background(streamed(url, body, key, write))
            except KeyboardInterrupt:
                console.say("\nstopped")
            except CuratrainError as error:
                console.say(f"error: {error}; /reset begins anew")
            typer.echo()
            if answer := "".join(pieces):
                messages.append({"role": "assistant", "content": answer})
            else:  # a question without an answer is none: two of them in a row are refused
                messages.pop()


def _system_messages(system: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": system}] if system else []


def request_body(
    messages: list[dict[str, str]], model: str | None, max_tokens: int, temperature: float
) -> dict[str, Any]:
    """Return a question in OpenAI's interface; without a name the server's first model answers."""
    settings = {"max_tokens": max_tokens, "temperature": temperature, "stream": True}
    return {**({"model": model} if model else {}), "messages": messages, **settings}


def endpoint(url: str) -> str:
    """Return the address of a server's interface, such as http://localhost:8000/v1."""
    from curate.models.openai_client import address_of, is_address

    base = address_of(url if "://" in url else f"http://{url}")[0]
    if not is_address(base):
        raise UsageError(f"--url {url}: give an address such as http://127.0.0.1:8000")
    return f"{base.removesuffix('/v1')}/v1"


async def streamed(
    url: str, body: dict[str, Any], key: str, write: Callable[[str], Any]
) -> dict[str, str]:
    """Write the answer as it comes, and return it with the model and the reason that it ended."""
    import httpx2
    import openai

    from curate.models.openai_client import connect
    from curate.models.openai_request import failure_of, server_words

    base, text, model, reason = endpoint(url), "", "", ""
    client = connect(base, key)
    try:
        async for chunk in await _open_stream(client, body):
            model = chunk.model or model
            for choice in chunk.choices or ():
                reason = choice.finish_reason or reason
                piece = (choice.delta and choice.delta.content) or ""
                text += piece
                write(piece)
    except (openai.APIStatusError, openai.APIConnectionError) as error:
        raise _advised(failure_of(error, base, key), url) from error
    except openai.APIError as error:
        raise ModelError(f"the server says: {server_words(error, key)}") from error
    except (httpx2.HTTPError, ValueError) as error:
        raise _advised(failure_of(error, base, key), url) from error
    finally:
        await client.close()
    if not reason:
        raise ModelError(f"{url} broke off in the middle of the answer; see its output")
    return {"answer": text, "model": model, "finish_reason": reason}


async def _open_stream(client: Any, body: dict[str, Any]) -> Any:
    """Return the stream of an answer; a server of ours that still loads its model is waited for."""
    import openai

    until = 0.0
    while True:
        try:
            return await client.chat.completions.create(**{"model": openai.omit, **body})
        except openai.APIStatusError as error:
            if error.status_code != 503 or error.code != "loading":
                raise
        if not until:
            until = time.monotonic() + 60 * _LOADING_MINUTES
            console.say(f"the server loads its model; waiting for it, {_LOADING_MINUTES} min. …")
        if time.monotonic() > until:
            still = f"the server still loads after {_LOADING_MINUTES} min.; see its output"
            raise ModelError(still)
        await asyncio.sleep(_PAUSE_SECONDS)


def _advised(error: ServerError, url: str) -> ModelError:
    """Return an error with what to do about it here."""
    from curate.models.openai_request import KEY_REFUSED, UNREACHABLE

    if error.kind == KEY_REFUSED:
        return ModelError(f"{error}; or give --api-key-env NAME, the variable that holds it")
    if error.kind == UNREACHABLE and not error.billed:
        start = "start one with `deploy serve smollm2`, or give its address with --url"
        return ModelError(f"no server answers at {url} ({error.says}); {start}")
    return ModelError(f"{error}; see the server's output")


def _lines() -> Iterator[str]:
    """Yield what is typed, until the end of it; Ctrl-C drops a line that is not sent."""
    if sys.stdin.isatty():
        import readline  # noqa: F401 - lines can be edited, and called up again
    while True:
        try:
            text = input("> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return
        except KeyboardInterrupt:
            typer.echo()
            continue
        if text:
            yield text


@contextmanager
def served(model: str, engine: str) -> Iterator[str]:
    """Give the address of a server of this model alone, which ends with the block."""
    program = "from deploy.cli import main; main()"
    words = ["serve", model, "--engine", engine, "--port", "0", "--json"]
    # In a session of its own: Ctrl-C reaches us alone.
    with subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=dying_with_parent(),
    ) as child:
        try:
            line = child.stdout.readline() if child.stdout else ""
            if not line:
                raise typer.Exit(abs(child.wait()) or 1)  # which has said why
            yield str(json.loads(line)["url"])
        finally:
            child.terminate()
            try:
                child.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
