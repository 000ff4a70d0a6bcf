"""The gate: an aiohttp server that passes on what it has checked, and nothing else."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.http import HttpProcessingError

from curate.models.resolve import ModelFiles
from curate.models.text_tokenizer import fast_tokenizer, load_tokenizer
from deploy.engines.contract import Engine, Served
from deploy.gate.accepted_requests import (
    CHAT,
    TEXT,
    Refused,
    Room,
    check_body,
    error_body,
    no_model,
    shown,
)
from deploy.gate.connections import LATER, Connections, error_response

LOADING, READY, STOPPING = "loading", "ready", "stopping"
_CARD = {"object": "model", "created": 0, "owned_by": "curatrain"}
_FAILED = "engine_failed"
_MOST_BYTES = 1 << 20  # of a request
_WAITING = 512  # requests that wait for the engine; more would wait for minutes
_READ_SECONDS = 30.0  # for a client to send its body
_HEALTH_SECONDS = 5.0
_LOCAL = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[1-6]?\d{1,4})?", re.IGNORECASE)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gate:
    """Knows the key (None if clients need none) and the engine; passes on while READY."""

    def __init__(
        self,
        served: Served,
        engine: Engine,
        session: aiohttp.ClientSession,
        key: str | None,
        connections: Connections,
    ) -> None:
        self.state, self.models, self.connections = LOADING, engine.names(served), connections
        self.room = Room()  # measured once the engine is ready
        self.count = token_counter(served.folder)
        self._served, self._engine, self._session, self._key = served, engine, session, key
        self._well, self._well_until, self._asking_health = False, 0.0, asyncio.Lock()
        self._slots = asyncio.Semaphore(engine.parallel)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=_MOST_BYTES)
        app.router.add_get("/health", self._health, allow_head=False)
        app.router.add_get("/v1/models", self._models, allow_head=False)
        app.router.add_get("/v1/models/{name:.+}", self._model, allow_head=False)
        app.router.add_post("/v1/chat/completions", partial(self._answer, kind=CHAT))
        if self._engine.completions:
            app.router.add_post("/v1/completions", partial(self._answer, kind=TEXT))
        app.on_response_prepare.append(_without_versions)  # of Python and aiohttp
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            self._check(request)
            return await handler(request)
        except Refused as refusal:
            return error_response(refusal.status, refusal.message, refusal.code)
        except web.HTTPRequestEntityTooLarge:
            return error_response(413, f"a body may have {_MOST_BYTES:,} bytes", "too_large")
        except (web.RequestPayloadError, HttpProcessingError):
            return error_response(
                400, "the body broke off, or is not encoded as its head says", "not_http"
            )
        except web.HTTPException as error:
            what = f"nothing is at {shown(request.path)}"
            if error.status == 405:
                what = f"{shown(request.method)} is not for {request.path}"
            there = "GET /health, GET /v1/models, GET /v1/models/NAME, POST /v1/chat/completions"
            there += ", POST /v1/completions" if self._engine.completions else ""
            return error_response(error.status, f"{what}; there is {there}", "no")
        except aiohttp.ClientError:
            return error_response(502, "the engine broke off; the server's log says more", _FAILED)

    def _check(self, request: web.Request) -> None:
        """Refuse who has no key; without one, web pages that reach us by a false name."""
        if request.path == "/health":  # load balancers ask without a key
            return
        if self._key is not None:
            header = request.headers.get("Authorization")
            if not is_right(header, self._key):
                wrong = "is missing" if header is None else "is not the right one"
                raise Refused(401, f"the key {wrong}; send 'Authorization: Bearer KEY'", "no_key")
        elif not _LOCAL.fullmatch(request.host):
            raise Refused(403, "without a key only localhost may be asked by name", "wrong_host")
        if self.state != READY:
            raise Refused(503, f"the server is {self.state}; ask again later", self.state)

    async def _health(self, request: web.Request) -> web.Response:
        state = self.state if self.state != READY or await self.is_well() else "failing"
        status, headers = (200, {}) if state == READY else (503, LATER)
        return web.json_response({"status": state}, status=status, headers=headers)

    async def is_well(self) -> bool:
        """Ask the engine; once a second at most, however many want to know."""
        async with self._asking_health:
            if time.monotonic() >= self._well_until:
                limit = aiohttp.ClientTimeout(total=_HEALTH_SECONDS)
                try:
                    async with self._session.get(self._engine.health, timeout=limit) as answer:
                        self._well = answer.status == 200
                except (aiohttp.ClientError, TimeoutError):
                    self._well = False
                self._well_until = time.monotonic() + 1
        return self._well

    async def _models(self, request: web.Request) -> web.Response:
        models = [{"id": name, **_CARD} for name in self.models]
        return web.json_response({"object": "list", "data": models})

    async def _model(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.models:
            raise no_model(name, self.models)
        return web.json_response({"id": name, **_CARD})

    async def _answer(self, request: web.Request, kind: str) -> web.StreamResponse:
        if "Content-Encoding" in request.headers:
            raise Refused(415, "send the body as it is, without 'Content-Encoding'", "encoded")
        if (request.content_length or 0) > _MOST_BYTES:
            raise web.HTTPRequestEntityTooLarge(_MOST_BYTES)
        if request.content_type != "application/json":
            # Also what a web page of anybody could send unasked.
            raise Refused(415, "send the header 'Content-Type: application/json'", "not_json")
        try:
            raw = await asyncio.wait_for(request.read(), _READ_SECONDS)
        except TimeoutError:
            raise Refused(408, "the body did not arrive in time", "slow") from None
        if self.connections.answered >= self._engine.parallel + _WAITING:
            raise Refused(503, f"{_WAITING} requests wait already; ask again later", "busy")
        with self.connections.answering(request.protocol):
            fields, notes = await asyncio.to_thread(
                check_body, raw, kind, self._engine, self._served, self.room, self.count
            )
            headers = {"X-Curatrain-Note": "; ".join(notes)} if notes else {}
            body = self._engine.translate(self._served, fields)
            wanted = fields["stream"] and (fields.get("stream_options") or {}).get("include_usage")
            prompt = None
            if wanted and not self._engine.tells_ends:
                one_token = {**body, "stream": False, "max_tokens": 1}
                async with self._slots, self._session.post(request.path, json=one_token) as engine:
                    if engine.status == 200:
                        prompt = int((await engine.json())["usage"]["prompt_tokens"])
            async with self._slots, self._session.post(request.path, json=body) as engine:
                if engine.status != 200:
                    return error_response(*await _refusal_of(engine))
                if fields["stream"]:
                    headers |= {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
                    answer = web.StreamResponse(headers=headers)
                    await answer.prepare(request)
                    endings = StreamEndings(fields["max_tokens"], self.count, prompt)
                    # Piece by piece; who leaves, ends this, and the engine's work.
                    try:
                        async for line in engine.content:
                            whole_line = self._engine.tells_ends
                            await answer.write(line if whole_line else endings.line(line))
                    except (aiohttp.ClientError, ValueError):
                        # The head has been sent: one more event alone can say that it went wrong.
                        why = "the engine broke off in the middle of the answer"
                        body = error_body(502, why, _FAILED)
                        await answer.write(f"data: {json.dumps(body)}\n\n".encode())
                    await answer.write_eof()
                    return answer
                whole = await engine.read()
                return web.Response(body=whole, content_type="application/json", headers=headers)


def token_counter(folder: Path) -> Callable[[str], int]:
    """Return a function that counts a text's tokens, without the model."""
    if (folder / "tokenizer.json").is_file():
        fast = fast_tokenizer(folder)
        return lambda text: len(fast.encode(text, add_special_tokens=False).ids)
    slow = load_tokenizer(ModelFiles(folder.name, folder))
    return lambda text: len(slow.encode(text, add_special_tokens=False))


