"""Odd requests, the same for every engine: nothing of them may bring a server down."""

from __future__ import annotations

import json
import socket
from urllib.parse import urlsplit

import numpy as np

FIELDS = ["model", "max_tokens", "max_new_tokens", "temperature", "top_p", "stream", "n", "stop",
          "seed", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty",
          "logprobs", "top_logprobs", "stream_options", "ignore_eos", "min_tokens", "messages",
          "response_format", "tools", "echo", "user", "do_sample", "x"]  # fmt: skip
VALUES = ["0", "-1", "1", "1e-320", "1e999", "-1e999", "NaN", "true", "null", '""', '"x"', "[]",
          "{}", "1e308", "0.5", "1" + "0" * 30, "[[]]", '{"a": 1}', '"string"', "-0.0", "2",
          '"\\ud83d"', '"' + "m" * 5000 + '"', '[{"role": "user"}]', "3.7"]  # fmt: skip
HEADS = ["Content-Length: -1", "Content-Length: 99999999999", "Transfer-Encoding: chunked",
         "Transfer-Encoding: x", "Content-Encoding: gzip", "Content-Encoding: br", "Expect: x",
         "Host: a b", "Host: 127.0.0.1:99999", "Upgrade: websocket\r\nConnection: Upgrade",
         "X: \x01", ": x", "X", "Content-Type: ;;", "Content-Type: application/json; charset=x",
         "X: " + "x" * 9000, "Authorization: Bearer x", "Connection: close",
         "Authorization : Bearer KEY"]  # fmt: skip
LINES = ["GET / HTTP/1.1", "POST /v1/chat/completions HTTP/1.1", "GET /v1/models HTTP/9.9",
         "G(T / HTTP/1.1", "GET  /x", "CONNECT a:1 HTTP/1.1", "OPTIONS * HTTP/1.1", "",
         "GET http://[::1/ HTTP/1.1", "POST /v1/chat/completions?%zz HTTP/1.0", "KEY",
         "GET /%00%ff HTTP/1.1", "HEAD /health HTTP/1.1", "PRI * HTTP/2.0"]  # fmt: skip


def bodies(number):
    """Bodies of chat completions in which one to three fields are odd."""
    rng = np.random.default_rng(1)
    for _ in range(number):
        fields = {"messages": '[{"role": "user", "content": "Hi"}]', "max_tokens": "2"}
        for name in rng.choice(FIELDS, rng.integers(1, 4), replace=False):
            fields[str(name)] = str(rng.choice(VALUES))
        text = ", ".join(f"{json.dumps(name)}: {value}" for name, value in fields.items())
        raw = f"{{{text}}}".encode()
        yield raw if rng.random() < 0.9 else raw[: rng.integers(0, len(raw))]


def heads(number, key):
    """Requests, most of them malformed, that hold the key somewhere."""
    rng = np.random.default_rng(2)
    for _ in range(number):
        lines = [str(rng.choice(LINES)), "Host: 127.0.0.1", "Authorization: Bearer KEY"]
        lines += map(str, rng.choice(HEADS, rng.integers(0, 3), replace=False))
        end = "\r\n" if rng.random() < 0.8 else "\n"
        yield (end.join(lines) + end * 2 + "{}").replace("KEY", key).encode()


def status_of(server, raw):
    """Send bytes as they are; the status, 0 if the connection was closed without a word."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=45) as stream:
        stream.sendall(raw)
        stream.shutdown(socket.SHUT_WR)
        try:
            told = stream.recv(65536)
        except ConnectionResetError:
            return 0
    assert server.key.encode() not in told
    assert b"aiohttp" not in told
    return int(told.split()[1]) if told else 0


def check(server, log):
    """No 5xx, no hang, no traceback, no key; and it answers normally afterwards."""
    for raw in bodies(230):
        answer = server.request("POST", "/v1/chat/completions", raw)
        assert answer.status < 500, (raw, answer.text)
        assert len(answer.text) < 20_000
    for raw in heads(150, server.key):
        assert status_of(server, raw) < 500, raw
    for told in (server.err.read_text(), log()):
        assert server.key not in told
        assert "Traceback" not in told
    model = server.models[-1]
    said = server.chat("What is the capital of France?", max_tokens=24, model=model).said
    assert said.strip().endswith("Paris.")
