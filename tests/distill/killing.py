"""Runs of `curate distill answer` that are killed, against a server that fails one time in ten."""

import hashlib
import subprocess
import sys
import time

from tests.distill.lying_server import RESET, SILENCE, LyingServer, answer_to, completion, http

FAULTS = (
    http(429, {}, ["Retry-After-Ms: 50"]),
    http(500, {}),
    RESET,
    http(200, b'{"choices"', length=500) + LyingServer.CUT,
    http(200, b"<html>"),
    SILENCE,
)


def one_in_ten(body, times):
    number = int(hashlib.sha256(answer_to(body).encode()).hexdigest(), 16)
    if times == 1 and number % 10 == 0:
        return FAULTS[number // 10 % len(FAULTS)]
    return completion(answer_to(body))


def tokens(body):
    """Return what a request is billed for: less than its bytes, and than it may have."""
    return sum(len(m["content"]) for m in body["messages"]), body["max_tokens"] // 2


def command(server, file, output, *more):
    return [
        *("distill", "answer", "--input", str(file)),
        *("--model", f"{server.address}#m", "--output", str(output), "--max-tokens", "8"),
        *("--timeout", "2", *map(str, more)),
    ]


def killed_at(answers, server, line):
    """Start a run, and kill it when the server has given so many answers in all."""
    program = [sys.executable, "-m", "curate"]
    running = subprocess.Popen(
        [*program, *line], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 100
        while server.answered.total() < answers and time.monotonic() < until:
            assert running.poll() is None, "it ended before it was killed"
            time.sleep(0.005)
    finally:
        running.kill()
        running.wait()
