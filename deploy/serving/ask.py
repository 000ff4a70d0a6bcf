"""One question to a running server, its answer piece by piece."""

from __future__ import annotations

import json
import shlex
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from curate.errors import ModelError, UsageError
from curate.models.openai_server import connect, root_cause, server_words
from deploy.gate.keys import is_loopback

_LOADING_SECONDS, _HEALTH_SECONDS, _PAUSE = 600.0, 10.0, 1.0


@dataclass(frozen=True)
class Question:
    """What is asked, of whom.

    Attributes:
        text: The question.
        url: Of the server, with or without /v1.
        model: None for the server's first.
        most: Tokens of the answer.
        temperature: 0 for the most likely token each time.
        system: What is said before, '' for nothing.
        key: That the server demands, if it does.
    """

    text: str
    url: str = "http://127.0.0.1:8000"
    model: str | None = None
    most: int = 512
    temperature: float = 0.0
    system: str = ""
    key: str | None = None


@dataclass
class Ending:
    """How an answer ended.

    Attributes:
        reason: `stop`, or `length` if it was cut off.
        model: That answered.
    """

    reason: str = ""
    model: str = ""


def body(question: Question) -> dict[str, Any]:
    """Return the request in OpenAI's interface."""
    messages = [{"role": "system", "content": question.system}] if question.system else []
    messages.append({"role": "user", "content": question.text})
    model = {"model": question.model} if question.model else {}
    return {
        **model,
        "messages": messages,
        "max_tokens": question.most,
        "temperature": question.temperature,
        "stream": True,
    }


def curl(question: Question, variable: str | None) -> str:
    r"""Return the same request as a line for the shell.

    Example:
        >>> print(curl(Question("Hi"), None).splitlines()[0])
        curl --no-buffer http://127.0.0.1:8000/v1/chat/completions \
    """
    lines = [f"curl --no-buffer {shlex.quote(endpoint(question.url))}"]
    lines.append("-H 'Content-Type: application/json'")
    if variable:
        lines.append(f'-H "Authorization: Bearer ${variable}"')
    lines.append(f"-d {shlex.quote(json.dumps(body(question), ensure_ascii=False))}")
    return " \\\n  ".join(lines)


def endpoint(url: str) -> str:
    """Return the address of chat completions.

    Example:
        >>> endpoint("localhost:8000/v1/")
        'http://localhost:8000/v1/chat/completions'
    """
    whole = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(whole)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or parts.query or parts.username:
        raise UsageError(f"--url {url}: give an address such as http://127.0.0.1:8000")
    path = parts.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/v1")
    return f"{parts.scheme}://{parts.netloc}{path}/v1/chat/completions"


def ask(question: Question, ending: Ending, say: Callable[[str], None]) -> Iterator[str]:
    """Yield the answer as it comes; a server that still loads its model is waited for."""
    import openai

    key = question.key or ""
    client = connect(endpoint(question.url).removesuffix("/chat/completions"), key, retries=0)
    _wait(endpoint(question.url), say)
    try:
        with client.chat.completions.create(**{"model": openai.omit, **body(question)}) as chunks:
            for chunk in chunks:
                ending.model = chunk.model or ending.model
                for choice in chunk.choices or ():
                    ending.reason = choice.finish_reason or ending.reason
                    if choice.delta and choice.delta.content:
                        yield choice.delta.content
    except openai.APIStatusError as error:
        raise _refused(question, error.status_code, server_words(error, key)) from error
    except openai.APIConnectionError as error:
        raise _silent(question, root_cause(error)) from error
    except openai.APIError as error:
        raise ModelError(f"the server says: {server_words(error, key)}") from error
    except ValueError as error:
        raise _silent(question, error) from error
    if not ending.reason:
        raise ModelError(f"{question.url} broke off in the middle of the answer; see its output")


def _wait(address: str, say: Callable[[str], None]) -> None:
    """Return when a server of ours has loaded its model; of others nothing is known."""
    health = address.removesuffix("/v1/chat/completions") + "/health"
    until, waits = time.monotonic() + _LOADING_SECONDS, False
    while _is_loading(health):
        if not waits:
            say(f"the server loads its model; waiting for it, {_LOADING_SECONDS / 60:.0f} min. …")
        if time.monotonic() > until:
            raise ModelError(f"the server still loads after {_LOADING_SECONDS / 60:.0f} minutes")
        waits = True
        time.sleep(_PAUSE)


def _is_loading(health: str) -> bool:
    # On this machine never by way of a proxy.
    local = is_loopback(urlsplit(health).hostname or "")
    opener = build_opener(ProxyHandler({})) if local else build_opener()
    try:
        with opener.open(health, timeout=_HEALTH_SECONDS):
            return False
    except HTTPError as error:
        return error.code == 503 and b'"loading"' in error.read(1000)
    except (OSError, HTTPException):
        return False  # the question itself will say why


def _refused(question: Question, code: int, words: str) -> UsageError:
    if code == 401:
        how = "another key" if question.key else "its key"
        return UsageError(
            f"{question.url} wants {how} (401: {words}): put it into an environment variable "
            "and give --api-key-env NAME"
        )
    return UsageError(f"{question.url} refuses (HTTP {code}): {words}")


def _silent(question: Question, cause: BaseException) -> ModelError:
    if isinstance(cause, ConnectionRefusedError):
        return ModelError(
            f"no server answers at {question.url}; start one with `deploy serve smollm2`, or give "
            "its address with --url"
        )
    if isinstance(cause, socket.gaierror):
        return ModelError(f"{question.url}: there is no such host; give another --url")
    if isinstance(cause, TimeoutError):
        return ModelError(f"{question.url} says nothing; ask again later")
    return ModelError(f"{question.url} broke off ({cause or type(cause).__name__}); see its output")
