"""`deploy serve` with an engine that is none.

python -m tests.deploy.fake_serve BEHAVIOUR FOLDER [--key-env NAME] [--host H] [--stop-timeout S]
"""

# ruff: noqa: T201 - what it prints is read by the tests

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from curate import console
from curate.system.keys import read_key
from deploy.engines.contract import Engine, Launch, ServeCall, Served
from deploy.engines.hf import free_port
from deploy.serving import first_answer
from deploy.serving.serve import Up, serve
from deploy.serving.served_model import check_host
from tests.deploy.fake_engine import GOOD


def launch(behaviour: str) -> Launch:
    port = free_port()
    command = (sys.executable, "-m", "tests.deploy.fake_engine", behaviour, str(port))
    return Launch(command, {}, f"http://127.0.0.1:{port}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("behaviour")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key-env")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--parallel", type=int, default=8)
    parser.add_argument("--stop-timeout", type=float, default=5)
    told = parser.parse_args()
    words = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    words.save(str(told.folder / "tokenizer.json"))

    async def answers(served, names, scratch, say):
        while (told.folder / "wait").exists():
            await asyncio.sleep(0.05)
        return dict.fromkeys(names, GOOD)

    first_answer.expected = answers
    served = Served("fake", told.folder, (), None, "", {}, 200, "float32", False)
    engine = Engine(
        "fake",
        frozenset({"seed"}),
        False,
        "/health",
        True,
        told.parallel,
        lambda served: ("fake",),
        lambda served, folder, key: launch(told.behaviour),
        lambda served, fields: dict(fields),
    )
    key = read_key(told.key_env, None)
    check_host(told.host, key, console.say)
    call = ServeCall(
        "fake",
        host=told.host,
        port=told.port,
        api_key_env=told.key_env,
        stop_timeout=told.stop_timeout,
    )
    serve(call, served, engine, key, console.say, up)


def up(told: Up) -> None:
    print(json.dumps({"url": told.url, "models": told.models}), flush=True)


if __name__ == "__main__":
    console.run(main)
