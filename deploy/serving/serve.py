"""A model behind the gate: started, compared with transformers, served, and ended as a whole."""

from __future__ import annotations

import asyncio
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
from curate.system import programs
from curate.system.cache import cache_dir
from curate.system.failure import explain_server
from deploy.engines.contract import Engine, ServeCall, Served
from deploy.gate.app import READY, STOPPING, Gate
from deploy.gate.connections import BACKLOG, Connection, Connections, Seldom, most_connections
from deploy.serving import first_answer

_START_SECONDS = 1800.0  # large models are read from slow disks
_LEAVE_SECONDS = 10.0  # for an engine that has nothing to do any more
_PAUSE = 0.1


@dataclass(frozen=True)
class Up:
    url: str
    models: tuple[str, ...]  # names that answer
    engine: str
    seconds: float  # from the start to here


def serve(
    call: ServeCall,
    served: Served,
    engine: Engine,
    key: str | None,
    say: Callable[[str], None],
    up: Callable[[Up], None],
) -> None:
    """Serve until a signal says stop; nothing of the engine is left when this returns.

    `key` is what clients have to send, None if they need none.
    """
    if not 0 <= call.port < 65536:
        raise UsageError(f"--port {call.port}: a port is a number from 0 (any free one) to 65535")
    with tempfile.TemporaryDirectory(prefix="curatrain-") as scratch:  # for this user only
        asyncio.run(_Run(call, served, engine, key, Path(scratch), say, up).whole())


def _notify_systemd(state: str) -> None:
    """Tell systemd, where it started us, how things stand (sd_notify's protocol)."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, suppress(OSError):
            sender.sendto(state.encode(), address.replace("@", "\0", 1))


class _Run:
    def __init__(
        self,
        call: ServeCall,
        served: Served,
        engine: Engine,
        clients_key: str | None,
        scratch: Path,
        say: Callable[[str], None],
        up: Callable[[Up], None],
    ) -> None:
        self._call, self._served, self._engine = call, served, engine
        self._clients_key, self._scratch, self._say, self._up = clients_key, scratch, say, up
        self._began, self._key = time.monotonic(), secrets.token_urlsafe(32)
        self._launch = engine.launch(served, scratch, self._key)
        self._child: programs.Child | None = None
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()

    async def whole(self) -> None:
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
        within = f"within {self._call.stop_timeout:g} s"
        self._say(f"stopping, {within} (once more Ctrl-C: at once) …")
        self._stop.set()

    async def _open_gate(
        self, session: aiohttp.ClientSession
    ) -> tuple[Gate, web.AppRunner, asyncio.Server]:
        engine, loop, seldom = self._engine, asyncio.get_running_loop(), Seldom(self._say)
        loop.set_exception_handler(seldom.lost)
        connections = Connections(most_connections(engine.parallel), seldom)
        gate = Gate(self._served, engine, session, self._clients_key, connections)
        # A client that leaves ends its handler, and that ends the engine's work for it.
        runner = web.AppRunner(gate.app(), handler_cancellation=True, shutdown_timeout=1.0)
        await runner.setup()
        server = runner.server
        assert server is not None
        host, port = self._call.host, self._call.port
        try:
            door = await loop.create_server(
                lambda: Connection(server, connections), host, port, backlog=BACKLOG
            )
        except OSError as error:
            why = str(error.strerror).rpartition(": ")[2]  # behind what asyncio says of the address
            other = "give another --host or --port"
            raise UsageError(f"cannot listen on {host} port {port}: {why}; {other}") from error
        for listener in door.sockets:
            with socket.socket(fileno=os.dup(listener.fileno())) as same:
                same.listen(512)  # that many may wait; `backlog` also says how many it accepts
        host, port = door.sockets[0].getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        self._url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._log = cache_dir() / "logs" / f"serve-{engine.name}-{port}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.unlink(missing_ok=True)
        self._log.touch(mode=0o600)
        return gate, runner, door

    async def _serve(self, session: aiohttp.ClientSession, gate: Gate) -> None:
        served, engine, hidden = self._served, self._engine, self._call.api_key_env
        wanted = await first_answer.expected(served, gate.models, self._scratch, self._say)
        self._say(f"engine {engine.name} loads {', '.join(wanted)} (its output: {self._log}) …")
        # The engine does not get to see the clients' key.
        variables = {**({hidden: ""} if hidden else {}), **self._launch.variables}
        self._child = programs.start(self._launch.arguments, self._log, variables)
        until = time.monotonic() + _START_SECONDS
        while not await gate.is_well():
            self._check_alive(self._child, "while it loaded")
            if time.monotonic() > until:
                late = f"is not ready after {_START_SECONDS / 60:.0f} minutes"
                raise ModelError(f"engine {engine.name} {late}; its output: {self._log}")
            await asyncio.sleep(_PAUSE)
        probe = first_answer.Probe(engine, served, session)
        await probe.check(wanted)
        gate.room = await probe.measure(gate.models, gate.count)
        gate.state = READY
        _notify_systemd("READY=1")
        seconds = round(time.monotonic() - self._began, 1)
        self._up(Up(self._url, gate.models, engine.name, seconds))
        while True:
            self._check_alive(self._child, "while it served")
            await asyncio.sleep(_PAUSE * 5)

    def _check_alive(self, child: programs.Child, when: str) -> None:
        if (code := child.code()) is not None:
            why = f"{explain_server(self._log, code)}. Its output: {self._log}"
            raise ModelError(f"engine {self._engine.name} ended {when}: {why}")

    async def _end(self, gate: Gate, runner: web.AppRunner, door: asyncio.Server) -> None:
        """Let answers be finished, then end the engine, all within the time given."""
        gate.state = STOPPING
        _notify_systemd("STOPPING=1")
        until = time.monotonic() + self._call.stop_timeout
        reserve = min(5.0, self._call.stop_timeout / 3)
        while gate.connections.answered and not self._hurry.is_set():
            if time.monotonic() >= until - reserve:
                break
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
