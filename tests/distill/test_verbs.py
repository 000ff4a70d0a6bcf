"""Every verb against a server that answers by a script: rows, what is refused, what goes where."""

import json
from collections import Counter

import pyarrow.parquet as pq
import pytest

import curate as library
from curate.distill.answers import listed
from curate.distill.requests import BAD_JSON, Reply, Request
from curate.distill.verbs.document import chunks_of
from curate.errors import DataError
from curate.llamafactory.dataset_info import read_registry
from curate.models.openai_request import Completion
from curate.parameters.distill import DocumentParams
from tests.converter import train_in
from tests.distill.lying_server import completion

TEXT = "".join(f"Drug number {n} lowers the pressure of the blood. " for n in range(60))


@pytest.fixture
def distill(curate, serve, tmp_path):
    """Call a verb with a server that answers by `script`; return what it says, and the server."""

    def call(verb, script, *more, roles=("model",)):
        server = serve(lambda body, times: script(body))
        models = [part for role in roles for part in (f"--{role}", f"{server.address}#{role}")]
        told = curate("distill", verb, *models, *("--output", tmp_path / "data"), *more, "--json")
        assert told.code == 0, told.err
        return json.loads(told.out), server

    return call


def last(body):
    return body["messages"][-1]["content"]


def written(tmp_path, name):
    return list(library.read(dataset=name, dataset_dir=tmp_path / "data"))


def test_rewrite_of_answers_and_of_dialogues(distill, questions, tmp_path):
    told, server = distill(
        "rewrite", lambda body: completion(last(body)[-5:]), "--input", questions(3)
    )
    rows = written(tmp_path, told["name"])
    assert [(row.prompt, row.response) for row in rows] == [
        (f"question {n}?", f"old {n}") for n in range(3)
    ]
    assert "You polish answers" in server.bodies[0]["messages"][0]["content"]
    talk = [("human", "患者一"), ("gpt", "答一"), ("human", "患者二"), ("gpt", "答二")]
    file = tmp_path / "talk.jsonl"
    turns = [{"from": role, "value": text} for role, text in talk]
    file.write_text(json.dumps({"conversations": turns}), encoding="utf-8")
    told, server = distill(
        "rewrite", lambda body: completion("新" + last(body)[-2:]), "--input", file
    )
    (row,) = written(tmp_path, told["name"])
    assert [turn.content for turn in row.turns] == ["患者一", "新答一", "患者二", "新答二"]
    # The second is asked for in the light of the first one's new form.
    assert "医生：新答一" in last(server.bodies[1])
    assert train_in(tmp_path / "data", told["name"]).usable == 1


def test_document(distill, curate, tmp_path):
    file = tmp_path / "book.txt"
    file.write_text(TEXT)

    def script(body):
        if "JSON array" in body["messages"][0]["content"]:
            number = last(body).split("Drug number ")[1].split(" ")[0]
            return completion(json.dumps([f"What does drug {number} do?", f"And {number}?", "3?"]))
        assert "Passage:\n" in body["messages"][0]["content"]
        strange = last(body) == "What does drug 0 do?"
        said = (
            "Ask somebody else."
            if strange
            else f"It lowers the pressure of the blood: {last(body)}"
        )
        return completion(said)

    more = ("--chunk", "300", "--questions", "2", "--hold-out", "30%")
    told, _ = distill("document", script, "--input", file, *more)
    rows = written(tmp_path, "book_document")
    held_out = written(tmp_path, "book_document_test")
    chunks = pq.read_table(tmp_path / "data" / "book_document.chunks.parquet").to_pylist()
    assert "book_document.chunks.parquet" in str(told["files"])
    assert all(len(chunk["text"]) <= 300 for chunk in chunks)
    assert " ".join(chunk["text"] for chunk in chunks) == TEXT.strip()
    # One answer has nothing that the text says, too; kept, it is the first of all rows.
    assert len(rows) + len(held_out) == 2 * len(chunks) - 1
    table = pq.read_table(tmp_path / "data" / "book_document.scores.parquet").to_pylist()
    assert [line["support"] for line in table if line["reason"] == "unsupported"] == [0]
    sides = [{row.value["chunk"] for row in side} for side in (rows, held_out)]
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == {chunk["id"] for chunk in chunks}
    assert train_in(tmp_path / "data", "book_document").usable == len(rows)
    assert rows[0].response == f"It lowers the pressure of the blood: {rows[0].prompt}"
    assert told["dropped"] == {"held_out": len(held_out), "unsupported": 1}
    told, server = distill("document", script, "--input", file, *more, "--flawed", "keep")
    assert written(tmp_path, "book_document")[0].response == "Ask somebody else."
    # Rows that were held out are trained on now, and are no rows to test on any more.
    told, _ = distill("document", script, "--input", file, *more[:4])
    assert "book_document_test.jsonl" in told["removed"]
    assert "book_document_test" not in read_registry(tmp_path / "data")
    assert not list((tmp_path / "data").glob("book_document_test.*"))
    # What was changed by hand since then is not taken away, and that is told.
    distill("document", script, "--input", file, *more)
    changed = tmp_path / "data" / "book_document_test.jsonl"
    changed.write_text("mine")
    told, _ = distill("document", script, "--input", file, *more[:4])
    assert changed.read_text() == "mine"
    assert told["stays"] == {changed.name: "it was changed after curate wrote it"}
    changed.unlink()
    again = ("distill", "document", "--input", file, "--model", "http://127.0.0.1:9/v1#model")
    taken = ("--output", tmp_path / "data", "--name", "book", "--hold-out", "30%")
    (tmp_path / "data" / "book_test.jsonl").write_text("mine")
    curate.refused("'book_test' is already in .* something other than curate", *again, *taken)
    curate.refused("--hold-out 100%: there are", *again, "--dry-run", "--hold-out", "100%")
    gone = curate("rm", "book_document", "--dataset-dir", tmp_path / "data")
    assert gone.code == 0, gone.err
    assert "paid for" in gone.out + gone.err
    left = sorted(file.name for file in (tmp_path / "data").glob("book_document.*"))
    assert left == ["book_document.answers.db"]


