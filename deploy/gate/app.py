"""The gate: an aiohttp server that passes on what it has checked, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
from aiohttp import web

from deploy.engines.contract import Engine, Served
from deploy.gate.body import CHAT, TEXT, Taken, take
from deploy.gate.endings import Endings
from deploy.gate.keys import is_right
from deploy.gate.offer import Offer, Refused, told

LOADING, READY, STOPPING = "loading", "ready", "stopping"
_WAITING = 512  # requests that wait for the engine; more would wait for minutes
_READ_SECONDS = 30.0  # for a client to send its body
_HEALTH_SECONDS = 5.0
_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gate:
    """Knows the key and the engine; state says whether requests are passed on.

    Args:
        offer: What is taken.
        served: What answers.
        engine: What kind of engine stands behind.
        session: Connected to it; sends the engine's own key.
        key: That clients have to send; None if they need none.
        count: Tokens of a text.

    Attributes:
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
    ) -> None:
        self._offer, self._served = offer, served
        self._engine, self._session = engine, session
        self._key, self._count = key, count
        self.state = LOADING
        self.answering = 0
        self._waiting = 0
        self._slots = asyncio.Semaphore(engine.parallel)

    def app(self) -> web.Application:
        """Return the application: its routes are all there is."""
        app = web.Application(middlewares=[self._guard], client_max_size=self._offer.body)
        app.router.add_get("/health", self._health, allow_head=False)
        app.router.add_get("/v1/models", self._models, allow_head=False)
        app.router.add_post("/v1/chat/completions", self._chat)
        if self._offer.completions:
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
            return _error(413, f"a body may have {self._offer.body:,} bytes", "too_large")
        except web.HTTPException as error:
            return self._no_such(request, error)
        except aiohttp.ClientError:
            return _error(502, "the engine broke off; the server's log says more", "engine_failed")

    def _check(self, request: web.Request) -> None:
        """Refuse who has no key; without a key, refuse web pages that reach us by a false name."""
        if self._key is not None:
            if not is_right(request.headers.get("Authorization"), self._key):
                sent = (
                    "is not the right one" if "Authorization" in request.headers else "is missing"
                )
                raise Refused(401, f"the key {sent}; send 'Authorization: Bearer KEY'", "no_key")
        elif request.url.host not in _LOCAL_NAMES:
            raise Refused(403, "without a key only localhost may be asked by name", "wrong_host")

    def _no_such(self, request: web.Request, error: web.HTTPException) -> web.Response:
        there = "GET /health, GET /v1/models, POST /v1/chat/completions"
        there += ", POST /v1/completions" if self._offer.completions else ""
        if error.status == 405:
            return _error(
                405, f"{request.method} is not for {request.path}; there is {there}", "no"
            )
        return _error(error.status, f"nothing is at {request.path[:80]}; there is {there}", "no")

    async def _health(self, request: web.Request) -> web.Response:
        if self.state != READY:
            return web.json_response({"status": self.state}, status=503)
        limit = aiohttp.ClientTimeout(total=_HEALTH_SECONDS)
        try:
            async with self._session.get(self._engine.health, timeout=limit) as answer:
                well = answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            well = False
        body = {"status": "ok" if well else "engine does not answer", "engine": self._engine.name}
        return web.json_response(body, status=200 if well else 503)

    async def _models(self, request: web.Request) -> web.Response:
        owner = {"object": "model", "created": 0, "owned_by": "curatrain"}
        found = [{"id": each, **owner} for each in self._offer.models]
        return web.json_response({"object": "list", "data": found})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, CHAT)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, TEXT)

    async def _answer(self, request: web.Request, kind: str) -> web.StreamResponse:
        if self.state != READY:
            raise Refused(503, f"the server is {self.state}; ask again later", self.state)
        if request.content_type != "application/json":
            # Also what a web page of anybody could send unasked.
            raise Refused(415, "send the header 'Content-Type: application/json'", "not_json")
        with self._counted():
            try:
                raw = await asyncio.wait_for(request.read(), _READ_SECONDS)
            except TimeoutError:
                raise Refused(408, "the body did not arrive in time", "slow") from None
            taken = await asyncio.to_thread(take, raw, kind, self._offer, self._count)
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
        endings = Endings(taken.fields["max_tokens"], self._count)
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
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}.get(status, {})
    return web.json_response(told(status, message, code), status=status, headers=headers)


async def _without_versions(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "curatrain"
