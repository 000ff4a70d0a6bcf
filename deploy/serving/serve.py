"""A model behind the gate: started, compared with transformers, served, and ended as a whole."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from curate.errors import ModelError, UsageError
from curate.system import process
from curate.system.cache import cache_dir
from curate.system.failure import explain_server
from deploy.engines.contract import Engine, Served
from deploy.gate.app import READY, STOPPING, Gate
from deploy.gate.connections import BACKLOG, Connection, Connections, Seldom, most_connections
from deploy.serving import first_answer
from deploy.serving.served_model import ServeCall

_START_SECONDS = 1800.0  # large models are read from slow disks
_LEAVE_SECONDS = 10.0  # for an engine that has nothing to do any more
_PAUSE = 0.1


@dataclass(frozen=True)
class Plan:
    """How a model is served."""

    call: ServeCall
    served: Served
    engine: Engine
    key: str | None  # that clients have to send; None if they need none


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
        _bound(plan.call.host, plan.call.port) as listener,
        tempfile.TemporaryDirectory(prefix="curatrain-") as scratch,  # for this user only
    ):
        asyncio.run(_Run(plan, listener, Path(scratch), say).whole(up))


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that has its port before anything is loaded."""
    if not 0 <= port < 65536:
        raise UsageError(f"--port {port}: a port is a number from 0 (any free one) to 65535")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
    except OSError as error:
        raise UsageError(f"--host {host}: {error.strerror}; 127.0.0.1 is this machine") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(512)  # that many may wait to be accepted
    except OSError as error:
        listener.close()
        why = {
            "EADDRINUSE": f"port {port} of {host} is in use; end what listens there, or give "
            f"another, such as --port {port + 1 if port < 65535 else 8000}",
            "EACCES": f"port {port} is only for the administrator; give one from 1024 on",
        }
        other = f"cannot listen on {host} port {port}: {error.strerror}; give --host, --port"
        raise UsageError(why.get(errno.errorcode.get(error.errno or 0, ""), other)) from error
    return listener


def _url_of(listener: socket.socket) -> str:
    """Return the address that clients use."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def _notify_systemd(state: str) -> None:
    """Tell systemd, where it started us, how things stand (sd_notify's protocol)."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, suppress(OSError):
            sender.sendto(state.encode(), address.replace("@", "\0", 1))


class _Run:
    """One engine and one gate, from the start to the end."""

    def __init__(
        self, plan: Plan, listener: socket.socket, scratch: Path, say: Callable[[str], None]
    ) -> None:
        self._plan, self._listener, self._scratch, self._say = plan, listener, scratch, say
        self._began, self._key = time.monotonic(), secrets.token_urlsafe(32)
        self._launch = plan.engine.launch(plan.served, scratch, self._key)
        port = listener.getsockname()[1]
        self._log = cache_dir() / "logs" / f"serve-{plan.engine.name}-{port}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.unlink(missing_ok=True)
        self._log.touch(mode=0o600)
        self._child: process.Child | None = None
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()

    async def whole(self, up: Callable[[Up], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._asked_to_stop)
        path = self._launch.socket
        # No connection is used twice: an engine may close an idle one just then.
        async with aiohttp.ClientSession(
            self._launch.url,
            connector=aiohttp.UnixConnector(str(path), force_close=True, limit=0)
            if path
            else aiohttp.TCPConnector(force_close=True, limit=0),
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        ) as session:
            # The gate listens first: whoever comes early is told that the model loads.
            gate, runner, door = await self._open_gate(session)
            serving = asyncio.create_task(self._serve(session, gate, up))
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
        self._say(
            f"stopping, within {self._plan.call.stop_timeout:g} s (once more Ctrl-C: at once) …"
        )
        self._stop.set()

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
        self._listener.listen(512)  # the loop has made it as short as its backlog
        return gate, runner, door

    async def _serve(
        self, session: aiohttp.ClientSession, gate: Gate, up: Callable[[Up], None]
    ) -> None:
        """Start the engine, try it, and let requests through until it ends or this is cancelled."""
        plan, engine = self._plan, self._plan.engine
        wanted = await first_answer.expected(plan.served, gate.models, self._scratch, self._say)
        self._say(f"engine {engine.name} loads {', '.join(wanted)} (its output: {self._log}) …")
        # The engine does not get to see the clients' key.
        hidden = {plan.call.api_key_env: ""} if plan.call.api_key_env else {}
        variables = {**hidden, **self._launch.variables}
        self._child = process.start(self._launch.arguments, self._log, variables)
        until = time.monotonic() + _START_SECONDS
        while not await gate.is_well():
            self._check_alive(self._child, "while it loaded")
            if time.monotonic() > until:
                raise ModelError(
                    f"engine {engine.name} is not ready after {_START_SECONDS / 60:.0f} minutes; "
                    f"its output: {self._log}"
                )
            await asyncio.sleep(_PAUSE)
        probe = first_answer.Probe(engine, plan.served, session)
        await probe.check(wanted)
        gate.room = await probe.measure(gate.models, gate.count)
        gate.state = READY
        _notify_systemd("READY=1")
        seconds = round(time.monotonic() - self._began, 1)
        up(Up(_url_of(self._listener), gate.models, engine.name, seconds))
        while True:
            self._check_alive(self._child, "while it served")
            await asyncio.sleep(_PAUSE * 5)

    def _check_alive(self, child: process.Child, when: str) -> None:
        if (code := child.code()) is not None:
            raise ModelError(
                f"engine {self._plan.engine.name} ended {when}: "
                f"{explain_server(self._log, code)}. Its output: {self._log}"
            )

    async def _end(self, gate: Gate, runner: web.AppRunner, door: asyncio.Server) -> None:
        """Let answers be finished, then end the engine, all within the time given."""
        gate.state = STOPPING
        _notify_systemd("STOPPING=1")
        until = time.monotonic() + self._plan.call.stop_timeout
        reserve = min(5.0, self._plan.call.stop_timeout / 3)
        while (
            gate.connections.answered
            and time.monotonic() < until - reserve
            and not self._hurry.is_set()
        ):
            await asyncio.sleep(_PAUSE)
        door.close()
        cleanup = asyncio.create_task(runner.cleanup())
        if child := self._child:
            left = 0.0 if self._hurry.is_set() else max(0.0, until - time.monotonic() - 2)
            ending = asyncio.create_task(asyncio.to_thread(child.stop, min(left, _LEAVE_SECONDS)))
            while not ending.done():
                if self._hurry.is_set():
                    with suppress(ProcessLookupError):
                        os.killpg(child.pid, signal.SIGKILL)
                await asyncio.sleep(_PAUSE)
        await cleanup
