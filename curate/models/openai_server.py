"""Answers of a server with OpenAI's interface: vLLM, LLaMA-Factory's api, llama.cpp, OpenAI."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from urllib.parse import urlsplit

from curate.errors import ModelError, UsageError
from curate.models.protocols import CUT, FILTERED, STOPPED, TOO_LONG, Message, Reply
from curate.models.recipe import ModelRecipe
from curate.models.resolve import signed

# Where keys are looked for. OpenAI's own is sent to OpenAI, or to the server that the user has
# named for it, and to nobody else.
KEY, OPENAI_KEY, OPENAI_URL = "CURATRAIN_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"
_OPENAI = "api.openai.com"
_COMPUTATION = "server 1"
_SECONDS = 600.0  # a request may take
_SHORT = 20.0  # seconds, to find out what a server has
_RETRIES = 6
_LOCAL = {"localhost", "127.0.0.1", "::1"}
# All that is sent. The client would add what the environment says of OpenAI (organization, headers
# of the user's own), whichever server it is that is asked.
_HEADERS = {"accept", "accept-encoding", "connection", "content-length", "content-type", "host"}
_FILTER = ("content_filter", "content_policy", "content management policy")
_LONG_PROMPT = ("context_length", "context length", "maximum context", "too long", "max_model_len")
_CHAT = "/chat/completions"
# OpenAI's newer models take the second name, all others the first.
_LIMIT, _NEWER_LIMIT = "max_tokens", "max_completion_tokens"


def connect(base: str, key: str, retries: int = _RETRIES) -> Any:
    """Return openai's client of a server, which waits as long as a Retry-After header says.

    It follows no redirect (the key is for the server that was named), and asks servers on this
    machine without a proxy.
    """
    import openai

    def headers(request: Any) -> None:
        for name in set(request.headers) - _HEADERS:
            del request.headers[name]
        request.headers["User-Agent"] = "curatrain"
        if key:
            request.headers["Authorization"] = f"Bearer {key}"

    http_client = openai.DefaultHttpxClient(
        follow_redirects=False,
        trust_env=urlsplit(base).hostname not in _LOCAL,
        event_hooks={"request": [headers]},
    )
    own = {"api_key": "none", "http_client": http_client}  # headers() puts in the real key
    return openai.OpenAI(base_url=base, timeout=_SECONDS, max_retries=retries, **own)


def server_words(error: Any, key: str) -> str:
    """Return a line of what a server said of why it will not answer, without the key."""
    body: Any = error.body
    if isinstance(body, dict):
        message = body.get("message") or body.get("detail") or body
        body = f"{message} {body.get('code') or ''}"
    text = str(body or error.message)
    return _line(text.replace(key, "***") if key else text)


def root_cause(error: BaseException) -> BaseException:
    """Return what lies behind the errors of three libraries, such as a refused connection."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error


def is_address(name: str) -> bool:
    """Return whether a model's name is the address of a server."""
    return name.lower().startswith(("http://", "https://"))


def load_server(address: str, concurrency: int = 8) -> Server:
    """Return the model that a server has; it is asked which one if the address does not say."""
    if concurrency < 1:
        raise UsageError(f"concurrency {concurrency}: allowed are 1 and more")
    base, _, model = address.partition("#")
    base = base.rstrip("/").removesuffix(_CHAT)
    _check(base)
    key = key_for(base, os.environ)
    return Server(base, model or _only_model(base, key), key, concurrency)


def key_for(base: str, environment: Mapping[str, str]) -> str:
    """Return the key to send to a server, '' for none."""
    if own := environment.get(KEY, "").strip():
        return own
    named = environment.get(OPENAI_URL, "").strip().rstrip("/")
    if urlsplit(base).hostname == _OPENAI or (named and named == base):
        return environment.get(OPENAI_KEY, "").strip()
    return ""


