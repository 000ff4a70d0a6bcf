"""What is there after a run was killed, and what the rest of it costs."""

import json
import os
import sqlite3
import sys
from collections import Counter
from contextlib import closing

import pytest

from tests.distill.killing import command, killed_at, one_in_ten, tokens
from tests.distill.lying_server import answer_to

WRITTEN = ("q_answer.jsonl", "q_answer.scores.parquet", "q_answer.manifest.json")


def kept_in(folder):
    with closing(sqlite3.connect(folder / "q_answer.answers.db")) as ledger:
        return {text for (text,) in ledger.execute("SELECT text FROM answers")}


def finished(curate, line):
    done = curate(*line, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def check_killed_runs(curate, serve, questions, tmp_path, count, concurrency, shares):
    server = serve(one_in_ten, tokens=tokens, seconds=0.02)
    file, output = questions(count), tmp_path / "data"
    line = command(server, file, output, "--concurrency", concurrency)
    kept, before = set(), []
    for share in shares:
        killed_at(int(count * share), server, line)
        before.append(len(server.bodies))
        again = Counter(map(answer_to, server.bodies[before[-2] if before[1:] else 0 :]))
        assert not kept & set(again), "an answer that was kept was asked for again"
        assert kept <= kept_in(output)
        kept = kept_in(output)
        assert kept
    told = finished(curate, line)
    assert not kept & set(map(answer_to, server.bodies[before[-1] :]))
    assert (told["read"], told["kept"], told["failed"]) == (count, count, 0)
    # What was under way at a kill is asked again, and nothing else but what failed.
    repeats = sum(times - 1 for times in server.answered.values())
    assert repeats <= concurrency * len(shares)
    assert told["sent_without_outcome"] <= concurrency * len(shares)
    assert repeats <= told["sent_without_outcome"]
    # The same command has nothing to ask, and needs no server; nor has one in another order.
    sent = len(server.bodies)
    first = [(output / name).read_bytes() for name in WRITTEN]
    told = finished(curate, [*line, "--concurrency", "3"])
    assert (told["asked"], len(server.bodies)) == (0, sent)
    assert [(output / name).read_bytes() for name in WRITTEN] == first
    # A run that nothing disturbs gives the same bytes.
    undisturbed = command(server, file, tmp_path / "other", "--concurrency", concurrency)
    assert finished(curate, undisturbed)["failed"] == 0
    assert [(tmp_path / "other" / name).read_bytes() for name in WRITTEN] == first
    return server


def test_killed_runs_lose_nothing_and_ask_nothing_twice(curate, serve, questions, tmp_path):
    check_killed_runs(curate, serve, questions, tmp_path, 240, 12, (0.3, 0.6))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_two_thousand_requests_and_three_kills(curate, serve, questions, tmp_path):
    check_killed_runs(curate, serve, questions, tmp_path, 2000, 64, (0.25, 0.5, 0.75))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_memory_of_twenty_thousand_questions(serve, questions, tmp_path):
    peaks = []
    for count in (2000, 20_000):
        server = serve()
        line = command(server, questions(count), tmp_path / str(count), "--concurrency", 64)
        program = [sys.executable, "-m", "curate", *line, "--timeout", "60"]
        quiet = [
            (os.POSIX_SPAWN_DUP2, os.open(os.devnull, os.O_WRONLY), stream) for stream in (1, 2)
        ]
        child = os.posix_spawn(sys.executable, program, os.environ, file_actions=quiet)
        _, status, usage = os.wait4(child, 0)
        assert status == 0
        assert server.answered.total() == count
        peaks.append(usage.ru_maxrss / 1024)
    assert peaks[1] <= 1.1 * peaks[0]


def test_the_budget_is_never_passed(curate, serve, questions, tmp_path):
    server = serve(one_in_ten, tokens=tokens, seconds=0.02)
    file, output = questions(200), tmp_path / "data"
    most = (len("question 100?") + 80 + 8) / 1e6  # of a request
    cap = 25 * most
    line = command(server, file, output, "--price", "1/1", "--concurrency", 8, "--max-cost", cap)
    killed_at(20, server, line)
    killed_at(40, server, line)
    told = finished(curate, line)
    assert told["stopped"] == "budget"
    assert 0 < told["kept"] < 200
    assert sum(told["dropped"].values()) == 200 - told["kept"]
    assert told["dropped"]["not_asked"] > 0
    assert server.billed <= told["spent"] <= cap
    assert told["spent"] > cap - most
    higher = finished(curate, [*line, "--max-cost", str(10 * cap)])
    assert higher["kept"] == 200
    assert "stopped" not in higher
