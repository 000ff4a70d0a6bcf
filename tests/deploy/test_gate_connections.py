"""Strangers who speak no HTTP, or say nothing: nobody is locked out, no key is written."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from urllib.parse import urlsplit

import pytest

from deploy.gate.connections import Seldom, most_connections
from tests.deploy.serving import FAKE, serving

KEY = "a-key-that-is-long-enough-for-tests"
BEARER = f"Authorization: Bearer {KEY}".encode()
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n" + BEARER + b"\r\n"
JSON = b"Content-Type: application/json\r\n"
MALFORMED = {
    "line ends": b"GET /v1/models HTTP/1.1\nHost: 127.0.0.1\n" + BEARER + b"\n\n",
    "no name": b"GET / HTTP/1.1\r\n" + BEARER + b"\r\n: x\r\n\r\n",
    "method": b"G(T / HTTP/1.1\r\n" + BEARER + b"\r\n\r\n",
    "key as a path": b"GET " + KEY.encode() + b" HTTP/9.9\r\n\r\n",
    "key first": BEARER + b"\r\n\r\n",
    "two lengths": CHAT + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "length": CHAT + b"Content-Length: -1\r\n\r\n",
    "long header": CHAT + b"X: " + b"x" * 20_000 + b"\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "chunk": CHAT + JSON + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nxx\r\n0\r\n\r\n",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("connections")
    # 256 files, as 1,024 are usual: the limit is reached with fewer strangers.
    limited = ["bash", "-c", 'ulimit -n 256 && exec "$@"', "bash", *FAKE]
    arguments = ["good", folder, "--key-env", "HIDDEN"]
    with serving(limited, *arguments, folder=folder, CURATRAIN_CACHE=str(folder), HIDDEN=KEY) as up:
        up.key = KEY
        yield up


def connected(server):
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def sent(server, raw):
    """Status, head and body of the answer to what is no HTTP."""
    with connected(server) as stream:
        stream.sendall(raw)
        told = b""
        while not told.endswith(b"}}") and (piece := stream.recv(65536)):
            told += piece
    head, _, body = told.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode(), body.decode()


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_malformed_http_is_refused_in_our_own_words(server, raw):
    status, head, body = sent(server, raw)
    assert status == 400
    assert json.loads(body)["error"]["code"] == "not_http"
    assert "Server: curatrain\r\n" in head + "\r\n"
    for secret in (KEY, "aiohttp", "Python", "Traceback"):
        assert secret not in head + body


def test_malformed_http_is_told_once_a_minute_and_without_keys(server):
    for raw in MALFORMED.values():
        sent(server, raw)
    told = server.err.read_text()
    assert told.count("is no HTTP") == 1
    assert KEY not in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Length: 1000000000000\r\n", 413),
        (b"Content-Encoding: gzip\r\nContent-Length: 2\r\n", 415),
        (b"Content-Encoding: br\r\nContent-Length: 2\r\n", 415),
        (b"Expect: something\r\n", 417),
    ],
)
def test_heads_that_say_it_all_are_answered_before_the_body(server, head, status):
    began = time.monotonic()
    with connected(server) as stream:
        stream.sendall(CHAT + JSON + head + b"\r\n")
        told = stream.recv(65536).decode()
    assert int(told.split()[1]) == status
    assert "Server: curatrain" in told
    assert json.loads(told.partition("\r\n\r\n")[2])["error"]
    assert time.monotonic() - began < 8


def test_a_host_that_is_none_is_refused(tmp_path):
    with serving(FAKE, "good", tmp_path, folder=tmp_path, CURATRAIN_CACHE=str(tmp_path)) as up:
        for host in ("127.0.0.1:99999", "[::", "", "evil.example", "a b"):
            assert up.request("GET", "/v1/models", Host=host).status in (400, 403)
        assert up.request("GET", "/v1/models").status == 200


@pytest.mark.parametrize(
    "word", [b"", b"GET /v1/models HT", CHAT + JSON + b"Content-Length: 9\r\n\r\n"]
)
def test_silent_strangers_lock_nobody_out(server, word):
    strangers = []
    try:
        for _ in range(600):
            stream = connected(server)
            stream.sendall(word)
            strangers.append(stream)
        began = time.monotonic()
        assert server.chat("hello").said == "echo hello"
        assert time.monotonic() - began < 8
    finally:
        for each in strangers:
            each.close()
    told = server.err.read_text()
    assert told.count("silent ones are closed") == 1
    assert "Too many open files" not in told
    assert len(told) < 5000


def test_the_silent_are_not_waited_for(server):
    with connected(server) as stream:
        stream.settimeout(30)
        stream.sendall(b"GET /health HTTP/1.1\r\nHost:")
        began = time.monotonic()
        assert stream.recv(100) == b""
        assert 10 < time.monotonic() - began < 30


def test_seldom():
    lines = []
    seldom = Seldom(lines.append)
    for _ in range(3):
        seldom("a")
        seldom("b")
    assert lines == ["a", "b"]


def test_connections_and_the_engines_fit_among_the_files():
    code = (
        "import resource; from deploy.gate.connections import most_connections as most\n"
        "for files in (1024, 256, 64):\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (files, 4096))\n"
        "    print(most(1), most(256))"
    )
    from sys import executable

    said = subprocess.run([executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split("\n")[:3] == ["895 640", "127 64", "16 16"]
    assert most_connections(1) <= 2048
