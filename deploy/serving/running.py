"""One engine and one gate, from the start to the end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
from aiohttp import web

from curate.errors import ModelError
from curate.system import process
from curate.system.process import Child
from deploy.engines.contract import Engine, Launch, Served
from deploy.engines.failures import why
from deploy.gate.app import READY, STOPPING, Gate
from deploy.gate.connections import (
    BACKLOG,
    Connection,
    Connections,
    Seldom,
    most_connections,
)
from deploy.gate.offering import offer_of
from deploy.gate.tokens import counter
from deploy.serving.listening import refusal, url_of
from deploy.serving.probe import check, measure
from deploy.serving.systemd import notify

_START_SECONDS = 1800.0  # large models are read from slow disks
_PAUSE = 0.1
_LEAVE_SECONDS = 10.0  # for an engine that has nothing to do any more
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Plan:
    """How a model is served.

    Attributes:
        served: What.
        engine: By what.
        host: Where the gate listens.
        port: Likewise; 0 for any free one.
        key: That clients have to send; None if they need none.
        hidden: Environment variables that the engine does not get to see.
        stop_timeout: Seconds from the signal to the end.
    """

    served: Served
    engine: Engine
    host: str = "127.0.0.1"
    port: int = 8000
    key: str | None = None
    hidden: tuple[str, ...] = ()
    stop_timeout: float = 30.0


class Run:
    """One engine, one gate, from the start to the end."""

    def __init__(
        self,
        plan: Plan,
        launch: Launch,
        key: str,
        find_answers: Callable[[asyncio.Event], Awaitable[Mapping[str, str] | None]],
        port: socket.socket,
        log: Path,
        say: Callable[[str], None],
    ) -> None:
        self._plan, self._launch, self._find_answers = plan, launch, find_answers
        self._port, self._log, self._say = port, log, say
        self._headers = {"Authorization": f"Bearer {key}"}
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()

    async def whole(self, up: Callable[[str], None]) -> None:
        """Start, check, serve, end."""
        loop = asyncio.get_running_loop()
        for each in _ENDING:
            loop.add_signal_handler(each, self._asked_to_stop)
        async with self._session() as session:
            # The gate listens first: whoever comes early is told that the model loads.
            gate, runner = await self._gate(session)
            child = None
            try:
                wanted = await self._find_answers(self._stop)
                if wanted is not None and not self._stop.is_set():
                    child = self._start(tuple(wanted))
                    await self._until_stopped(child, session, gate, wanted, up)
            finally:
                try:
                    await self._end(child, gate, runner)
                finally:
                    if child is not None:
                        child.stop(0)  # nothing to do unless the lines above broke off

    def _start(self, names: tuple[str, ...]) -> Child:
        engine = self._plan.engine.name
        self._say(f"engine {engine} loads {', '.join(names)} (its output: {self._log}) …")
        hidden = {name: "" for name in self._plan.hidden}
        variables = {**hidden, **self._launch.variables}
        return process.start(self._launch.arguments, self._log, variables)

    def _asked_to_stop(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
            return
        self._say(f"stopping, within {self._plan.stop_timeout:g} s (once more Ctrl-C: at once) …")
        self._stop.set()

    def _session(self) -> aiohttp.ClientSession:
        # No connection is used twice: an engine may close an idle one just then.
        connector: aiohttp.BaseConnector
        if self._launch.socket:
            connector = aiohttp.UnixConnector(str(self._launch.socket), force_close=True, limit=0)
        else:
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
        return aiohttp.ClientSession(
            self._launch.url,
            connector=connector,
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        )

    async def _gate(self, session: aiohttp.ClientSession) -> tuple[Gate, web.AppRunner]:
        plan, loop = self._plan, asyncio.get_running_loop()
        seldom = Seldom(self._say)
        loop.set_exception_handler(seldom.failed)
        connections = Connections(most_connections(plan.engine.parallel), seldom)
        count = counter(plan.served.folder)
        offer = offer_of(plan.served, plan.engine)
        gate = Gate(offer, plan.served, plan.engine, session, plan.key, count, connections)
        # A client that leaves ends its handler, and that ends the engine's work for it.
        runner = web.AppRunner(gate.app(), handler_cancellation=True, shutdown_timeout=1.0)
        await runner.setup()
        server = runner.server
        assert server is not None
        try:
            self._door = await loop.create_server(
                lambda: Connection(server, connections, seldom), sock=self._port, backlog=BACKLOG
            )
            self._port.listen(512)  # may wait to be accepted
        except OSError as error:
            raise refusal(error, self._plan.host, self._plan.port) from error
        return gate, runner

    async def _until_stopped(
        self,
        child: Child,
        session: aiohttp.ClientSession,
        gate: Gate,
        wanted: Mapping[str, str],
        up: Callable[[str], None],
    ) -> None:
        if not await self._healthy(child, session):
            return
        plan = self._plan
        if not await check(plan.engine, plan.served, session, wanted, self._stop):
            return
        room = await measure(plan.engine, plan.served, session, tuple(wanted), gate.count)
        gate.offer = replace(gate.offer, room=room)
        gate.state = READY
        notify("READY=1")
        up(url_of(self._port))
        while not self._stop.is_set():
            self._alive(child, "while it served")
            await self._pause(_PAUSE * 5)

    async def _healthy(self, child: Child, session: aiohttp.ClientSession) -> bool:
        """Wait for the engine; False if it was stopped before it was ready."""
        until = time.monotonic() + _START_SECONDS
        limit = aiohttp.ClientTimeout(total=5)
        while not self._stop.is_set():
            self._alive(child, "while it loaded")
            with suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with session.get(self._plan.engine.health, timeout=limit) as answer:
                    if answer.status == 200:
                        return True
            if time.monotonic() > until:
                raise ModelError(
                    f"engine {self._plan.engine.name} is not ready after "
                    f"{_START_SECONDS / 60:.0f} minutes; its output: {self._log}"
                )
            await self._pause(_PAUSE)
        return False

    def _alive(self, child: Child, when: str) -> None:
        if (code := child.code()) is not None:
            raise ModelError(
                f"engine {self._plan.engine.name} ended {when}: {why(self._log, code)}. "
                f"Its output: {self._log}"
            )

    async def _end(self, child: Child | None, gate: Gate, runner: web.AppRunner) -> None:
        """Let answers be finished, then end the engine, all within the time given."""
        gate.state = STOPPING
        notify("STOPPING=1")
        until = time.monotonic() + self._plan.stop_timeout
        reserve = min(5.0, self._plan.stop_timeout / 3)
        while gate.answering and time.monotonic() < until - reserve and not self._hurry.is_set():
            await asyncio.sleep(_PAUSE)
        self._door.close()
        cleanup = asyncio.ensure_future(runner.cleanup())
        if child is None:
            await cleanup
            return
        left = 0.0 if self._hurry.is_set() else max(0.0, until - time.monotonic() - 2)
        ending = asyncio.ensure_future(asyncio.to_thread(child.stop, min(left, _LEAVE_SECONDS)))
        while not ending.done():
            if self._hurry.is_set():
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
            await asyncio.sleep(_PAUSE)
        await cleanup

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