def test_texts_that_are_read_and_texts_that_are_none(tmp_path):
    def chunks(data, name="t.txt", **more):
        (tmp_path / name).write_bytes(data)
        return chunks_of([tmp_path / name], DocumentParams(**more))[0]

    chinese = "阿司匹林用于退热。每日一次，饭后服用。" * 20
    assert "".join(chunk.text for chunk in chunks(chinese.encode("gb18030"))) == chinese
    pieces = chunks(chinese.encode(), chunk=50, overlap=10)
    assert all(len(piece.text) <= 50 for piece in pieces)
    assert all(a.text[-10:] == b.text[:10] for a, b in zip(pieces, pieces[1:], strict=False))
    assert [len(piece.text) for piece in chunks(b"x" * 25, chunk=10)] == [10, 5]
    inside = tmp_path / "texts" / ".cache"
    inside.mkdir(parents=True)
    (inside / "a.txt").write_text("hidden")
    (inside.parent / ".DS_Store").write_bytes(b"\0\1")
    (inside.parent / "b.txt").write_text("seen")
    assert [chunk.text for chunk in chunks_of([inside.parent], DocumentParams())[0]] == ["seen"]
    for data, message in (
        (b" \n\t", "only white space"),
        (b"", "only white"),
        (b"\x1f\x8b1", "gzip"),
    ):
        with pytest.raises(DataError, match=message):
            chunks(data)


def test_instruct_goes_on_until_there_are_enough(distill, questions, tmp_path):
    asked = Counter()

    def script(body):
        asked["requests"] += 1
        number = asked["requests"]
        if number == 1:
            return completion('[{"instruction": "cut off", "outp', "length")
        tasks = [
            {"instruction": f"Do thing {number}{n}{n}", "input": "", "output": "done"} for n in "ab"
        ]
        tasks += [{"instruction": "question 1?", "input": "", "output": "an example again"}]
        tasks += [{"task": "of another form"}]
        return completion(f"Here you are:\n```json\n{json.dumps(tasks)[:-1]},]\n```")

    entities = tmp_path / "e.txt"
    entities.write_text("aspirin\nstatins\n")
    more = ("--entities", entities, "--target", "6", "--per-request", "4", "--concurrency", "1")
    told, server = distill("instruct", script, "--examples", questions(4), *more)
    rows = written(tmp_path, told["name"])
    assert len({row.prompt for row in rows}) == 6
    assert told["kept"] == 6
    assert train_in(tmp_path / "data", told["name"]).usable == 6
    assert told["dropped"]["near_duplicate"] == 2
    assert told["dropped"]["not_in_schema"] == 3
    assert told["dropped"]["cut_off"] == 1
    assert len(server.bodies) == 4
    assert {"aspirin", "statins"} & set(last(server.bodies[0]).replace(",", "").split())
    table = pq.read_table(tmp_path / "data" / f"{told['name']}.scores.parquet")
    assert Counter(table.column("repaired").to_pylist())[True] == 12


