"""The gate: an aiohttp server that passes on what it has checked, and nothing else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.http import HttpProcessingError
from yarl import URL

from deploy.engines.contract import Engine, Served
from deploy.gate.body import CHAT, TEXT, Taken, take
from deploy.gate.connections import Connections
from deploy.gate.endings import Endings
from deploy.gate.keys import is_right
from deploy.gate.offer import Offer, Refused, shown, told

LOADING, READY, STOPPING = "loading", "ready", "stopping"
_WAITING = 512  # requests that wait for the engine; more would wait for minutes
_READ_SECONDS = 30.0  # for a client to send its body
_HEALTH_SECONDS = 5.0
_LATER = {"Retry-After": "5"}
_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gate:
    """Knows the key and the engine; state says whether requests are passed on.

    Args:
        offer: What is taken; the room is measured once the engine is ready.
        served: What answers.
        engine: What kind of engine stands behind.
        session: Connected to it; sends the engine's own key.
        key: That clients have to send; None if they need none.
        count: Tokens of a text.
        connections: All that are open.

    Attributes:
        offer: What is taken.
        count: Tokens of a text.
        state: LOADING, READY or STOPPING.
        answering: Requests that are being answered.
    """

    def __init__(
        self,
        offer: Offer,
        served: Served,
        engine: Engine,
        session: aiohttp.ClientSession,
        key: str | None,
        count: Callable[[str], int],
        connections: Connections,
    ) -> None:
        self.offer, self._served = offer, served
        self._connections = connections
        self._engine, self._session = engine, session
        self._key, self.count = key, count
        self.state = LOADING
        self.answering = 0
        self._waiting = 0
        self._well, self._well_until, self._looking = False, 0.0, asyncio.Lock()
        self._slots = asyncio.Semaphore(engine.parallel)

    def app(self) -> web.Application:
        """Return the application: its routes are all there is."""
        app = web.Application(middlewares=[self._guard], client_max_size=self.offer.body)
        app.router.add_get("/health", self._health, allow_head=False)
        app.router.add_get("/v1/models", self._models, allow_head=False)
        app.router.add_post("/v1/chat/completions", self._chat)
        if self.offer.completions:
            app.router.add_post("/v1/completions", self._complete)
        app.on_response_prepare.append(_without_versions)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            self._check(request)
            return await handler(request)
        except Refused as no:
            return _error(no.status, no.message, no.code)
        except web.HTTPRequestEntityTooLarge:
            return _error(413, f"a body may have {self.offer.body:,} bytes", "too_large")
        except (web.RequestPayloadError, HttpProcessingError):
            return _error(400, "the body broke off, or is not encoded as its head says", "not_http")
        except web.HTTPException as error:
            return self._no_such(request, error)
        except aiohttp.ClientError:
            return _error(502, "the engine broke off; the server's log says more", "engine_failed")

    def _check(self, request: web.Request) -> None:
        """Refuse who has no key; without a key, refuse web pages that reach us by a false name.

        Load balancers and the like ask for health without one.
        """
        if request.path == "/health":
            return
        if self._key is not None:
            if not is_right(request.headers.get("Authorization"), self._key):
                sent = (
                    "is not the right one" if "Authorization" in request.headers else "is missing"
                )
                raise Refused(401, f"the key {sent}; send 'Authorization: Bearer KEY'", "no_key")
        elif _name(request.host) not in _LOCAL_NAMES:
            raise Refused(403, "without a key only localhost may be asked by name", "wrong_host")

    def _no_such(self, request: web.Request, error: web.HTTPException) -> web.Response:
        there = "GET /health, GET /v1/models, POST /v1/chat/completions"
        there += ", POST /v1/completions" if self.offer.completions else ""
        if error.status == 405:
            return _error(
                405, f"{shown(request.method)} is not for {request.path}; there is {there}", "no"
            )
        return _error(error.status, f"nothing is at {shown(request.path)}; there is {there}", "no")

    async def _health(self, request: web.Request) -> web.Response:
        state = self.state if self.state != READY or await self._is_well() else "failing"
        ready = state == READY
        headers = {} if ready else _LATER
        return web.json_response({"status": state}, status=200 if ready else 503, headers=headers)

    async def _is_well(self) -> bool:
        """Ask the engine; once a second at most, however many want to know."""
        async with self._looking:
            if time.monotonic() >= self._well_until:
                limit = aiohttp.ClientTimeout(total=_HEALTH_SECONDS)
                try:
                    async with self._session.get(self._engine.health, timeout=limit) as answer:
                        self._well = answer.status == 200
                except (aiohttp.ClientError, TimeoutError):
                    self._well = False
                self._well_until = time.monotonic() + 1
        return self._well

    def _check_ready(self) -> None:
        if self.state != READY:
            raise Refused(503, f"the server is {self.state}; ask again later", self.state)

    async def _models(self, request: web.Request) -> web.Response:
        self._check_ready()
        owner = {"object": "model", "created": 0, "owned_by": "curatrain"}
        found = [{"id": each, **owner} for each in self.offer.models]
        return web.json_response({"object": "list", "data": found})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, CHAT)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, TEXT)

    async def _answer(self, request: web.Request, kind: str) -> web.StreamResponse:
        self._check_ready()
        if "Content-Encoding" in request.headers:
            raise Refused(415, "send the body as it is, without 'Content-Encoding'", "encoded")
        if (request.content_length or 0) > self.offer.body:
            raise web.HTTPRequestEntityTooLarge(self.offer.body, request.content_length or 0)
        if request.content_type != "application/json":
            # Also what a web page of anybody could send unasked.
            raise Refused(415, "send the header 'Content-Type: application/json'", "not_json")
        with self._counted():
            try:
                raw = await asyncio.wait_for(request.read(), _READ_SECONDS)
            except TimeoutError:
                raise Refused(408, "the body did not arrive in time", "slow") from None
            with self._connections.answering(request.protocol):
                return await self._taken(request, raw, kind)

    async def _taken(self, request: web.Request, raw: bytes, kind: str) -> web.StreamResponse:
        taken = await asyncio.to_thread(take, raw, kind, self.offer, self.count)
        notes = {"X-Curatrain-Note": "; ".join(taken.notes)} if taken.notes else {}
        async with self._slot():
            fields = self._engine.translate(self._served, taken.fields)
            async with self._session.post(request.path, json=fields) as engine:
                if engine.status != 200:
                    return _error(*await _why(engine))
                if taken.fields["stream"]:
                    return await self._pass_on(request, engine, taken, notes)
                body = await engine.read()
                return web.Response(body=body, content_type="application/json", headers=notes)

    async def _pass_on(
        self,
        request: web.Request,
        engine: aiohttp.ClientResponse,
        taken: Taken,
        notes: dict[str, str],
    ) -> web.StreamResponse:
        """Pass on an answer piece by piece; who leaves, ends this, and the engine's work."""
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", **notes}
        answer = web.StreamResponse(headers=headers)
        await answer.prepare(request)
        endings = Endings(taken.fields["max_tokens"], self.count)
        try:
            async for line in engine.content:
                await answer.write(line if self._engine.tells_ends else endings.line(line))
        except (aiohttp.ClientError, ValueError):
            # The head has been sent: that it went wrong can only be said as one more event.
            broken = told(502, "the engine broke off in the middle of the answer", "engine_failed")
            await answer.write(f"data: {json.dumps(broken)}\n\n".encode())
        await answer.write_eof()
        return answer

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.answering += 1
        try:
            yield
        finally:
            self.answering -= 1

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._waiting >= _WAITING:
            raise Refused(503, f"{_WAITING} requests wait already; ask again later", "busy")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()


async def _why(engine: aiohttp.ClientResponse) -> tuple[int, str, str]:
    """Return what an engine refused and why, whichever form it says that in."""
    text = await engine.text(errors="replace")
    if engine.status == 401:
        return 502, "the engine does not know its own key; start the server anew", "engine_failed"
    if engine.status >= 500:
        return 502, "the engine failed; the server's log says more", "engine_failed"
    try:
        found: Any = json.loads(text)
    except ValueError:
        found = text
    for name in ("error", "detail", "message"):
        found = found.get(name, found) if isinstance(found, dict) else found
    return engine.status, str(found)[:500], "refused_by_engine"


def _error(status: int, message: str, code: str) -> web.Response:
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: _LATER}.get(status, {})
    return web.json_response(told(status, message, code), status=status, headers=headers)


def _name(host: str) -> str | None:
    """Return the name in a header `Host`, None if there is none that can be read."""
    try:
        return URL(f"http://{host}").host
    except ValueError:
        return None


async def _without_versions(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "curatrain"
