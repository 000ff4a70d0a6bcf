"""One server asked many times: its limits, its pauses, and every odd thing that it can send."""

import asyncio
import gzip
import json
import math
import time
from email.utils import formatdate

import pytest

from curate.errors import ModelError
from curate.models.asking import Asking, Patience, Window
from curate.models.openai_request import (
    BAD_BODY,
    BROKEN,
    BUSY,
    ELSEWHERE,
    KEY_REFUSED,
    NOT_FOUND,
    QUOTA,
    REFUSED,
    TIMED_OUT,
    UNKNOWN_END,
    ServerError,
    retry_after,
)
from curate.models.protocols import CUT, FILTERED, STOPPED, TOO_LONG
from curate.system.background import in_background
from tests.distill.lying_server import EMPTY_LINES, RESET, SILENCE, LyingServer, completion, http

SECRET = "sk-very-secret"
SHORT = Patience(tries=2, seconds=20.0, longest_wait=5.0)


def body_of(text, **more):
    messages = [{"role": "user", "content": text}]
    return {"model": "m", "messages": messages, "max_tokens": 20, "temperature": 0, **more}


def asked(asking, bodies, most=0):
    """Ask all at once; return answers and errors."""

    async def every():
        try:
            work = [asking.ask(body, most) for body in bodies]
            return await asyncio.gather(*work, return_exceptions=True)
        finally:
            await asking.close()

    return in_background(every())


def one(server, patience=SHORT, key="", **more):
    (result,) = asked(Asking(server.address, key, 1, patience), [body_of("q", **more)])
    return result


# Windows


def test_a_window_by_hand():
    window = Window(10, seconds=60)
    assert window.wait_for(10, now=0) == 0
    window.enter(6, until=60)
    assert window.wait_for(4, now=1) == 0
    assert window.wait_for(5, now=1) == 59
    entry = window.enter(4, until=math.inf)
    assert window.wait_for(1, now=2) == 58
    assert window.wait_for(7, now=2) == math.inf  # until it is known how much the second is
    window.settle(entry, 1, now=2)
    assert window.wait_for(3, now=2) == 0
    assert window.wait_for(10, now=3) == 59
    assert window.wait_for(99, now=62) == 0  # more than there ever is room for goes alone
    assert window.wait_for(1, now=60) == 0


def test_no_stretch_of_time_has_more_than_the_limit():
    taken = []

    async def take(window):
        await window.take(1)
        taken.append(time.monotonic())

    async def every():
        window = Window(20, seconds=0.5)
        await asyncio.gather(*(take(window) for _ in range(70)))

    in_background(every())
    most = max(sum(start <= when < start + 0.5 for when in taken) for start in taken)
    assert most == 20
    assert taken[-1] - taken[0] >= 3 * 0.5


def test_requests_keep_to_the_limit_of_a_minute(serve):
    server = serve(seconds=0.01)
    asking = Asking(server.address, "", 8, SHORT, rpm=20, window=1.0)
    answers = asked(asking, [body_of(str(n)) for n in range(45)])
    assert all(answer.end == STOPPED for answer in answers)
    assert server.times[-1] - server.times[0] > 1.5  # 20, 20 and 5, one second after the other
    assert server.most <= 8


def test_tokens_keep_to_the_limit_of_a_minute(serve):
    server = serve(lambda body, times: completion("a", usage=(30, 20)))
    asking = Asking(server.address, "", 8, SHORT, tpm=300, window=1.0)
    answers = asked(asking, [body_of(str(n)) for n in range(13)], most=100)
    assert all(answer.response_tokens == 20 for answer in answers)
    # What each turns out not to need of its 100 is given back: six of 50 go at once, not three.
    assert 1.5 < server.times[-1] - server.times[0] < 4.0


def test_no_more_than_the_concurrency_at_once(serve):
    server = serve(seconds=0.02)
    asked(Asking(server.address, "", 5, SHORT), [body_of(str(n)) for n in range(30)])
    assert server.most == 5


# Retry-After


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": formatdate(1_000_030, usegmt=True)}, 30),
        ({"retry-after": formatdate(999_000, usegmt=True)}, None),  # has passed
        *(({"retry-after": text}, None) for text in ("0", "-1", "soon", "nan", "inf", "")),
        ({}, None),
    ],
)
def test_forms_of_retry_after(header, seconds):
    assert retry_after(header, 1_000_000) == seconds


