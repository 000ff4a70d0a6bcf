"""Servers of tests: started as users start them, asked over HTTP, and seen to leave nothing."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DEPLOY = [sys.executable, "-c", "from deploy.cli import main; main()"]
FAKE = [sys.executable, "-m", "tests.deploy.fake_serve"]
JSON = {"Content-Type": "application/json"}


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def said(self) -> str:
        return self.json["choices"][0]["message"]["content"]

    @property
    def error(self) -> str:
        return self.json["error"]["message"]

    @property
    def events(self) -> list[Any]:
        lines = [line[5:].strip() for line in self.text.splitlines() if line.startswith("data:")]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]


@dataclass
class Server:
    """A running `deploy serve`."""

    process: subprocess.Popen[str]
    url: str
    err: Path
    models: list[str] = field(default_factory=list)
    key: str | None = None

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = self.connect()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.key and "Authorization" not in given:
            given["Authorization"] = f"Bearer {self.key}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        connection.request(method, path, body, {**(JSON if body is not None else {}), **given})
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        connection.close()
        return Answer(answer.status, answer.headers, text)

    def connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        return http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)

    def chat(self, text: str, **fields: Any) -> Answer:
        body = {"messages": [{"role": "user", "content": text}], "temperature": 0, **fields}
        return self.request("POST", "/v1/chat/completions", body)

    def group(self) -> list[int]:
        """Every process that was started by the server, however far down, but itself."""
        return descendants(self.process.pid)

    def stop(self, how: signal.Signals = signal.SIGTERM, within: float = 40) -> float:
        began = time.monotonic()
        self.process.send_signal(how)
        self.process.wait(within)
        return time.monotonic() - began


def descendants(pid: int) -> list[int]:
    parents = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                told = (each / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(each.name)] = int(told[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def alive(pids: list[int]) -> list[int]:
    """Those that still run; entries that are only not reaped yet do not count."""
    found = []
    for each in pids:
        try:
            state = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            found.append(each)
    return found


@contextmanager
def serving(
    command: list[str], *arguments: object, folder: Path, within: float = 90, **variables: str
) -> Iterator[Server]:
    """A server that is ready; in the end neither it nor anything it started is left."""
    err = folder / "server.err"
    with err.open("w") as stream:
        process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            env={**os.environ, **variables},
        )
    started: list[int] = []
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line, err.read_text()
        told = json.loads(line)
        server = Server(process, told["url"], err, told["models"])
        started = server.group()
        yield server
    finally:
        started += descendants(process.pid)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(within)
            except subprocess.TimeoutExpired:
                process.kill()
        process.stdout.close()
        left = alive(started)
        for each in left:
            os.kill(each, signal.SIGKILL)
        assert not left, "processes were left behind"


def log(server: Server) -> str:
    """What the engine of fake_serve has written."""
    (found,) = server.err.parent.glob(f"logs/serve-fake-{server.url.rpartition(':')[2]}.log")
    return found.read_text()


def until(happens: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something has happened."""
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
