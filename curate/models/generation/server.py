"""Answers of a server with OpenAI's interface: vLLM, LLaMA-Factory's api, llama.cpp, OpenAI."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from urllib.parse import urlsplit

from curate.errors import ModelError, UsageError
from curate.models.generation.http import Http, Refused
from curate.models.protocols import CUT, FILTERED, STOPPED, TOO_LONG, Message, Reply

# Where keys are looked for. OpenAI's own is sent to OpenAI, or to the server that the user has
# named for it, and to nobody else.
KEY, OPENAI_KEY, OPENAI_URL = "CURATRAIN_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"
_OPENAI = "api.openai.com"
_COMPUTATION = "server 1"
_SHORT = 20.0  # seconds, to find out what a server has
_FILTER = ("content_filter", "content_policy", "content management policy")
_LONG_PROMPT = ("context_length", "context length", "maximum context", "too long", "max_model_len")


def is_address(name: str) -> bool:
    """Return whether a model's name is the address of a server.

    Args:
        name: What the user typed.
    """
    return name.lower().startswith(("http://", "https://"))


def load_server(address: str, concurrency: int = 8, http: Http | None = None) -> Server:
    """Return the model that a server has; it is asked which one if the address does not say.

    Args:
        address: `http(s)://HOST:PORT/v1#MODEL`; `#MODEL` may be left out where it has only one.
        concurrency: Requests at once.
        http: Sends requests; made from the address if not given.

    Raises:
        UsageError: The address holds a password or a query, or concurrency is below 1.
        ModelError: The server does not answer, or has several models.
    """
    if concurrency < 1:
        raise UsageError(f"concurrency {concurrency}: allowed are 1 and more")
    base, _, model = address.partition("#")
    base = base.rstrip("/").removesuffix("/chat/completions")
    _check(base)
    http = http or Http(base, key_for(base, os.environ), f"{KEY} (or {OPENAI_KEY} for OpenAI)")
    return Server(http, base, model or _only_model(http, base), concurrency)


def key_for(base: str, environment: Mapping[str, str]) -> str:
    """Return the key to send to a server, '' for none.

    Args:
        base: Its address.
        environment: Of the process.

    Example:
        >>> key_for("http://127.0.0.1:8000/v1", {"OPENAI_API_KEY": "secret"})
        ''
    """
    if own := environment.get(KEY, "").strip():
        return own
    named = environment.get(OPENAI_URL, "").strip().rstrip("/")
    if urlsplit(base).hostname == _OPENAI or (named and named == base):
        return environment.get(OPENAI_KEY, "").strip()
    return ""


class Server:
    """A server's model behind the Generator protocol.

    Args:
        http: Sends requests.
        base: The server's address.
        model: What the server calls the model.
        concurrency: Requests at once.
    """

    batch_tokens = 1  # every conversation is a batch of its own: the server makes batches itself

    def __init__(self, http: Http, base: str, model: str, concurrency: int) -> None:
        self.name = f"{base}#{model}"
        # The weights behind an address cannot be seen; who changes them gives them another name.
        self.fingerprint = hashlib.sha256(f"{self.name}|{_COMPUTATION}".encode()).hexdigest()
        self.model, self.workers = model, concurrency
        self._http = http
        self._limit = "max_tokens"

    def lengths(self, conversations: Sequence[Sequence[Message]]) -> list[int]:
        """Return the characters of each prompt: the server alone knows its tokens.

        Args:
            conversations: Messages each.
        """
        return [sum(len(each["content"]) for each in messages) for messages in conversations]

    def prepare(self) -> None:
        """Do nothing: the server has loaded its model."""

    def worker(self) -> AbstractContextManager[Any]:
        """Return a context in which one worker thread calls replies()."""
        return nullcontext()

    def answer(self, conversations: Sequence[Sequence[Message]], max_new_tokens: int) -> list[str]:
        """Return the model's answer to each conversation.

        Args:
            conversations: {"role", "content"} each.
            max_new_tokens: Where an answer is cut off.

        Raises:
            ModelError: A prompt is too long, the server cannot be reached, or what it says is no
                answer.
        """
        found = self.replies(conversations, max_new_tokens)
        for number, each in enumerate(found, 1):
            if each.end == FILTERED:
                raise ModelError(
                    f"prompt {number} of {len(found)}: the content filter of {self.name} lets no "
                    "answer through; leave it out, or ask another server"
                )
            if each.end == TOO_LONG:
                raise ModelError(
                    f"prompt {number} of {len(found)} is too long for {self.name} with an answer "
                    f"of {max_new_tokens:,} tokens; give a shorter prompt, or serve the model with "
                    "a longer context"
                )
        return [each.text for each in found]

    def replies(
        self, conversations: Sequence[Sequence[Message]], max_new_tokens: int
    ) -> list[Reply]:
        """Return a reply to each conversation, several asked at once.

        Args:
            conversations: {"role", "content"} each.
            max_new_tokens: Where an answer is cut off.

        Raises:
            ModelError: The server cannot be reached, or what it says is no answer.
        """
        if len(conversations) == 1:
            return [self._ask(conversations[0], max_new_tokens)]
        pool = ThreadPoolExecutor(self.workers)
        try:
            waiting = [pool.submit(self._ask, each, max_new_tokens) for each in conversations]
            return [each.result() for each in waiting]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _ask(self, messages: Sequence[Message], most: int) -> Reply:
        body = {"model": self.model, "messages": [dict(each) for each in messages]}
        try:
            limit = self._limit
            answer = self._http.post(
                "chat/completions", {**body, "temperature": 0, self._limit: most}
            )
        except Refused as error:
            if any(word in error.said.lower() for word in _LONG_PROMPT):
                return Reply("", TOO_LONG)
            if any(word in error.said.lower() for word in _FILTER):
                return Reply("", FILTERED)
            newer = "max_completion_tokens"
            if limit == newer or newer not in error.said:
                raise
            self._limit = newer  # OpenAI's newer models take this name, all others the old one
            return self._ask(messages, most)
        return _reply(answer, self.name)


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


def _only_model(http: Http, base: str) -> str:
    answer = http.get("models", _SHORT)
    try:
        names = [str(each["id"]) for each in answer["data"]]
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{base}/models does not say which models there are; name one: {base}#MODEL"
        ) from error
    if len(names) != 1:
        told = ", ".join(names[:10]) or "none"
        raise ModelError(f"{base} has {len(names)} models ({told}); name one: {base}#MODEL")
    return names[0]
