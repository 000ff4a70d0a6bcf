"""A model behind the gate: started, compared with transformers, served, and ended as a whole."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import aiohttp
from aiohttp import web

from curate.errors import ModelError
from curate.system import process
from curate.system.cache import cache_dir
from curate.system.failure import explain_server
from curate.system.process import Child
from deploy.engines.contract import Engine, Served
from deploy.gate.app import READY, STOPPING, Gate
from deploy.gate.connections import BACKLOG, Connection, Connections, Seldom, most_connections
from deploy.serving import first_answer
from deploy.serving.port import bound, url_of

_START_SECONDS = 1800.0  # large models are read from slow disks
_LEAVE_SECONDS = 10.0  # for an engine that has nothing to do any more
_PAUSE = 0.1
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Plan:
    """How a model is served."""

    served: Served
    engine: Engine
    host: str = "127.0.0.1"
    port: int = 8000  # 0 for any free one
    key: str | None = None  # that clients have to send; None if they need none
    hidden: tuple[str, ...] = ()  # environment variables that the engine does not get to see
    stop_timeout: float = 30.0  # seconds from the signal to the end


@dataclass(frozen=True)
class Up:
    """A server that is ready."""

    url: str
    models: tuple[str, ...]  # names that answer
    engine: str
    seconds: float  # from the start to here


def serve(plan: Plan, say: Callable[[str], None], up: Callable[[Up], None]) -> None:
    """Serve until a signal says stop; nothing of the engine is left when this returns."""
    plan.engine.names(plan.served)  # raises if they cannot be served together
    with (
        _interruptible(),
        bound(plan.host, plan.port) as listener,
        tempfile.TemporaryDirectory(prefix="curatrain-") as scratch,  # for this user only
    ):
        asyncio.run(_Run(plan, Path(scratch), listener, say, up).whole())


@contextmanager
def _interruptible() -> Iterator[None]:
    """End quietly, and tidy up, when a signal says stop before the engine is there."""
    before = {number: signal.signal(number, _interrupt) for number in _ENDING[1:]}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _notify_systemd(state: str) -> None:
    """Tell systemd, where it started us, how things stand (sd_notify's protocol)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, suppress(OSError):
            sender.sendto(state.encode(), address.replace("@", "\0", 1))


class _Run:
    """One engine and one gate, from the start to the end."""

    def __init__(
        self,
        plan: Plan,
        scratch: Path,
        listener: socket.socket,
        say: Callable[[str], None],
        up: Callable[[Up], None],
    ) -> None:
        self._plan, self._scratch, self._listener = plan, scratch, listener
        self._say, self._up, self._began = say, up, time.monotonic()
        self._key = secrets.token_urlsafe(32)
        self._launch = plan.engine.launch(plan.served, scratch, self._key)
        name = f"serve-{plan.engine.name}-{listener.getsockname()[1]}.log"
        self._log = cache_dir() / "logs" / name
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.unlink(missing_ok=True)
        self._log.touch(mode=0o600)
        self._child: Child | None = None
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()

    async def whole(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _ENDING:
            loop.add_signal_handler(number, self._asked_to_stop)
        async with self._session() as session:
            # The gate listens first: whoever comes early is told that the model loads.
            gate, runner, door = await self._open_gate(session)
            serving = asyncio.create_task(self._serve(session, gate))
            stopped = asyncio.create_task(self._stop.wait())
            try:
                await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if serving.done():
                    serving.result()  # raises why it cannot serve
            finally:
                serving.cancel()
                await asyncio.wait({serving})
                stopped.cancel()
                try:
                    await self._end(gate, runner, door)
                finally:
                    if self._child is not None:
                        self._child.stop(0)  # nothing to do unless the lines above broke off

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
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        )

    async def _open_gate(
        self, session: aiohttp.ClientSession
    ) -> tuple[Gate, web.AppRunner, asyncio.Server]:
        plan, loop, seldom = self._plan, asyncio.get_running_loop(), Seldom(self._say)
        loop.set_exception_handler(seldom.lost)
        connections = Connections(most_connections(plan.engine.parallel), seldom)
        gate = Gate(plan.served, plan.engine, session, plan.key, connections)
        # A client that leaves ends its handler, and that ends the engine's work for it.
        runner = web.AppRunner(gate.app(), handler_cancellation=True, shutdown_timeout=1.0)
        await runner.setup()
        server = runner.server
        assert server is not None
        door = await loop.create_server(
            lambda: Connection(server, connections, seldom), sock=self._listener, backlog=BACKLOG
        )
        self._listener.listen(512)  # that many may wait to be accepted
        return gate, runner, door

    async def _serve(self, session: aiohttp.ClientSession, gate: Gate) -> None:
        """Start the engine, try it, and let requests through until it ends or this is cancelled."""
        plan, names = self._plan, gate.offer.models
        wanted = await first_answer.expected(plan.served, names, self._scratch, self._say)
        self._say(f"engine {plan.engine.name} loads {', '.join(names)} (output: {self._log}) …")
        variables = {**dict.fromkeys(plan.hidden, ""), **self._launch.variables}
        self._child = process.start(self._launch.arguments, self._log, variables)
        await self._until_healthy(self._child, session)
        probe = first_answer.Probe(plan.engine, plan.served, session)
        await probe.check(wanted)
        gate.offer = replace(gate.offer, room=await probe.measure(names, gate.count))
        gate.state = READY
        _notify_systemd("READY=1")
        seconds = round(time.monotonic() - self._began, 1)
        self._up(Up(url_of(self._listener), names, plan.engine.name, seconds))
        while True:
            self._check_alive(self._child, "while it served")
            await asyncio.sleep(_PAUSE * 5)

    async def _until_healthy(self, child: Child, session: aiohttp.ClientSession) -> None:
        until = time.monotonic() + _START_SECONDS
        limit = aiohttp.ClientTimeout(total=5)
        while time.monotonic() < until:
            self._check_alive(child, "while it loaded")
            with suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with session.get(self._plan.engine.health, timeout=limit) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(_PAUSE)
        raise ModelError(
            f"engine {self._plan.engine.name} is not ready after {_START_SECONDS / 60:.0f} "
            f"minutes; its output: {self._log}"
        )

    def _check_alive(self, child: Child, when: str) -> None:
        if (code := child.code()) is not None:
            raise ModelError(
                f"engine {self._plan.engine.name} ended {when}: "
                f"{explain_server(self._log, code)}. Its output: {self._log}"
            )

    async def _end(self, gate: Gate, runner: web.AppRunner, door: asyncio.Server) -> None:
        """Let answers be finished, then end the engine, all within the time given."""
        gate.state = STOPPING
        _notify_systemd("STOPPING=1")
        until = time.monotonic() + self._plan.stop_timeout
        reserve = min(5.0, self._plan.stop_timeout / 3)
        while (
            gate.connections.answered
            and time.monotonic() < until - reserve
            and not self._hurry.is_set()
        ):
            await asyncio.sleep(_PAUSE)
        door.close()
        cleanup = asyncio.create_task(runner.cleanup())
        if self._child is not None:
            left = 0.0 if self._hurry.is_set() else max(0.0, until - time.monotonic() - 2)
            ending = asyncio.create_task(
                asyncio.to_thread(self._child.stop, min(left, _LEAVE_SECONDS))
            )
            while not ending.done():
                if self._hurry.is_set():
                    with suppress(ProcessLookupError):
                        os.killpg(self._child.pid, signal.SIGKILL)
                await asyncio.sleep(_PAUSE)
        await cleanup
