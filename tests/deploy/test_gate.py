"""The gate before an engine: what gets through, what does not, and what is left when it ends."""

from __future__ import annotations

import json
import re
import threading
import time

import pytest

from tests.deploy.serving import FAKE, log, serving, until

KEY = "a-key-that-is-long-enough-for-tests"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("gate")


@pytest.fixture(scope="module")
def server(cache):
    with serving(FAKE, "good", cache, folder=cache, CURATRAIN_CACHE=str(cache)) as found:
        yield found


@pytest.fixture(scope="module")
def locked(cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("locked")
    arguments = ["good", folder, "--key-env", "HIDDEN"]
    with serving(FAKE, *arguments, folder=folder, CURATRAIN_CACHE=str(folder), HIDDEN=KEY) as found:
        found.key = KEY
        yield found


# What gets through


def test_a_question_is_passed_on_whole_and_nothing_is_left_to_the_engine(server):
    answer = server.chat("hello", max_tokens=7)
    assert (answer.status, answer.said) == (200, "echo hello")
    asked = re.findall(r'^asked (\{.*"hello".*\}) Bearer', log(server), re.MULTILINE)[-1]
    assert json.loads(asked) == {
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0,
        "max_tokens": 7,
        "model": "fake",
        "top_p": 1.0,
        "stream": False,
    }


def test_the_tutorials_body_works_and_is_told_how_it_was_taken(server):
    answer = server.chat("hello", max_new_tokens=7)
    assert answer.status == 200
    assert answer.headers["X-Curatrain-Note"] == "max_new_tokens was taken as max_tokens"
    assert '"max_tokens": 7' in log(server)


def test_streams_arrive_piece_by_piece(server):
    answer = server.chat("hello", stream=True)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    *pieces, last = answer.events
    assert last == "[DONE]"
    assert [each["choices"][0]["delta"]["content"] for each in pieces] == ["0 ", "1 ", "2 ", ""]


def test_an_engine_that_breaks_off_is_told_in_the_stream(server):
    answer = server.chat("break", stream=True)
    assert answer.events[-1]["error"]["code"] == "engine_failed"


def test_refusals_of_the_engine_have_one_form_and_failures_show_nothing_of_it(server):
    refused = server.chat("detail")
    assert (refused.status, refused.error) == (400, "Invalid role")
    failed = server.chat("fail")
    assert failed.status == 502
    assert "Traceback" not in failed.text


def test_health_and_models(server, locked):
    assert server.request("GET", "/health").json == {"status": "ready"}
    assert locked.request("GET", "/health", Authorization="").json == {"status": "ready"}
    one = server.request("GET", "/v1/models/fake")
    assert (one.status, one.json["id"], one.json["object"]) == (200, "fake", "model")
    assert server.request("GET", "/v1/models/other").status == 404
    listed = server.request("GET", "/v1/models").json
    assert [each["id"] for each in listed["data"]] == ["fake"]


# What does not


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/metrics"),
        ("POST", "/tokenize"),
        ("GET", "/docs"),
        ("GET", "/"),
        ("POST", "//v1/chat/completions"),
        ("POST", "/v1/chat/completions/../../tokenize"),
        ("POST", "/v1/completions"),
        ("GET", "/v1/chat/completions/"),
    ],
)
def test_nothing_else_of_the_engine_is_reachable(server, method, path):
    answer = server.request(method, path, {} if method == "POST" else None)
    assert answer.status == 404
    assert "leak" not in answer.text
    assert "POST /v1/chat/completions" in answer.error


def test_wrong_methods_are_told(server):
    assert server.request("GET", "/v1/chat/completions").status == 405
    assert server.request("DELETE", "/v1/models").status == 405


def test_other_content_types_are_refused_as_web_pages_could_send_them(server):
    answer = server.request("POST", "/v1/chat/completions", b"{}", Content_Type="text/plain")
    assert answer.status == 415


def test_other_names_of_this_machine_are_refused_without_a_key(server, locked):
    assert server.request("GET", "/v1/models", Host="evil.example").status == 403
    assert locked.request("GET", "/v1/models", Host="my.example").status == 200


def test_large_bodies_are_refused(server):
    assert server.request("POST", "/v1/chat/completions", b" " * (2 << 20)).status == 413


def test_no_answer_tells_what_the_server_is_made_of(server):
    for answer in (server.chat("hi"), server.request("GET", "/nothing")):
        assert answer.headers["Server"] == "curatrain"


# The key


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/nothing", "/metrics"])
@pytest.mark.parametrize("sent", ["", "Bearer", "Bearer wrong", f"Basic {KEY}", KEY, "Bearer é"])
def test_everything_wants_the_key(locked, path, sent):
    answer = locked.request("GET", path, Authorization=sent)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert KEY not in answer.text


def test_the_key_opens(locked):
    assert locked.chat("hello").said == "echo hello"
    wrong = locked.request("POST", "/v1/chat/completions", {}, Authorization="Bearer x")
    assert wrong.status == 401


def test_the_key_is_nowhere_to_be_read(locked):
    locked.chat("hello")
    told = locked.err.read_text() + log(locked)
    for pid in (locked.process.pid, *locked.group()):
        with open(f"/proc/{pid}/cmdline") as stream:
            told += stream.read()
    assert KEY not in told
    # The engine gets a key of its own, and does not even see ours.
    assert '"HIDDEN"' in log(locked)
    with open(f"/proc/{locked.group()[0]}/environ") as stream:
        assert KEY not in stream.read()


# Clients that leave, and many at once


def test_who_leaves_ends_the_engines_work(server):
    before = log(server).count("left")
    connection = server.connect()
    body = {"messages": [{"role": "user", "content": "long"}], "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body),
                       {"Content-Type": "application/json"})  # fmt: skip
    assert connection.getresponse().read(10)
    connection.close()
    until(lambda: log(server).count("left") > before)
    connection = server.connect()
    body = {"messages": [{"role": "user", "content": "slow 60"}]}
    connection.request("POST", "/v1/chat/completions", json.dumps(body),
                       {"Content-Type": "application/json"})  # fmt: skip
    until(lambda: "slow 60" in log(server))
    connection.close()
    until(lambda: log(server).count("left") > before + 1)


def test_no_more_go_to_the_engine_at_once_than_it_takes(tmp_path):
    arguments = ["good", tmp_path, "--parallel", "1"]
    with serving(FAKE, *arguments, folder=tmp_path, CURATRAIN_CACHE=str(tmp_path)) as one:
        began = time.monotonic()
        threads = [threading.Thread(target=one.chat, args=("slow 0.4",)) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert time.monotonic() - began >= 4 * 0.4
