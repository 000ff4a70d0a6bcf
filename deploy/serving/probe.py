"""The fixed question, asked of an engine before anybody else may ask it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import aiohttp

from curate.errors import ModelError
from deploy.engines.contract import Engine, Served
from deploy.serving import ready

_SECONDS = 300.0


async def check(
    engine: Engine,
    served: Served,
    session: aiohttp.ClientSession,
    wanted: Mapping[str, str],
    stop: asyncio.Event,
) -> bool:
    """Compare an engine's answers with transformers'.

    Args:
        engine: That answers.
        served: What it answers with.
        session: Connected to it.
        wanted: Name of a model or adapter to transformers' answer.
        stop: Ends the asking.

    Returns:
        False if it was stopped before all was compared.

    Raises:
        ModelError: It answers something else; shows both.
    """
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


async def _ask(engine: Engine, served: Served, session: aiohttp.ClientSession, name: str) -> str:
    fields = {
        "model": name,
        "messages": [{"role": "user", "content": ready.QUESTION}],
        "max_tokens": ready.TOKENS,
        "temperature": 0,
    }
    limit = aiohttp.ClientTimeout(total=_SECONDS)
    told, body = "", engine.translate(served, fields)
    try:
        async with session.post("/v1/chat/completions", json=body, timeout=limit) as answer:
            told = await answer.text(errors="replace")
            return str(json.loads(told)["choices"][0]["message"]["content"] or "")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _wrong(engine, f"it does not answer ({error or 'in time'})") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise _wrong(engine, f"it says {told[:200]}") from error


def _wrong(engine: Engine, what: str) -> ModelError:
    other = "hf" if engine.name == "vllm" else "vllm"
    return ModelError(f"engine {engine.name} is not let loose: {what}. Try --engine {other}")
