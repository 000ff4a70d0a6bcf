"""Connections of the gate: limited in number and time, and told in our own words what is wrong."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from deploy.gate.offer import told

_IDLE_SECONDS = 20.0  # for a whole head, and between two requests
_MOST = 2048
_FILES = 128  # of the server's own, and what is accepted before others are closed
BACKLOG = 32  # accepted at once, before the first of them is looked at
_NOT_HTTP = "the request cannot be read as HTTP/1.1; see how `curl -v` sends one"


class Seldom:
    """Says the same thing once a minute at most: strangers may not fill a disk.

    Args:
        say: Writes a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._until: dict[str, float] = {}

    def __call__(self, line: str) -> None:
        """Say a line, unless it has been said within the minute."""
        now = time.monotonic()
        if now >= self._until.get(line, 0.0):
            self._until[line] = now + 60
            self._say(line)

    def failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Tell what asyncio would write with a traceback, which may quote what a client sent."""
        error = context.get("exception")
        self(f"note: {type(error).__name__ if error else 'something'} ended a connection")


class Connections:
    """All connections; where there are too many, the one that has been silent longest goes.

    Args:
        most: Connections at a time.
        seldom: Is told of those that were closed.
    """

    def __init__(self, most: int, seldom: Seldom) -> None:
        self._most, self._seldom = most, seldom
        self._open: dict[web.RequestHandler, None] = {}
        self._answered: set[object] = set()

    def opened(self, connection: web.RequestHandler) -> None:
        """Count a connection, and close another one if there are too many."""
        self._open[connection] = None
        if len(self._open) > self._most:
            silent = (each for each in self._open if each not in self._answered)
            self._seldom(f"note: {self._most} connections are open; silent ones are closed")
            oldest = next(silent)
            self.closed(oldest)
            oldest.force_close()

    def closed(self, connection: web.RequestHandler) -> None:
        """Forget a connection."""
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
    """A connection to a client.

    Args:
        server: Of aiohttp.
        connections: All of them.
        seldom: Is told what is wrong, never what was sent.
    """

    __slots__ = ("_connections", "_seldom")

    def __init__(self, server: web.Server, connections: Connections, seldom: Seldom) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=_IDLE_SECONDS,
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,
        )
        self._connections, self._seldom = connections, seldom

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self._connections.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
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
            self._seldom(f"error: {_place(exc)} while a request was answered")
        else:
            self._seldom("note: a request that is no HTTP was refused")
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        why = "the server failed; its output says more" if status >= 500 else _NOT_HTTP
        body = told(status, why, "failed" if status >= 500 else "not_http")
        answer = web.json_response(body, status=status, headers={"Server": "curatrain"})
        answer.force_close()
        return answer

    def log_exception(self, *arguments: Any, **named: Any) -> None:
        """Say that a connection broke, without the traceback."""
        self._seldom("note: a connection broke")

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; what aiohttp refuses by itself is said in our form."""
        if isinstance(resp, web.HTTPException):
            body = told(resp.status, f"{resp.reason}: this is not taken here", "refused")
            resp = web.json_response(body, status=resp.status, headers={"Server": "curatrain"})
        return await super().finish_response(request, resp, start_time)


def _place(error: BaseException | None) -> str:
    """Return what went wrong and where, without what it was about."""
    trace = error.__traceback__ if error else None
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f" in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{where}"
