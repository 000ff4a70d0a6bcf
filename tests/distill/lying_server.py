"""A server with OpenAI's interface that answers by what it is asked, and fails as it is told to."""

import asyncio
import hashlib
import json
import threading
import time
from collections import Counter


def answer_to(body):
    """Return an answer that depends on the request alone."""
    said = json.dumps([body["messages"], body.get("seed")], sort_keys=True)
    return f"answer {hashlib.sha256(said.encode()).hexdigest()[:12]}"


def completion(text, end="stop", usage=(10, 5), **more):
    message = {"role": "assistant", "content": text}
    prompt, response = usage
    total = {"prompt_tokens": prompt, "completion_tokens": response}
    return {
        "model": "m-1",
        "choices": [{"message": message, "finish_reason": end}],
        "usage": total,
        **more,
    }


def http(status, body=b"", headers=(), length=None):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


RESET, SILENCE, EMPTY_LINES = "reset", "silence", "empty lines"


class LyingServer:
    """Sends what `script` gives for a body and the number of times it was asked it, from 1.

    That is bytes to be sent as they are, an object to be sent as JSON, RESET, SILENCE or
    EMPTY_LINES; the connection is cut after bytes that end in CUT.
    """

    CUT = b"\0cut"

    def __init__(self, script=None, tokens=None, seconds=0.0, models=("m",)):
        self.script = script or (lambda body, times: completion(answer_to(body)))
        self.tokens, self.seconds, self.models = tokens, seconds, models
        self.asked, self.answered = Counter(), Counter()
        self.bodies, self.headers, self.times, self.paths = [], [], [], []
        self.now = self.most = self.billed = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(10)
        self.address = f"http://127.0.0.1:{self.port}/v1"

    def close(self):
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    def _run(self):
        asyncio.run(self._serve())

    async def _serve(self):
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._tasks = set()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(asyncio.current_task())

    async def _one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
        headers = {name.lower(): value for name, value in headers.items()}
        method, path, _ = head[0].split(" ")
        self.paths.append(path)
        self.headers.append(headers)
        if method == "GET":
            writer.write(http(200, {"data": [{"id": each} for each in self.models]}))
            await writer.drain()
            return True
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        key = json.dumps([body["messages"], body.get("seed")], sort_keys=True)
        self.asked[key] += 1
        self.bodies.append(body)
        self.times.append(time.monotonic())
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.seconds)
            sent = self.script(body, self.asked[key])
        finally:
            self.now -= 1
        if isinstance(sent, dict | list):
            if isinstance(sent, dict) and sent.get("choices") and self.tokens:
                prompt, response = self.tokens(body)
                sent["usage"] = {"prompt_tokens": prompt, "completion_tokens": response}
                self.bill(body)
            self.answered[key] += 1
            sent = http(200, sent)
        if sent == RESET:
            return False
        if sent == SILENCE:
            await asyncio.sleep(600)
        if sent == EMPTY_LINES:
            writer.write(http(200, b"", length=10_000))
            while True:
                writer.write(b"\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.write(sent.removesuffix(self.CUT))
        await writer.drain()
        return not sent.endswith(self.CUT)

    def bill(self, body):
        """Add up what an answer costs at prices of 1 and 1 a million."""
        self.billed += sum(self.tokens(body)) / 1e6
