"""One request to a server with OpenAI's interface: what it answers, and all that can go wrong."""

from __future__ import annotations

import asyncio
import email.utils
import json
import math
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from curate.errors import ModelError
from curate.models.protocols import CUT, FILTERED, STOPPED, TOO_LONG

CHAT = "/chat/completions"
KEY, OPENAI_KEY = "CURATRAIN_API_KEY", "OPENAI_API_KEY"
# Why there is no answer: what passes, what ends a run, what is of one request alone.
UNREACHABLE, TIMED_OUT, BUSY = "unreachable", "timed_out", "rate_limited"
BROKEN, BAD_BODY = "server_error", "bad_body"
PASSING = frozenset({UNREACHABLE, TIMED_OUT, BUSY, BROKEN, BAD_BODY})
QUOTA, KEY_REFUSED, NOT_FOUND, ELSEWHERE = "quota", "key_refused", "not_found", "redirected"
ENDING = frozenset({QUOTA, KEY_REFUSED, NOT_FOUND, ELSEWHERE})
REFUSED = "request_refused"
UNKNOWN_END = "unknown_end"
_LARGEST = 16 << 20  # bytes of an answer
_FILTER = ("content_filter", "content_policy", "content management policy")
_LONG_PROMPT = ("context_length", "context length", "maximum context", "too long", "max_model_len")
_NO_MONEY = ("insufficient_quota", "insufficient balance", "billing_hard_limit", "余额不足", "欠费")
_ENDS = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence"), STOPPED),
    **dict.fromkeys(("length", "max_tokens", "model_length"), CUT),
    **dict.fromkeys(("content_filter", "safety", "sensitive"), FILTERED),
}
_THINKING = ("reasoning_content", "reasoning")
_THINK, _THOUGHT = "<think>", "</think>"


@dataclass(frozen=True)
class Completion:
    text: str  # without what the model thought before, and surrounding white space
    end: str = STOPPED  # or `length`, `content_filter`, `unknown_end`
    thinking: str = ""
    finish_reason: str = ""  # as the server said it
    model: str = ""  # as the server calls it
    prompt_tokens: int | None = None  # those from a cache among them
    response_tokens: int | None = None  # of what it thought and answered
    cached_tokens: int | None = None


class ServerError(ModelError):
    """Why a server gave no answer; `wait` are seconds, and `billed` may have been computed."""

    def __init__(
        self,
        kind: str,
        base: str,
        says: str,
        words: str = "",
        wait: float | None = None,
        billed: bool = False,
    ) -> None:
        super().__init__(f"{base} {says}")
        self.kind, self.base, self.says = kind, base, says
        self.words, self.wait, self.billed = words, wait, billed

    def after(self, tries: int) -> ServerError:
        """Return it with what a user is told when nothing more is tried."""
        if self.kind in PASSING - {BAD_BODY}:
            times = f" {tries} times" if tries > 1 else ""
            self.args = (
                f"the server {self.base} {self.says}{times}; see that it runs and that the address "
                "is right, then give the same command again: what was answered is kept",
            )
        return self


class _TooLargeError(Exception):
    pass


