"""The fixed question, asked of an engine before anybody else may ask it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence

import aiohttp

from curate.errors import ModelError
from deploy.engines.contract import Engine, Served
from deploy.gate.offer import Room
from deploy.serving import ready

_SECONDS = 300.0


async def check(
    engine: Engine,
    served: Served,
    session: aiohttp.ClientSession,
    wanted: Mapping[str, str],
    stop: asyncio.Event,
) -> bool:
    """Compare an engine's answers with transformers'."""
    for name, answer in wanted.items():
        asking = asyncio.ensure_future(_ask(engine, served, session, name))
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait({asking, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not asking.done():
            asking.cancel()
            return False
        got = asking.result()
        if not ready.agree(answer, got, served.dtype):
            raise _wrong(
                engine,
                f"'{ready.QUESTION}' is answered otherwise by {name}: transformers itself says "
                f"'{answer}', the engine says '{got}'",
            )
    return True


async def measure(
    engine: Engine,
    served: Served,
    session: aiohttp.ClientSession,
    names: Sequence[str],
    count: Callable[[str], int],
) -> Room:
    """Return how many tokens the chat template writes around texts, by the engine's own count."""
    rooms = []
    for name in names:
        around: list[int] = []
        for roles in (["user"], ["system", "user"], ["user", "assistant", "user"]):
            messages = [{"role": role, "content": ready.QUESTION} for role in roles]
            try:
                told = await _answer(engine, served, session, name, messages, 1)
                tokens = int(json.loads(told)["usage"]["prompt_tokens"])
            except (ValueError, KeyError, TypeError):  # a template that knows no system
                tokens = (around[0] if around else Room.question) + len(roles) * count(
                    ready.QUESTION
                )
            around.append(tokens - len(roles) * count(ready.QUESTION))
        rooms.append((around[0], around[1] - around[0], around[2] - around[0]))
    question, system, pair = (max(each) for each in zip(*rooms, strict=True))
    return Room(question, system, pair)


async def _ask(engine: Engine, served: Served, session: aiohttp.ClientSession, name: str) -> str:
    asked = [{"role": "user", "content": ready.QUESTION}]
    told = await _answer(engine, served, session, name, asked, ready.TOKENS)
    try:
        return str(json.loads(told)["choices"][0]["message"]["content"] or "")
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise _wrong(engine, f"it says {told[:200]}") from error


async def _answer(
    engine: Engine,
    served: Served,
    session: aiohttp.ClientSession,
    name: str,
    messages: list[dict[str, str]],
    tokens: int,
) -> str:
    fields = {"model": name, "messages": messages, "max_tokens": tokens, "temperature": 0}
    limit = aiohttp.ClientTimeout(total=_SECONDS)
    body = engine.translate(served, fields)
    try:
        async with session.post("/v1/chat/completions", json=body, timeout=limit) as answer:
            return await answer.text(errors="replace")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _wrong(engine, f"it does not answer ({error or 'in time'})") from error


def _wrong(engine: Engine, what: str) -> ModelError:
    other = "hf" if engine.name == "vllm" else "vllm"
    return ModelError(f"engine {engine.name} is not let loose: {what}. Try --engine {other}")
