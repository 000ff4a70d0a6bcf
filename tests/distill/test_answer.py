"""`curate distill answer`: what comes out, what is said of it, and what is refused."""

import itertools
import json
import os
import re

import pyarrow.parquet as pq
import pytest

import curate as library
from tests.distill.lying_server import answer_to, completion, http

COSTLY = ("--price", "1/1", "--max-cost", "0.001")
SECRET = "sk-very-secret"


@pytest.fixture
def answer(curate, questions, tmp_path):
    """Call `curate distill answer` on so many questions, or on a file."""

    def call(server, what=5, *more):
        file = questions(what) if isinstance(what, int) else what
        output = ("--output", tmp_path / "data")
        address = server if isinstance(server, str) else f"{server.address}#m"
        return curate("distill", "answer", "--input", file, "--model", address, *output, *more)

    return call


def rows_of(tmp_path, name="q_answer"):
    text = (tmp_path / "data" / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def scores_of(tmp_path, name="q_answer"):
    return pq.read_table(tmp_path / "data" / f"{name}.scores.parquet").to_pylist()


def test_rows_scores_entry_and_manifest(answer, serve, tmp_path):
    server = serve()
    told = answer(server, 5, "--price", "2/4", "--json")
    assert told.code == 0, told.err
    rows, scores = rows_of(tmp_path), scores_of(tmp_path)
    assert [row["instruction"] for row in rows] == [f"question {n}?" for n in range(5)]
    assert [row["output"] for row in rows] == list(map(answer_to, sorted_bodies(server)))
    read = library.read(dataset="q_answer", dataset_dir=tmp_path / "data")
    assert list(read.ids) == [line["id"] for line in scores]
    assert [line["source_id"] for line in scores] == [row["source_id"] for row in rows]
    (cost,) = {line["cost"] for line in scores}
    assert cost == pytest.approx((10 * 2 + 5 * 4) / 1e6)
    manifest = json.loads((tmp_path / "data" / "q_answer.manifest.json").read_text())
    assert manifest["recipe"] == "distill_answer"
    assert manifest["answered_by"] == {"m-1": 5}
    assert manifest["tokens"]["response_tokens"] == 25
    assert "not checked by a physician" in manifest["notes"][0]
    said = json.loads(told.out)
    assert (said["kept"], said["asked"], said["answers_kept"]) == (5, 5, 5)
    assert said["spent"] == pytest.approx(5 * cost)


def sorted_bodies(server):
    return sorted(server.bodies, key=lambda body: body["messages"][-1]["content"])


def test_every_question_has_a_status(answer, serve, tmp_path):
    ends = {
        "0": completion("half", "length"),
        "1": completion("", "stop"),
        "2": http(400, {"error": {"code": "content_filter"}}),
        "3": http(400, {"error": {"message": "maximum context length"}}),
        "4": http(422, {"error": {"message": "odd"}}),
        "5": completion("<think>why</think>so"),
        "6": completion("x", "tool_calls"),
    }

    def script(body, times):
        return ends.get(body["messages"][-1]["content"][9], completion("good"))

    file = tmp_path / "rows.jsonl"
    rows = [{"instruction": f"question {n}?", "output": "old"} for n in range(8)]
    rows += [{"instruction": " ", "output": "x"}, {"instruction": "x" * 1_000_001, "output": "x"}]
    file.write_text("\n".join(map(json.dumps, rows)))
    server = serve(script)
    # The first answer is a good one: what is refused after it is so for its own sake.
    first = answer(server, file, "--limit", "1", "--seed", "5", "--name", "n")
    assert first.code == 0, first.err
    assert answer(server, file, "--seed", "5", "--name", "n").code == 0
    status = {line["source_id"]: line["status"] for line in scores_of(tmp_path, "n")}
    assert list(status.values()) == [
        *("cut_off", "empty_answer", "content_filter", "prompt_too_long", "request_refused"),
        *("ok", "unknown_end", "ok", "no_question", "too_long"),
    ]
    assert [row["output"] for row in rows_of(tmp_path, "n")] == ["so", "good"]
    lost = (tmp_path / "data" / "n.failed.jsonl").read_text().splitlines()
    assert [json.loads(line)["class"] for line in lost] == ["prompt_too_long", "request_refused"]
    assert {len(str(body)) < 1_000_000 for body in server.bodies} == {True}
    # An answer that was cut, empty or filtered is an answer: it is paid for, and not bought again.
    sent = len(server.bodies)
    assert answer(server, file, "--name", "n", "--seed", "5", "--keep-thinking").code == 0
    assert len(server.bodies) == sent + 2
    assert rows_of(tmp_path, "n")[0]["output"] == "<think>\nwhy\n</think>\n\nso"


def test_a_first_look_is_not_bought_again(answer, serve, tmp_path):
    server = serve()
    assert answer(server, 12, "--limit", "4").code == 0
    looked = {row["source_id"] for row in rows_of(tmp_path)}
    assert len(looked) == len(server.bodies) == 4
    assert answer(server, 12).code == 0
    assert len(rows_of(tmp_path)) == len(server.bodies) == 12
    assert {times for times in server.asked.values()} == {1}


def test_a_changed_setting_asks_anew_and_keeps_what_there_was(answer, serve):
    server = serve()
    assert answer(server, 3).code == 0
    told = answer(server, 3, "--temperature", "0.1", "--json")
    assert json.loads(told.out)["answers_kept"] == 6
    assert answer(server, 3).code == 0
    assert len(server.bodies) == 6


def test_several_answers_dialogues_system_and_template(answer, serve, tmp_path):
    server = serve(lambda body, times: completion(f"{answer_to(body)}"))
    file, system = tmp_path / "talk.jsonl", tmp_path / "s.txt"
    talk = [("human", "hello"), ("gpt", "hi"), ("human", "my head aches"), ("gpt", "old")]
    turns = [{"from": role, "value": text} for role, text in talk]
    file.write_text(json.dumps({"conversations": turns, "system": "own"}) + "\n")
    system.write_text("Be a doctor.")
    template = tmp_path / "t.j2"
    template.write_text("Say briefly: {{ question }} ({{ history | length }} before)")
    more = ("--n", "3", "--system-file", system, "--template", template, "--lang", "en")
    assert answer(server, file, *more).code == 0
    body = server.bodies[0]
    assert [each["content"] for each in body["messages"]] == [
        *("Be a doctor.", "hello", "hi", "Say briefly: my head aches (2 before)"),
    ]
    assert sorted(each["seed"] for each in server.bodies) == [0, 1, 2]
    rows = rows_of(tmp_path, "talk_answer")
    assert len({row["output"] for row in rows}) == 3
    assert rows[0]["instruction"] == "my head aches"
    assert rows[0]["history"] == [["hello", "hi"]]
    assert rows[0]["system"] == "own"
    repeated = answer(server, file, "--n", "2", "--temperature", "0")
    assert "asks for 2 equal answers" in repeated.err


def test_lines_of_a_text_are_questions(answer, serve, tmp_path):
    file = tmp_path / "q.txt"
    file.write_text("高血压能吃党参吗？\n什么是糖尿病？\n", encoding="gb18030")
    server = serve()
    assert answer(server.address, file).code == 0  # the only model is asked for by name
    assert [row["instruction"] for row in rows_of(tmp_path)] == [
        "高血压能吃党参吗？",
        "什么是糖尿病？",
    ]
    assert {body["model"] for body in server.bodies} == {"m"}


def test_what_two_rows_ask_alike_is_asked_once(answer, serve, tmp_path, questions):
    server = serve(seconds=0.05)
    file = questions(12, "the same question?")
    told = answer(server, file, "--price", "2/4", "--json")
    assert told.code == 0
    assert len(server.bodies) == 1
    # It was paid for once, too.
    said = json.loads(told.out)
    assert said["tokens"]["prompt_tokens"] == 10
    assert said["cost"] == pytest.approx(said["spent"])
    assert len(rows_of(tmp_path)) == 12
    assert len({line["id"] for line in scores_of(tmp_path)}) == 12


# What is sent, and what it costs


def test_a_dry_run_sends_nothing_and_its_bound_holds(answer, serve, tmp_path):
    server = serve(tokens=lambda body: (len(body["messages"][0]["content"].encode()) + 20, 64))
    told = answer(server, 6, "--dry-run", "--price", "1/1", "--max-tokens", "64", "--json")
    assert told.code == 0, told.err
    assert not server.bodies
    before = json.loads(told.out)
    assert (before["requests"], before["response_tokens"]) == (6, None)
    assert "nothing is sent" in told.err
    assert answer(server, 6, "--price", "1/1", "--max-tokens", "64").code == 0
    assert before["most_cost"] >= server.billed
    again = answer(server, 9, "--dry-run", "--price", "1/1", "--max-tokens", "64", "--json")
    after = json.loads(again.out)
    assert (after["requests"], after["response_tokens"]) == (3, 3 * 64)
    # What is left costs about what the first answers did.
    assert after["cost"] == pytest.approx(server.billed / 2, rel=0.05)


def test_a_dry_run_counts_equal_questions_once(curate, serve, questions, tmp_path):
    server, file = serve(), questions(5, text="What is a fever?")
    line = ["distill", "answer", "--input", str(file), "--model", f"{server.address}#m"]
    told = curate(*line, "--output", str(tmp_path / "data"), "--dry-run", "--json")
    assert json.loads(told.out)["requests"] == 1


def test_a_prompts_tokens_by_a_tokenizer(answer, serve):
    told = answer(serve(), 2, "--dry-run", "--tokenizer", "smollm2", "--json")
    # The template adds a system prompt: 31 tokens each, of which the question is 4.
    assert json.loads(told.out)["prompt_tokens"] > 2 * 20


def test_without_usage_an_answer_is_paid_at_its_most(answer, serve):
    server = serve(lambda body, times: {**completion("a"), "usage": None})
    told = answer(
        server, 40, *("--price", "1/1", "--max-cost", "0.001"), "--max-tokens", "8", "--json"
    )
    said = json.loads(told.out)
    assert said["stopped"] == "budget"
    assert said["spent"] <= 0.001
    assert said["kept"] == int(0.001 / ((len("question 10?") + 80 + 8) / 1e6))


def test_a_quota_that_is_used_up_stops_at_once(answer, serve, tmp_path):
    number = itertools.count()  # of the two that are asked at once, each has its own

    def script(body, times):
        bad = next(number) >= 6
        return http(429, {"error": {"code": "insufficient_quota"}}) if bad else completion("a")

    server = serve(script)
    told = answer(server, 40, "--concurrency", "2")
    assert told.code == 2
    assert "the account has nothing left" in told.errors[0]
    assert len(server.bodies) <= 8
    assert len(rows_of(tmp_path)) == 6


def test_the_key_is_nowhere(answer, serve, tmp_path, monkeypatch, scratch_cache):
    monkeypatch.setenv("MY_KEY", SECRET)
    said = http(400, {"error": {"message": f"key {SECRET} may not"}})
    server = serve(lambda b, t: said if "3" in str(b["messages"]) else completion("a"))
    told = answer(server, 3, "--api-key-env", "MY_KEY", "--verbose")
    assert {each.get("authorization") for each in server.headers} == {f"Bearer {SECRET}"}
    told = (told, answer(server, 6, "--api-key-env", "MY_KEY", "--verbose"))
    assert SECRET not in str(told)
    for folder, _, files in os.walk(tmp_path):
        for file in files:
            with open(os.path.join(folder, file), "rb") as stream:
                assert SECRET.encode() not in stream.read(), file


def test_where_no_row_was_made_it_is_told_why_and_what_it_cost(answer, serve):
    server = serve(lambda body, times: completion("half", "length"))
    told = answer(server, 1, "--price", "1/1")
    assert told.code == 2
    assert "no row was made of 1 question: 1 cut_off. What became of each is in" in told.err
    assert "answers that are there are kept; spent in all: 1.5e-05" in told.err


# What is refused

USED = "http://127.0.0.1:9/v1#m"
REFUSED = {
    "no address": (["--model", "smollm2"], r"--model smollm2: allowed is the address of a server"),
    "nobody listens": (["--model", USED], "no server answers at http://127.0.0.1:9/v1"),
    "no price": (["--max-cost", "1"], r"--max-cost 1 could not be kept without prices"),
    "cost 0": (["--max-cost", "0", "--price", "1/1"], "--max-cost 0 allows no request"),
    "price": (["--price", "abc"], "--price abc: allowed is IN/OUT or IN/OUT/CACHED"),
    "rpm": (["--rpm", "0"], "--rpm 0: allowed are 1 and more"),
    "tpm": (["--tpm", "100"], r"--tpm 100: less than one answer may have \(--max-tokens 1024\)"),
    "concurrency": (["--concurrency", "0"], "--concurrency 0: allowed are 1 and more"),
    "n": (["--n", "0"], "--n 0: allowed are 1 and more"),
    "temperature": (["--temperature", "3"], "--temperature 3: allowed are 0 to 2"),
    "key": (["--api-key-env", "NO_SUCH"], "--api-key-env NO_SUCH: there is no such environment"),
    "policy": (["--pii-in", "hide"], "--pii-in hide: allowed are refuse, mask, allow"),
    "bound": (
        ["--max-cost", "1e-9", "--price", "1/1"],
        r"--max-cost 1e-09 is below what one request may cost \(0.00",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(curate, serve, questions, tmp_path, what):
    more, message = REFUSED[what]
    server = serve()
    model = [] if "--model" in more else ["--model", f"{server.address}#m"]
    output = ["--output", tmp_path / "data"]
    first = ("distill", "answer", "--input", questions(2))
    line = curate.refused(message, *first, *model, *output, *more)
    assert re.search(message, line), line
    assert not server.bodies


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ qestion }}", r"unknown field qestion; the rows have instruction, output, question, "),
        ("one\n{% if %}", r"t.j2, line 2: "),
        ("{{ question.__class__.__mro__ }}", "the prompt 'answer' cannot be filled in: access to"),
    ],
)
def test_templates_that_are_none(curate, serve, questions, tmp_path, text, message):
    template = tmp_path / "t.j2"
    template.write_text(text)
    server = serve()
    line = curate.refused(
        message,
        *("distill", "answer", "--input", questions(2), "--model", f"{server.address}#m"),
        *("--output", tmp_path / "data", "--template", template),
    )
    assert re.search(message, line), line
    assert not server.bodies


def test_servers_that_refuse(answer, serve):
    several = serve(models=("one", "two"))
    told = answer(several.address)
    assert "has 2 models (one, two); name one" in told.errors[0]
    no_key = serve(lambda b, t: http(401, {"error": {"message": "no"}}))
    told = answer(no_key, 5, "--name", "b")
    assert "the key is missing; it is read from CURATRAIN_API_KEY" in told.errors[0]
    unknown = serve(lambda b, t: http(404, {"error": {"message": "no model m"}}), models=("x", "y"))
    told = answer(unknown, 5, "--name", "c")
    assert "no model m" in told.errors[0]
    assert "It has x, y" in told.errors[0]
    picky = serve(lambda b, t: http(400, {"error": {"message": "model m does not exist"}}))
    told = answer(picky, 50, "--name", "d")
    assert "model m does not exist" in told.errors[0]
    assert len(picky.bodies) <= 16
    page = serve(lambda b, t: http(200, b"<html>"))
    told = answer(page, 1, "--name", "e")
    assert "is this an OpenAI-compatible server" in told.errors[0]
    assert len(page.bodies) == 2
