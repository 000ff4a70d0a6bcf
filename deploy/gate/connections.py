"""Connections of the gate: limited in number and time, and told in our own words what is wrong."""

from __future__ import annotations

import asyncio
import resource
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from deploy.gate.accepted_requests import error_body

LATER = {"Retry-After": "5"}
BACKLOG = 32  # accepted at once, before the first of them is looked at
_IDLE_SECONDS = 20.0  # for a whole head, and between two requests
_MOST = 2048
_FILES = 128  # of the server's own, and what is accepted before others are closed


class Seldom:
    """Says the same line once a minute at most: strangers may not fill a disk."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._until = say, dict[str, float]()

    def __call__(self, line: str) -> None:
        now = time.monotonic()
        if now >= self._until.get(line, 0.0):
            self._until[line] = now + 60
            self._say(line)

    def lost(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Tell what asyncio would write with a traceback, which may quote what a client sent."""
        error = context.get("exception")
        self(f"note: {type(error).__name__ if error else 'something'} ended a connection")


class Connections:
    """All connections; where there are too many, the one that has been silent longest goes."""

    def __init__(self, most: int, seldom: Seldom) -> None:
        self._most, self.seldom = most, seldom
        self._open: dict[web.RequestHandler, None] = {}  # the oldest first
        self._answered: set[object] = set()

    @property
    def answered(self) -> int:
        """How many requests are whole, and wait for an answer or get it."""
        return len(self._answered)

    def opened(self, connection: web.RequestHandler) -> None:
        self._open[connection] = None
        if len(self._open) > self._most:
            self.seldom(f"note: {self._most} connections are open; silent ones are closed")
            silent = next(client for client in self._open if client not in self._answered)
            self.closed(silent)
            silent.force_close()

    def closed(self, connection: web.RequestHandler) -> None:
        self._open.pop(connection, None)

    @contextmanager
    def answering(self, connection: object) -> Iterator[None]:
        """Keep a connection whose request is whole, whoever else comes."""
        self._answered.add(connection)
        try:
            yield
        finally:
            self._answered.discard(connection)


def most_connections(parallel: int) -> int:
    """Return how many connections fit among the files that this process may open."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    free = (_MOST * 2 if files == resource.RLIM_INFINITY else files) - _FILES
    return max(16, min(_MOST, free - min(parallel, free // 2)))


class Connection(web.RequestHandler):
    """A connection to a client; what is wrong is said, never what was sent."""

    __slots__ = ("_connections",)

    def __init__(self, server: web.Server, connections: Connections) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=_IDLE_SECONDS,
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,
        )
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.closed(self)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or what went wrong in here; the message may quote a key."""
        if status >= 500:
            # What went wrong and where, without what it was about.
            trace = traceback.extract_tb(exc.__traceback__) if exc else ()
            place = f" in {trace[-1].name}, line {trace[-1].lineno}" if trace else ""
            line = f"error: {type(exc).__name__}{place} while a request was answered"
            why, code = "the server failed; its output says more", "failed"
        else:
            line, code = "note: a request that is no HTTP was refused", "not_http"
            why = "the request cannot be read as HTTP/1.1; see how `curl -v` sends one"
        self._connections.seldom(line)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        answer = error_response(status, why, code)
        answer.force_close()
        return answer

    def log_exception(self, *arguments: Any, **named: Any) -> None:
        self._connections.seldom("note: a connection broke")

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; what aiohttp refuses by itself is said in our form."""
        if isinstance(resp, web.HTTPException):
            resp = error_response(resp.status, f"{resp.reason}: this is not taken here", "refused")
        return await super().finish_response(request, resp, start_time)


def error_response(status: int, message: str, code: str) -> web.Response:
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: LATER}.get(status, {})
    headers = {"Server": "curatrain", **headers}  # no version of Python and aiohttp
    return web.json_response(error_body(status, message, code), status=status, headers=headers)
