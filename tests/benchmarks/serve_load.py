"""`deploy serve` under load: many at once, clients that leave, bodies that are no requests.

python -m tests.benchmarks.serve_load [--engine hf] [--engine vllm] [--model smollm2]
    [--levels 1 8 32 200] [--tokens 32] [--seconds 120]

Starts the server itself, on a free port of 127.0.0.1, and ends it. At each level so many clients
ask until each has had two answers or the time is over; what was not answered by then is counted.
Without --engine: hf, and vLLM where `deploy setup vllm` has been run. Every question is another,
so that no cache of prompts answers for the model. Greedy.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from curate.system import environments
from deploy.engines import vllm
from tests.deploy.serving import DEPLOY, serving

ROUNDS = 2
MALFORMED = [
    b"",
    b"{",
    b"[]",
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"messages": []}',
    b'{"messages": "hello"}',
    b'{"messages": [{"role": "robot", "content": "x"}]}',
    b'{"messages": [{"role": "user", "content": 5}]}',
    b'{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
    b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": -1}',
    b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": 1e99}',
    b'{"messages": [{"role": "user", "content": "x"}], "model": "other"}',
    b'{"messages": [{"role": "user", "content": "x"}], "unheard_of": 1}',
    b'{"messages": [{"role": "user", "content": "\\ud83d"}]}',
    b'{"messages": [{"role": "user", "content": "' + b"long " * 100_000 + b'"}]}',
    b" " * (2 << 20),
]


class Client:
    """Asks one server."""

    def __init__(self, session: aiohttp.ClientSession, tokens: int) -> None:
        self._session, self._tokens = session, tokens
        self._asked = 0

    def body(self, **fields: Any) -> dict[str, Any]:
        self._asked += 1
        text = f"Write {self._asked} facts about the number {self._asked * 37}."
        asked = {"messages": [{"role": "user", "content": text}], "temperature": 0}
        return {**asked, "max_tokens": self._tokens, **fields}

    async def ask(self) -> tuple[int, float, int]:
        """Status, seconds, tokens of the answer."""
        began = time.perf_counter()
        async with self._session.post("/v1/chat/completions", json=self.body()) as answer:
            told = await answer.json(content_type=None)
            tokens = told["usage"]["completion_tokens"] if answer.status == 200 else 0
            return answer.status, time.perf_counter() - began, tokens

    async def leave(self) -> None:
        """Go away when the first piece of the answer has come."""
        body = self.body(stream=True, max_tokens=256)
        async with self._session.post("/v1/chat/completions", json=body) as answer:
            await answer.content.readany()

    async def send(self, raw: bytes) -> int:
        headers = {"Content-Type": "application/json"}
        async with self._session.post("/v1/chat/completions", data=raw, headers=headers) as answer:
            await answer.read()
            return answer.status


async def level(client: Client, clients: int, seconds: float) -> dict[str, Any]:
    """So many clients at once, one question after the other each."""
    until = time.perf_counter() + seconds
    answered: list[tuple[int, float, int]] = []

    async def one() -> int:
        for number in range(ROUNDS):
            left = until - time.perf_counter()
            try:
                answered.append(await asyncio.wait_for(client.ask(), max(0.0, left)))
            except TimeoutError:
                return ROUNDS - number
        return 0

    began = time.perf_counter()
    late = sum(await asyncio.gather(*(one() for _ in range(clients))))
    took = time.perf_counter() - began
    times = sorted(seconds for status, seconds, _ in answered if status == 200)
    return {
        "clients": clients,
        "answered": len(times),
        "refused": len(answered) - len(times),
        "late": late,
        "seconds": round(took, 1),
        "requests_per_second": round(len(times) / took, 2),
        "tokens_per_second": round(sum(tokens for *_, tokens in answered) / took, 1),
        "p50": round(statistics.median(times), 2) if times else None,
        "p95": round(times[math.ceil(0.95 * len(times)) - 1], 2) if times else None,
    }


async def leaving(client: Client) -> dict[str, Any]:
    """Eight clients leave midway; how long the next one waits for its answer."""
    await asyncio.gather(*(client.leave() for _ in range(8)))
    status, seconds, _ = await client.ask()
    return {"left": 8, "next_status": status, "next_seconds": round(seconds, 2)}


async def malformed(client: Client) -> dict[str, Any]:
    """Ten of each body that is no request, all at once, and one question after them."""
    found = await asyncio.gather(*(client.send(each) for each in MALFORMED * 10))
    counts = {str(status): found.count(status) for status in sorted(set(found))}
    status, seconds, _ = await client.ask()
    return {"statuses": counts, "next_status": status, "next_seconds": round(seconds, 2)}


async def measured(url: str, told: argparse.Namespace) -> dict[str, Any]:
    limit = aiohttp.ClientTimeout(total=told.seconds * 2)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, timeout=limit, connector=connector) as session:
        client = Client(session, told.tokens)
        await client.ask()
        levels = []
        for each in told.levels:
            levels.append(await level(client, each, told.seconds))
            print(json.dumps(levels[-1]), flush=True)
        return {
            "levels": levels,
            "malformed": await malformed(client),
            "leaving": await leaving(client),
        }


def run(engine: str, told: argparse.Namespace) -> dict[str, Any]:
    arguments = ["serve", told.model, "--engine", engine, "--port", 0, "--json"]
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(DEPLOY, *arguments, folder=Path(folder)) as server,
    ):
        found = asyncio.run(measured(server.url, told))
        stopped = server.stop()
        return {"engine": engine, **found, "stopped_after": round(stopped, 1)}


def installed() -> list[str]:
    return ["hf", *(["vllm"] if environments.python(vllm.environment()) else [])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", action="append", choices=["hf", "vllm"])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 8, 32, 200])
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=120)
    told = parser.parse_args()
    for engine in told.engine or installed():
        print(f"engine {engine}, {told.model}, {told.tokens} tokens an answer", flush=True)
        print(json.dumps(run(engine, told)), flush=True)


if __name__ == "__main__":
    main()