@pytest.mark.parametrize("status", [429, 502, 503])
def test_a_server_that_asks_to_wait_is_left_alone_by_everybody(serve, status):
    wait = http(status, {"error": {"message": "busy"}}, ["Retry-After-Ms: 300"])
    refused = []

    def script(body, times):
        if body["messages"][0]["content"] == "first" and times == 1:
            refused.append(time.monotonic())
            return wait
        return completion("ok")

    server = serve(script, seconds=0.05)
    texts = ["first", *map(str, range(12))]
    answers = asked(Asking(server.address, "", 3, SHORT), map(body_of, texts))
    assert [answer.text for answer in answers] == ["ok"] * 13
    # What was under way goes on; nothing new is sent before the time is over.
    early = [when for when in server.times if refused[0] + 0.05 < when < refused[0] + 0.29]
    assert not early


def test_a_server_that_loads_costs_no_answer(serve):
    loading = http(503, {"error": {"code": "loading"}}, ["Retry-After-Ms: 30"])
    server = serve(lambda b, t: completion("ok") if len(server.bodies) > 24 else loading)
    answers = asked(Asking(server.address, "", 4, SHORT), [body_of(str(n)) for n in range(8)])
    assert [answer.text for answer in answers] == ["ok"] * 8
    assert sum(server.asked.values()) > 16  # far more than two tries


def test_who_asks_for_too_long_a_wait_is_told(serve):
    server = serve(lambda b, t: http(429, {}, ["Retry-After: 3600"]))
    error = one(server)
    assert isinstance(error, ModelError)
    assert "it asks to wait 3,600 s" in str(error)
    assert "--longest-wait" in str(error)
    assert len(server.bodies) == 1


# Odd answers