class StreamEndings:
    """Puts right the last event of a stream: LLaMA-Factory says `stop` of answers cut off, too.

    By the tokenizer, which is right unless the model has spelled a word in an odd way. Where the
    tokens of the prompt are given, the last event tells the usage.
    """

    def __init__(
        self, max_tokens: int, count: Callable[[str], int], prompt: int | None = None
    ) -> None:
        self._max_tokens, self._count, self._prompt = max_tokens, count, prompt
        self._text, self._last = "", dict[str, Any]()

    def line(self, line: bytes) -> bytes:
        if line.startswith(b"data: [DONE]") and self._prompt is not None:
            answer = min(self._max_tokens, self._count(self._text) + 1)  # its end is a token, too
            usage = {"prompt_tokens": self._prompt, "completion_tokens": answer}
            usage["total_tokens"] = self._prompt + answer
            return (
                f"data: {json.dumps({**self._last, 'choices': [], 'usage': usage})}\n\n".encode()
                + line
            )
        if not line.startswith(b"data: {"):
            return line
        event = self._last = json.loads(line[6:])
        for choice in event.get("choices") or ():
            self._text += (choice.get("delta") or {}).get("content") or ""
            stopped = choice.get("finish_reason") == "stop"
            if stopped and self._count(self._text) >= self._max_tokens:
                choice["finish_reason"] = "length"
                return f"data: {json.dumps(event)}\n".encode()
        return line


def is_right(header: str | None, key: str) -> bool:
    """Compare what a client sent with the key, taking the same time for any wrong one."""
    scheme, _, sent = (header or "").partition(" ")
    same = hmac.compare_digest(sent.strip().encode("utf-8", "replace"), key.encode())
    return same and scheme.lower() == "bearer"


async def _refusal_of(engine: aiohttp.ClientResponse) -> tuple[int, str, str]:
    text = await engine.text(errors="replace")
    if engine.status == 401:
        return 502, "the engine does not know its own key; start the server anew", _FAILED
    if engine.status >= 500:
        return 502, "the engine failed; the server's log says more", _FAILED
    try:
        reason: Any = json.loads(text)
    except ValueError:
        reason = text
    for name in ("error", "detail", "message"):
        reason = reason.get(name, reason) if isinstance(reason, dict) else reason
    return engine.status, str(reason)[:500], "refused_by_engine"


async def _without_versions(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "curatrain"
