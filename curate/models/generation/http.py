"""JSON over HTTP, with patience: what passes is tried again, what does not is said in a line."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from typing import IO, Any
from urllib.parse import urlsplit

from curate.errors import ModelError

_LOCAL = {"localhost", "127.0.0.1", "::1"}
_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_LONGEST_WAIT = 60.0
_MOST_BYTES = 64 << 20


class Refused(ModelError):
    """The server understood, and will not; `said` is what it says of why."""

    def __init__(self, message: str, said: str) -> None:
        super().__init__(message)
        self.said = said


@dataclass(frozen=True)
class Http:
    """How requests are sent.

    Attributes:
        base: Address that paths are appended to.
        key: Sent as bearer token; never shown.
        key_name: Where the key comes from, for messages.
        seconds: A request may take.
        tries: Of a request.
        pause: Seconds before the second try; doubled before each further one.
        sleep: Waits; tests do not.
    """

    base: str
    key: str = field(default="", repr=False)
    key_name: str = "the environment"
    seconds: float = 600.0
    tries: int = 6
    pause: float = 1.0
    sleep: Callable[[float], None] = time.sleep

    def get(self, path: str, seconds: float | None = None) -> Any:
        """Return what lies at a path.

        Args:
            path: Below base.
            seconds: It may take, if not as long as other requests.

        Raises:
            ModelError: There is no answer, or none that is JSON.
        """
        return self._send(path, None, seconds or self.seconds, tries=1)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Return the answer to a body.

        Args:
            path: Below base.
            body: Sent as JSON.

        Raises:
            Refused: The server will not.
            ModelError: It cannot be reached after all tries, or its answer is no JSON.
        """
        # A lone surrogate is no character and could not be sent.
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        return self._send(path, data, self.seconds, self.tries)

    def _send(self, path: str, data: bytes | None, seconds: float, tries: int) -> Any:
        failure = ""
        for number in range(tries):
            try:
                return self._once(path, data, seconds)
            except urllib.error.HTTPError as error:
                said = self._said(error)
                failure = f"answered {error.code} ({said})"
                if error.code not in _AGAIN:
                    raise self._refused(error.code, said) from error
                asked = _seconds(error.headers)
            except (OSError, http.client.HTTPException) as error:
                failure = f"cannot be reached ({_why(error)})"
                asked = None
            if number + 1 < tries:
                self.sleep(min(_LONGEST_WAIT, asked or self.pause * 2**number))
        times = f" {tries} times" if tries > 1 else ""
        raise ModelError(
            f"the server {self.base} {failure}{times}; see that it runs and that the address is "
            "right, then give the same command again: what was answered is kept"
        )

    def _once(self, path: str, data: bytes | None, seconds: float) -> Any:
        headers = {"Content-Type": "application/json", "User-Agent": "curatrain"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(f"{self.base}/{path}", data=data, headers=headers)
        with self._opener().open(request, timeout=seconds) as answer:
            text = _whole(answer)
        try:
            return json.loads(text)
        except ValueError as error:
            raise ModelError(
                f"{self.base}/{path} sent something that is no JSON: "
                f"{_line(text.decode('utf-8', 'replace'))!r}; is this an OpenAI-compatible server?"
            ) from error

    def _opener(self) -> urllib.request.OpenerDirector:
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if urlsplit(self.base).hostname in _LOCAL:
            handlers.append(urllib.request.ProxyHandler({}))
        return urllib.request.build_opener(*handlers)

    def _said(self, error: urllib.error.HTTPError) -> str:
        text = _whole(error).decode("utf-8", "replace")
        try:
            told = json.loads(text)
            told = told.get("error", told)
            text = str(told.get("message", told) if isinstance(told, dict) else told)
            text += f" {told['code']}" if isinstance(told, dict) and told.get("code") else ""
        except (ValueError, AttributeError):
            pass
        text = text.replace(self.key, "***") if self.key else text
        return _line(text) or str(error.reason)

    def _refused(self, code: int, said: str) -> Refused:
        if code in (401, 403):
            given = "was not taken" if self.key else "is missing"
            return Refused(
                f"{self.base} answered {code}: the key {given}; it is read from {self.key_name}",
                said,
            )
        if 300 <= code < 400:
            return Refused(f"{self.base} points elsewhere ({code}); give that address", said)
        more = ""
        if code == 404:
            more = (
                "; see that the address ends as in http://127.0.0.1:8000/v1, and the model's name"
            )
        return Refused(f"{self.base} answered {code}: {said}{more}", said)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: the key is for the server that was named."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> None:
        return None


def _whole(answer: Any) -> bytes:
    data: bytes = answer.read(_MOST_BYTES)
    return data


def _seconds(headers: Any) -> float | None:
    """Return the seconds of a Retry-After header, if it has any."""
    try:
        return max(0.1, float(headers.get("Retry-After")))
    except (TypeError, ValueError, AttributeError):
        return None


def _why(error: BaseException) -> str:
    inner = getattr(error, "reason", error)
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return _line(str(text))


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