HTML = b"<html><body>Bad Gateway</body></html>"
KEPT = completion("kept")
LIES = {
    "no usage": ({"choices": KEPT["choices"]}, STOPPED),
    "usage null": ({**KEPT, "usage": None}, STOPPED),
    "usage as text": ({**KEPT, "usage": {"prompt_tokens": "7", "completion_tokens": "x"}}, STOPPED),
    "finish null": (completion("kept", None), STOPPED),
    "finish null at the limit": (completion("kept", None, (9, 20)), CUT),
    "finish max_tokens": (completion("kept", "max_tokens"), CUT),
    "finish eos": (completion("kept", "eos"), STOPPED),
    "finish odd": (completion("kept", "tool_calls"), UNKNOWN_END),
    "finish filter": (completion("kept", "content_filter"), FILTERED),
    "other model": ({**KEPT, "model": "another"}, STOPPED),
    "duplicate id": ({**KEPT, "id": "1"}, STOPPED),
    "content null": (completion(None), STOPPED),
    "parts": (completion([{"type": "text", "text": "kept"}]), STOPPED),
    "think without end": (completion("<think>hm"), CUT),
    "gzip": (
        http(200, gzip.compress(json.dumps(KEPT).encode()), ["Content-Encoding: gzip"]),
        STOPPED,
    ),
    "latin-1 header": (http(200, KEPT, ["X-Odd: é"]), STOPPED),
    "choices empty": ({**KEPT, "choices": []}, BAD_BODY),
    "choices null": ({**KEPT, "choices": None}, BAD_BODY),
    "error in 200": ({"error": {"message": "overloaded"}}, BAD_BODY),
    "html in 200": (http(200, HTML), BAD_BODY),
    "empty body": (http(200, b""), BAD_BODY),
    "no UTF-8": (http(200, b'{"a": "\xff"}'), BAD_BODY),
    "deep": (http(200, b"[" * 200_000), BAD_BODY),
    "16 MB and more": (http(200, b" " * ((16 << 20) + 9)), BAD_BODY),
    "html in 502": (http(502, HTML), BROKEN),
    "reset": (RESET, "unreachable"),
    "cut": (http(200, b'{"choices"', length=500) + LyingServer.CUT, "unreachable"),
    "busy": (http(429, {"error": {"message": "slow down"}}), BUSY),
    "no money": (http(429, {"error": {"code": "insufficient_quota"}}), QUOTA),
    "no money either": (http(402, {"error": {"message": "Insufficient Balance"}}), QUOTA),
    "no key": (http(401, {"error": {"message": SECRET}}), KEY_REFUSED),
    "nothing there": (http(404, {"detail": "Not Found"}), NOT_FOUND),
    "elsewhere": (http(307, b"", ["Location: http://127.0.0.1:9/v1"]), ELSEWHERE),
    "too long": (http(400, {"error": {"message": "maximum context length is 9"}}), TOO_LONG),
    "filter": (http(400, {"error": {"code": "content_filter"}}), FILTERED),
    "refused": (http(422, {"error": {"message": "no such voice"}}), REFUSED),
    "silence": (SILENCE, TIMED_OUT),
    "empty lines": (EMPTY_LINES, TIMED_OUT),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies(serve, lie):
    sent, end = LIES[lie]
    server = serve(lambda body, times: sent)
    began = time.monotonic()
    patience = Patience(tries=1, seconds=0.6 if end == TIMED_OUT else 20.0)
    result = one(server, patience, key=SECRET)
    assert time.monotonic() - began < 30
    if isinstance(result, ServerError):
        assert result.kind == end, str(result)
        assert SECRET not in str(result) + result.words
        assert result.billed == (end in (BAD_BODY, TIMED_OUT, "unreachable") and "error" not in lie)
        return
    assert result.end == end
    nothing = (lie == "content null") | (end == FILTERED) | ("think" in lie)
    assert result.text == ("" if nothing else "kept")
    assert len(server.bodies) == 1


def test_what_servers_say_beside_the_answer(serve):
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_cache_hit_tokens": 4}
    message = {"content": " so ", "reasoning_content": "because"}
    sent = {"model": "n", "choices": [{"message": message, "finish_reason": "stop"}]}
    found = one(serve(lambda b, t: {**sent, "usage": usage}))
    assert (found.text, found.thinking, found.model, found.cached_tokens) == (
        "so",
        "because",
        "n",
        4,
    )
    cached = {
        **usage,
        "prompt_cache_hit_tokens": None,
        "prompt_tokens_details": {"cached_tokens": 2},
    }
    assert one(serve(lambda b, t: {**sent, "usage": cached})).cached_tokens == 2
    for text in ("<think>\nhm\n</think>\n\nso", "hm\n</think>so"):
        found = one(serve(lambda b, t, text=text: completion(text)))
        assert (found.thinking, found.text) == ("hm", "so")
    assert one(serve(lambda b, t: completion("use <think> tags"))).text == "use <think> tags"


def test_settings_that_a_server_refuses_are_left_out_and_named_once(serve):
    def script(body, times):
        for name, words in (
            ("max_tokens", "Unsupported parameter: use 'max_completion_tokens' instead"),
            ("temperature", "'temperature' does not support 0 with this model"),
            ("seed", "'seed' is not understood here; allowed are model, temperature, max_tokens"),
        ):
            if name in body:
                return http(400, {"error": {"message": words}})
        return completion(str(sorted(body)))

    server = serve(script)
    asking = Asking(server.address, "", 1, SHORT)
    answers = asked(asking, [body_of("a", seed=1), body_of("b", seed=1)])
    assert [each.text for each in answers] == ["['max_completion_tokens', 'messages', 'model']"] * 2
    assert set(asking.left_out) == {"max_tokens", "temperature", "seed"}
    assert len(server.bodies) == 5
    refused = one(serve(lambda b, t: http(400, {"error": {"message": "temperature is above 1"}})))
    assert refused.kind == REFUSED


def test_neither_key_nor_prompt_follow_a_redirect(serve):
    other = serve()
    sent = http(307, b"", [f"Location: {other.address}/chat/completions"])
    assert one(serve(lambda b, t: sent), key=SECRET).kind == ELSEWHERE
    assert not other.bodies
    assert not other.headers


def test_what_passes_is_tried_again(serve, monkeypatch):
    monkeypatch.setattr("curate.models.asking._FIRST_SECONDS", 0.01)
    sent = [RESET, http(200, HTML), http(500, {}), SILENCE, completion("at last")]
    server = serve(lambda body, times: sent[times - 1])
    answers = asked(
        Asking(server.address, "", 2, Patience(tries=6, seconds=2.0)), [body_of("a"), body_of("b")]
    )
    assert [each.text for each in answers] == ["at last"] * 2
    assert len(server.bodies) == 10
