"""Answers of a server: what is sent, what is tried again, and what every odd answer becomes."""

import asyncio
import logging
import threading
import time
from types import SimpleNamespace

import pytest

from curate.errors import ModelError, UsageError
from curate.models import asking
from curate.models.generate import load_generator, load_server
from curate.models.openai_client import key_for
from curate.models.protocols import CUT, FILTERED, STOPPED, TOO_LONG
from tests.fake_server import FakeServer, said
from tests.models.tiny import answers

SECRET = "sk-very-secret"
TEXTS = ("long", "cut", "none", "bad", "worse", "longer", "parts", "thought")


@pytest.fixture
def serve(monkeypatch):
    for name in ("CURATRAIN_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    made = []

    def start(script=lambda text, count: (200, said(f"[{text}]"), {}), **more):
        made.append(FakeServer(script, **more))
        return made[-1]

    yield start
    for each in made:
        each.close()


def ask(*texts):
    return [[{"role": "user", "content": text}] for text in texts]


@pytest.fixture
def patient(monkeypatch):
    """A server's model that has a key and waits no real time."""

    def load(server, slept=None):
        monkeypatch.setenv("CURATRAIN_API_KEY", SECRET)
        # Time stands still but for what is waited, and nothing is waited for.
        now = [time.monotonic()]

        async def sleep(seconds):
            now[0] += seconds
            if slept is not None:
                slept.append(seconds)

        monkeypatch.setattr(asking, "time", SimpleNamespace(monotonic=lambda: now[0]))
        monkeypatch.setattr(asking, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
        return load_server(f"{server.address}#m")

    return load


def test_answers_come_back_in_order_several_at_once(serve):
    gate = threading.Barrier(8, timeout=10)

    def together(text, count):
        if count <= 8:
            gate.wait()  # passes only if eight requests are under way at the same time
        return 200, said(f" [{text}] "), {}

    server = serve(together)
    model = load_generator(server.address)
    assert model.name == f"{server.address}#m"
    texts = [f"q{each}" for each in range(9)]
    assert answers(model, ask(*texts), 7) == [f"[{each}]" for each in texts]
    assert server.most == 8
    body, key = server.asked[0]
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 7, 0)
    assert key is None


def test_what_passes_is_tried_again_and_waited_for(serve, patient):
    first = {1: (429, "slow", {"Retry-After": "7"}), 2: (503, "", {}), 3: (500, "x", {})}
    server = serve(lambda text, count: first.get(count, (200, said("ok"), {})))
    slept = []
    assert answers(patient(server, slept), ask("a"), 5) == ["ok"]
    assert 7.0 <= slept[0] <= 7.35
    assert 0.7 <= slept[1] < slept[2] <= 2.0
    assert len(server.asked) == 4


def test_patience_ends(serve, patient):
    server = serve(lambda text, count: (500, {"error": {"message": f"no {SECRET} here"}}, {}))
    with pytest.raises(ModelError, match=r"answered 500 \(no \*\*\* here\) 7 times; see that it"):
        answers(patient(server), ask("a"), 5)
    assert len(server.asked) == 7


def test_nobody_there(patient):
    # Port 9 takes nothing here; a name that nobody has takes as little.
    model = patient(SimpleNamespace(address="http://127.0.0.1:9/v1"))
    with pytest.raises(ModelError, match=r"127.0.0.1:9/v1 cannot be reached \(.*refused\) 7 times"):
        answers(model, ask("a"), 5)
    with pytest.raises(ModelError, match=r"cannot be reached \(.*refused\); see"):
        load_generator("http://127.0.0.1:9/v1")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, "<html>hello", {}), "something that is no JSON: '<html>hello'"),
        ((200, {"choices": []}, {}), "no chat completion: .*choices"),
        ((200, [], {}), "no chat completion"),
        ((200, said({"type": "text"}), {}), "an answer that is no text"),
        ((200, {"error": {"message": "busy"}}, {}), "answered 200 with an error: busy"),
        ((404, {"detail": "Not Found"}, {}), "answered 404: .*Not Found.*; see that the address"),
        ((400, {"error": "bad"}, {}), "answered 400: bad"),
        ((302, "", {"Location": "http://127.0.0.1:9/x"}), r"points elsewhere \(302\)"),
        ((401, {"error": {"message": SECRET}}, {}), "answered 401: the key was not taken; it is"),
    ],
)
def test_answers_that_are_none(serve, patient, answer, message, caplog):
    caplog.set_level(logging.DEBUG)
    server = serve(lambda text, count: answer)
    with pytest.raises(ModelError, match=message) as raised:
        answers(patient(server), ask("a"), 5)
    assert SECRET not in str(raised.value)
    assert len(server.asked) == (2 if answer[0] == 200 else 1)
    assert caplog.records
    assert SECRET not in caplog.text