class Server:
    """A server's model behind the Generator protocol; the key is sent as bearer token."""

    device, threads = "", 1
    batch_tokens = 1  # every conversation is a batch of its own: the server makes batches itself

    def __init__(self, base: str, model: str, key: str, concurrency: int) -> None:
        self.name, self.model, self.workers = f"{base}#{model}", model, concurrency
        self._base, self._key, self._client = base, key, connect(base, key)
        self._limit = _LIMIT
        # The weights behind an address cannot be seen; who changes them gives them another name.
        self.fingerprint = signed(self.name, _COMPUTATION)
        self.recipe = ModelRecipe(
            "generator", self.name, concurrency=concurrency, fingerprint=self.fingerprint
        )

    def lengths(self, conversations: Sequence[Sequence[Message]]) -> list[int]:
        """Return the characters of each prompt: the server alone knows its tokens."""
        return [sum(len(m["content"]) for m in messages) for messages in conversations]

    def prepare(self) -> None:
        """Do nothing: the server has loaded its model."""

    def worker(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def replies(
        self, conversations: Sequence[Sequence[Message]], max_new_tokens: int
    ) -> list[Reply]:
        pool = ThreadPoolExecutor(self.workers)
        try:
            waiting = [pool.submit(self._ask, asked, max_new_tokens) for asked in conversations]
            return [reply.result() for reply in waiting]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _ask(self, messages: Sequence[Message], most: int) -> Reply:
        limit = self._limit
        # A lone surrogate is no character and could not be sent.
        sent = [
            {name: text.encode("utf-8", "replace").decode() for name, text in message.items()}
            for message in messages
        ]
        body = {"model": self.model, "messages": sent, "temperature": 0, limit: most}

        def ask() -> Any:
            return self._client.post(_CHAT, cast_to=object, body=body)

        try:
            answer = _answered(ask, self._base, _CHAT, self._key, f" {_RETRIES + 1} times")
        except _RefusedError as error:
            if any(word in error.words.lower() for word in _LONG_PROMPT):
                return Reply("", TOO_LONG)
            if any(word in error.words.lower() for word in _FILTER):
                return Reply("", FILTERED)
            if limit == _NEWER_LIMIT or _NEWER_LIMIT not in error.words:
                raise
            self._limit = _NEWER_LIMIT
            return self._ask(messages, most)
        return _reply(answer, self.name)


class _RefusedError(ModelError):
    """The server understood, and will not; `words` are what it says of why."""

    def __init__(self, message: str, words: str) -> None:
        super().__init__(message)
        self.words = words


def _only_model(base: str, key: str) -> str:
    client = connect(base, key, retries=0).with_options(timeout=_SHORT)
    try:
        answer = _answered(lambda: client.get("/models", cast_to=object), base, "/models", key)
        names = [str(model["id"]) for model in answer["data"]]
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{base}/models does not say which models there are; name one: {base}#MODEL"
        ) from error
    if len(names) != 1:
        several = ", ".join(names[:10]) or "none"
        raise ModelError(f"{base} has {len(names)} models ({several}); name one: {base}#MODEL")
    return names[0]


def _answered(ask: Callable[[], Any], base: str, path: str, key: str, times: str = "") -> Any:
    """Return the JSON of an answer, all that can be wrong with it said in one line."""
    import openai

    try:
        answer = ask()
        # What does not call itself JSON comes as text.
        return json.loads(answer) if isinstance(answer, str) else answer
    except openai.APIStatusError as error:
        words, code = server_words(error, key), error.status_code
        if code < 500 and code not in (408, 409, 429):
            raise _RefusedError(f"{base} {_refusal(code, words, bool(key))}", words) from None
        failure = f"answered {code} ({words})"
    except openai.APIConnectionError as error:
        cause = root_cause(error)
        why = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        failure = f"cannot be reached ({_line(why)})"
    except json.JSONDecodeError as error:
        raise ModelError(
            f"{base}{path} sent something that is no JSON: {_line(error.doc)!r}; is this an "
            "OpenAI-compatible server?"
        ) from error
    raise ModelError(
        f"the server {base} {failure}{times}; see that it runs and that the address is right, then "
        "give the same command again: what was answered is kept"
    )


def _refusal(code: int, words: str, has_key: bool) -> str:
    if 300 <= code < 400:
        return f"points elsewhere ({code}); give that address"
    if code in (401, 403):
        state = "was not taken" if has_key else "is missing"
        words = f"the key {state}; it is read from {KEY} (or {OPENAI_KEY} for OpenAI)"
    if code == 404:
        words += "; see that the address ends as in http://127.0.0.1:8000/v1, and the model's name"
    return f"answered {code}: {words}"


def _reply(answer: Any, name: str) -> Reply:
    try:
        choice = answer["choices"][0]
        text, end = choice["message"]["content"], choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{name} sent something that is no chat completion: {str(answer)[:200]!r}; see that "
            "the address ends where /chat/completions follows, as in http://127.0.0.1:8000/v1"
        ) from error
    if not isinstance(text, str | None):
        raise ModelError(f"{name} sent an answer that is no text: {str(text)[:200]!r}")
    if end == FILTERED:
        return Reply("", FILTERED)
    return Reply((text or "").strip(), CUT if end == "length" else STOPPED)


def _check(base: str) -> None:
    try:
        parts = urlsplit(base)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(
            f"the server's address cannot be read ({error}); give http://HOST:PORT/v1"
        ) from error
    if parts.username or parts.password or parts.query:
        raise UsageError(
            "the server's address holds a name, a password or a query, which would end up in "
            f"manifests; give http://HOST:PORT/v1, and the key in the environment as {KEY}"
        )
    if not host:
        raise UsageError(f"'{base}' names no server; give http://HOST:PORT/v1")


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