def limited(stream: Any) -> Any:
    import httpx2

    class Limited(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for piece in stream:
                size += len(piece)
                if size > _LARGEST:
                    raise _TooLargeError(f"an answer of more than {_LARGEST >> 20} MB")
                yield piece

        async def aclose(self) -> None:
            await stream.aclose()

    return Limited()


# One request


async def complete(
    client: Any, base: str, key: str, body: Mapping[str, Any], seconds: float
) -> Completion:
    """Ask once, and wait so many seconds in all; ServerError is what came instead of an answer."""
    import httpx2

    try:
        async with asyncio.timeout(seconds):
            response = await client.post(CHAT, cast_to=httpx2.Response, body=dict(body))
        answer = json.loads(response.content)
    except Exception as error:  # noqa: BLE001 - three libraries' errors; what is none is raised
        raise failure_of(error, base, key) from None
    if isinstance(answer, dict) and answer.get("error") and not answer.get("choices"):
        words = _words(answer["error"], key)
        kind = QUOTA if _any(words, _NO_MONEY) else BAD_BODY
        raise ServerError(kind, base, f"answered 200 with an error: {words}", words)
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        content, raw = message.get("content"), choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        says = (
            f"sent something that is no chat completion: {str(answer)[:200]!r}; see that the "
            "address ends where /chat/completions follows, as in http://127.0.0.1:8000/v1"
        )
        raise ServerError(BAD_BODY, base, says, billed=True) from None
    if isinstance(content, list):  # of parts
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        content = "".join(texts) if texts or not content else content
    if not isinstance(content, str | None):
        says = f"sent an answer that is no text: {str(content)[:200]!r}"
        raise ServerError(BAD_BODY, base, says, billed=True)
    thoughts = [message.get(name) for name in _THINKING]
    thinking, text, open_end = _apart(_whole(content or ""))
    thinking = thinking or _whole(next((each for each in thoughts if isinstance(each, str)), ""))
    usage = answer.get("usage") if isinstance(answer.get("usage"), dict) else {}
    response_tokens = _count(usage.get("completion_tokens"))
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    cached = usage.get("prompt_cache_hit_tokens") if cached is None else cached
    end = _ENDS.get(str(raw).lower(), UNKNOWN_END)
    if raw is None:
        limit = body.get("max_tokens") or body.get("max_completion_tokens")
        full = limit is not None and (response_tokens or 0) >= limit
        end = CUT if full else STOPPED
    if open_end and end == STOPPED:
        end = CUT
    return Completion(
        text="" if end == FILTERED else text,
        end=end,
        thinking=thinking.strip(),
        finish_reason=str(raw or ""),
        model=str(answer.get("model") or ""),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        response_tokens=response_tokens,
        cached_tokens=_count(cached),
    )


def _whole(text: str) -> str:
    """Return a text without halves of surrogate pairs, which no file takes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _apart(content: str) -> tuple[str, str, bool]:
    """Return what was thought, what was answered, and whether the thinking has no end."""
    text = content.strip()
    begun = text.startswith(_THINK)
    thought, ended, rest = text.removeprefix(_THINK).partition(_THOUGHT)
    if ended and _THINK not in thought:  # chat templates may begin the thinking themselves
        return thought, rest.strip(), False
    return (thought, "", True) if begun else ("", text, False)


def _count(value: Any) -> int | None:
    with suppress(TypeError, ValueError, OverflowError):
        return max(0, int(value))
    return None


# What can go wrong


def failure_of(error: Exception, base: str, key: str, path: str = CHAT) -> ServerError:
    """Return what an error of the libraries means; one that is none of theirs is raised."""
    import httpx2
    import openai

    if isinstance(error, openai.APIStatusError):
        return _refusal(error, base, key)
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
    if isinstance(cause, _TooLargeError):
        return ServerError(BAD_BODY, base, f"sent {cause}", billed=True)
    if isinstance(error, ValueError | RecursionError):
        sent = getattr(error, "doc", "") or getattr(error, "object", "")
        says = f"sent something that is no JSON: {_words(str(sent)[:1000], key)!r}; is this an "
        says += "OpenAI-compatible server?"
        return ServerError(BAD_BODY, f"{base}{path}", says, billed=True)
    if isinstance(error, TimeoutError | openai.APITimeoutError) and not isinstance(
        cause, httpx2.ConnectTimeout
    ):
        return ServerError(TIMED_OUT, base, "gave no whole answer in time", billed=True)
    if isinstance(error, openai.APIConnectionError | httpx2.HTTPError):
        number = None if isinstance(cause, socket.gaierror) else getattr(cause, "errno", None)
        why = os.strerror(number) if number else str(cause) or type(cause).__name__
        never = isinstance(cause, ConnectionRefusedError | socket.gaierror | httpx2.ConnectError)
        return ServerError(UNREACHABLE, base, f"cannot be reached ({_line(why)})", billed=not never)
    raise error


def _refusal(error: Any, base: str, key: str) -> ServerError:
    code, words = int(error.status_code), server_words(error, key)
    wait = retry_after(error.response.headers, time.time())
    says = f"answered {code}: {words}"
    if 300 <= code < 400:
        return ServerError(ELSEWHERE, base, f"points elsewhere ({code}); give that address")
    if code == 402 or (code in (403, 429) and _any(words, _NO_MONEY) and wait is None):
        more = "; the account has nothing left: what was answered is kept, top it up and go on"
        return ServerError(QUOTA, base, says + more, words)
    if code in (408, 409, 425, 429) or code >= 500:
        kind = BUSY if code == 429 else TIMED_OUT if code == 408 else BROKEN
        return ServerError(kind, base, f"answered {code} ({words})", words, wait)
    if code in (401, 403):
        state = "was not taken" if key else "is missing"
        says = (
            f"answered {code}: the key {state}; it is read from {KEY} (or {OPENAI_KEY} for OpenAI)"
        )
        return ServerError(KEY_REFUSED, base, says)
    if code in (404, 405):
        says += "; see that the address ends as in http://127.0.0.1:8000/v1, and the model's name"
        return ServerError(NOT_FOUND, base, says, words)
    kind = TOO_LONG if _any(words, _LONG_PROMPT) else FILTERED if _any(words, _FILTER) else REFUSED
    return ServerError(kind, base, says, words)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that a server asks for: given as such, in ms, or as a date.

    Example:
        >>> [retry_after({"retry-after": each}, 0) for each in ("7", "0", "soon")]
        [7.0, None, None]
    """
    for name, divisor in (("retry-after-ms", 1000), ("retry-after", 1)):
        value = headers.get(name) or ""
        try:
            seconds = float(value) / divisor
        except ValueError:
            date = email.utils.parsedate_tz(value)
            if date is None:
                continue
            try:
                seconds = email.utils.mktime_tz(date) - now
            except (ValueError, OverflowError):
                continue
        return seconds if seconds > 0 and math.isfinite(seconds) else None
    return None


def server_words(error: Any, key: str) -> str:
    """Return a line of what a server said of why it will not answer, without the key."""
    return _words(error.body or error.message, key)


def _words(body: Any, key: str) -> str:
    if isinstance(body, dict):
        message = body.get("message") or body.get("detail") or body
        body = f"{message} {body.get('code') or ''}"
    return _line(str(body).replace(key, "***") if key else str(body))


def _any(words: str, marks: tuple[str, ...]) -> bool:
    return any(mark in words.lower() for mark in marks)


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