def test_ends_and_what_is_too_long(serve, patient):
    def script(text, count):
        long = {"error": {"message": "This model's maximum context length is 10", "code": 400}}
        return {
            "long": (400, long, {}),
            "longer": (400, {"error": {"message": "?", "code": "context_length_exceeded"}}, {}),
            "bad": (400, {"error": {"message": "no", "code": "content_filter"}}, {}),
            "worse": (200, said("I wi", "content_filter"), {}),
            "cut": (200, said("half", "length"), {}),
            "none": (200, said(None), {}),
            "parts": (200, said([{"type": "text", "text": "in "}, {"text": "two"}]), {}),
            "thought": (200, said("<think>I see.</think>\n so"), {}),
        }[text]

    model = patient(serve(script))
    found = model.replies(ask(*TEXTS), 5)
    assert [(each.text, each.end) for each in found] == [
        ("", TOO_LONG),
        ("half", CUT),
        ("", STOPPED),
        ("", FILTERED),
        ("", FILTERED),
        ("", TOO_LONG),
        ("in two", STOPPED),
        ("so", STOPPED),
    ]


def test_servers_that_know_the_newer_name_of_the_limit_only(serve, patient):
    def script(text, count):
        if count == 1:
            return 400, {"error": {"message": "use 'max_completion_tokens' instead"}}, {}
        return 200, said("ok"), {}

    server = serve(script)
    model = patient(server)
    assert answers(model, ask("a"), 5) == ["ok"]
    assert answers(model, ask("b"), 5) == ["ok"]
    sent = [sorted(set(body) - {"model", "messages", "temperature"}) for body, _ in server.asked]
    assert sent == [["max_tokens"], ["max_completion_tokens"], ["max_completion_tokens"]]


def test_which_model(serve):
    several = serve(models=("one", "two"))
    with pytest.raises(ModelError, match=r"has 2 models \(one, two\); name one: http.*#MODEL"):
        load_generator(several.address)
    assert load_generator(f"{several.address}/#two").model == "two"
    one, other = (load_generator(f"{several.address}#{each}") for each in ("one", "two"))
    assert one.fingerprint != other.fingerprint


def test_nothing_of_the_environment_goes_to_a_server_that_it_is_not_for(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_ORG_ID", SECRET)
    monkeypatch.setenv("OPENAI_PROJECT_ID", SECRET)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Own: {SECRET}")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # not for servers of this machine
    server = serve()
    assert answers(load_generator(server.address), ask("a\udcff"), 5) == ["[a?]"]
    assert SECRET not in str(server.headers)
    assert "stainless" not in str(server.headers).lower()


def test_keys_go_where_they_belong(serve, monkeypatch):
    own, openai = {"CURATRAIN_API_KEY": SECRET}, {"OPENAI_API_KEY": "theirs"}
    assert key_for("http://127.0.0.1:1/v1", {**own, **openai}) == SECRET
    assert key_for("https://example.org/v1", openai) == ""
    assert key_for("https://api.openai.com/v1", openai) == "theirs"
    named = {"OPENAI_BASE_URL": "http://10.0.0.1/v1/", **openai}
    assert key_for("http://10.0.0.1/v1", named) == "theirs"
    monkeypatch.setenv("CURATRAIN_API_KEY", SECRET)
    server = serve()
    answers(load_generator(server.address), ask("a"), 5)
    assert server.asked[0][1] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://me:pw@127.0.0.1/v1#m", "holds a name, a password or a query"),
        ("http://127.0.0.1/v1?key=x#m", "holds a name, a password or a query"),
        ("http:///v1#m", "names no server"),
        ("http://127.0.0.1:port/v1#m", "cannot be read"),
    ],
)
def test_addresses_that_are_none(address, message):
    with pytest.raises(UsageError, match=message) as raised:
        load_generator(address)
    assert "pw" not in str(raised.value).replace("HOST:PORT", "")