def test_dialogue(distill, tmp_path):
    file = tmp_path / "cases.jsonl"
    file.write_text(json.dumps({"instruction": "Woman of 40, headache", "output": "x"}))

    def script(body):
        if body["model"] == "patient":
            assert "Woman of 40, headache" in body["messages"][0]["content"]
            said = last(body).count("You: ")
            return completion("[END]" if said == 2 else f"It hurts {said}.")
        assert "Woman of 40" not in str(body["messages"])
        return completion(f"Since when? {len(body['messages'])}")

    told, server = distill("dialogue", script, "--input", file, roles=("patient", "doctor"))
    (row,) = written(tmp_path, told["name"])
    assert [turn.content for turn in row.turns] == [
        *("It hurts 0.", "Since when? 2", "It hurts 1.", "Since when? 4")
    ]
    assert len(server.bodies) == 5
    assert train_in(tmp_path / "data", told["name"]).usable == 1


def test_prefer(distill, questions, tmp_path):
    def script(body):
        alike = "1?" in last(body)
        return completion("same" if alike else f"by {body['model']}")

    told, _ = distill("prefer", script, "--input", questions(3), roles=("chosen", "rejected"))
    rows = written(tmp_path, told["name"])
    assert [(row.parsed.chosen, row.parsed.rejected) for row in rows] == [
        ("by chosen", "by rejected")
    ] * 2
    assert told["dropped"] == {"equal_answers": 1}
    assert train_in(tmp_path / "data", told["name"], "dpo").usable == 2


def test_score_is_joined_to_its_rows(distill, curate, questions, tmp_path):
    good = {"accuracy": 5, "completeness": 4, "safety": 5, "clarity": 2}

    def script(body):
        number = last(body).strip()[-1]
        points = {**good, "accuracy": int(number) + 2 if number < "4" else 9}
        return completion(json.dumps(points))

    file = questions(5)
    told, _ = distill("score", script, "--input", file, "--name", "points")
    assert told["dropped"] == {"not_in_schema": 1}
    chosen = curate(
        *("select", "--input", file, "--scores", tmp_path / "data" / "points.scores.parquet"),
        *(
            "--by",
            "points",
            "--keep",
            "2",
            "--output",
            tmp_path / "data",
            "--name",
            "best",
            "--json",
        ),
    )
    assert chosen.code == 0, chosen.err
    assert [row.prompt for row in written(tmp_path, "best")] == ["question 2?", "question 3?"]


def test_prompts_take_rows_with_any_keys_and_name_the_row_that_lacks_one(
    curate, distill, questions, tmp_path
):
    file = tmp_path / "keys.jsonl"
    keys = [{"name": "Ann", "self": "x", "row": 1, "ward": "3"}, {"name": "Bo", "ward": "4"}, {}]
    rows = [{"instruction": f"q{n}?", "output": "old", **own} for n, own in enumerate(keys)]
    file.write_text("\n".join(map(json.dumps, rows)))
    told, _ = distill("rewrite", lambda body: completion("new"), "--input", file)
    assert told["kept"] == 3
    template = tmp_path / "t.j2"
    template.write_text("{{ question }} of ward {{ ward }}")
    curate.refused(
        "keys.jsonl, line 3: the prompt 'answer' cannot be filled in: 'ward' is undefined",
        *("distill", "answer", "--input", file, "--template", template, "--dry-run"),
        *("--model", "http://127.0.0.1:9/v1#m", "--output", tmp_path / "data"),
    )


def test_what_was_made_can_be_trained_on(distill, questions, tmp_path):
    told, _ = distill("answer", lambda body: completion("an answer"), "--input", questions(7))
    trained = train_in(tmp_path / "data", told["name"])
    assert (trained.error, trained.usable) == ("", 7)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('["a", "b"]', ["a", "b"]),
        ('```json\n["a", "b",]\n```', ["a", "b"]),
        ('Sure: {"questions": ["a"]}', ["a"]),
        ('[{"q": “a”}]', [{"q": "a"}]),
        ('{"a": 1}', [{"a": 1}]),
        ('[{"q": "a", "a": "低盐饮食，', None),
        ("no list at all", None),
        ("", None),
        ("[]", None),
    ],
)
def test_lists_in_answers(text, items):
    request = Request("u#m", (), 10, 0.0)
    found = listed(Reply.of(request, Completion(text or " x")))
    assert found == BAD_JSON if items is None else found[0] == items


def test_a_cut_list_is_never_repaired():
    reply = Reply.of(Request("u#m", (), 10, 0.0), Completion('[{"q": "a"}]', "length"))
    assert listed(reply) == "cut_off"
