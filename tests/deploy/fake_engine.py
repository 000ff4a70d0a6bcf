"""An engine that does what the question says; answers the fixed one rightly unless told otherwise.

python -m tests.deploy.fake_engine BEHAVIOUR PORT
"""

# ruff: noqa: T201 - what it prints is read by the tests

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

from aiohttp import web

from deploy.serving import first_answer

GOOD = "The capital of France is Paris."


def chunk(text: str, reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    return f"data: {json.dumps({'model': 'fake', 'choices': [choice]})}\n\n".encode()


async def chat(request: web.Request) -> web.StreamResponse:
    told = await request.json()
    text = told["messages"][-1]["content"]
    print("asked", json.dumps(told), request.headers.get("Authorization"), flush=True)
    if text == "fail":
        raise web.HTTPInternalServerError(text="Traceback: secret")
    if text == "detail":
        return web.json_response({"detail": "Invalid role"}, status=400)
    if told.get("stream"):
        return await stream(request, text)
    if text.startswith("slow"):
        try:
            await asyncio.sleep(float(text.split()[1]))
        except asyncio.CancelledError:
            print("left", flush=True)
            raise
    said = GOOD if text == first_answer.QUESTION and sys.argv[1] != "nonsense" else f"echo {text}"
    message = {"role": "assistant", "content": said}
    return web.json_response({"choices": [{"message": message, "finish_reason": "stop"}]})


async def stream(request: web.Request, text: str) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    try:
        for number in range(600 if text == "long" else 3):
            await answer.write(chunk(f"{number} "))
            await asyncio.sleep(0.05)
            if text == "break" and number == 1:
                assert request.transport
                request.transport.abort()
                return answer
    except (asyncio.CancelledError, ConnectionError):
        print("left", flush=True)
        raise
    await answer.write(chunk("", "length" if text == "cut" else "stop") + b"data: [DONE]\n\n")
    return answer


async def health(request: web.Request) -> web.Response:
    return web.json_response({})


async def secret(request: web.Request) -> web.Response:
    return web.json_response({"leak": True})


def main(behaviour: str, port: int) -> None:
    print("environment", json.dumps(sorted(os.environ)), os.environ.get("HIDDEN"), flush=True)
    if behaviour == "memory":
        print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB", flush=True)
        sys.exit(1)
    if behaviour == "broken":
        print("2026-01-01 ERROR [x.py:1] ValueError: this checkpoint is of no known kind")
        print("RuntimeError: Engine core initialization failed. See root cause above.", flush=True)
        sys.exit(1)
    if behaviour == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "stubborn":
        deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        subprocess.Popen([sys.executable, "-c", deaf])
        time.sleep(0.5)
    if behaviour == "loading":
        time.sleep(600)
    app = web.Application()
    app.router.add_get("/health", health)
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/metrics", secret)
    app.router.add_post("/tokenize", secret)
    web.run_app(
        app,
        host="127.0.0.1",
        port=port,
        handler_cancellation=True,
        handle_signals=behaviour != "stubborn",
        print=None,
    )


if __name__ == "__main__":
    if sys.argv[1] == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    main(sys.argv[1], int(sys.argv[2]))
