"""Rows of verbs where they go next: Python, doctor, select, ifd, mix, and training."""

import json

import pytest

import curate as library
from curate.errors import ModelError, UsageError
from tests.calling import Caller
from tests.distill.lying_server import completion, http
from train.cli import app

PAIRS = (
    ("What lowers a fever?", "Paracetamol lowers a fever; drink enough, and see a doctor if it"),
    ("What is insulin for?", "Insulin lets cells take up sugar from the blood, so that its level"),
    ("Why do I cough at night?", "Reflux, asthma and a running nose are frequent."),
    ("How much salt a day?", "Five grams are enough for an adult; bread and sausages have most of"),
    ("Is a nosebleed dangerous?", "Mostly not: sit upright, press ten minutes, and cool"),
    ("What does a statin do?", "It slows the making of cholesterol in the liver."),
)  # fmt: skip


def answered(body):
    question = body["messages"][-1]["content"]
    said = dict(PAIRS)[question]
    worse = "It depends." if body["model"] == "rejected" else said
    return completion(f"{worse} [{body['seed']}].")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(json.dumps({"instruction": q, "output": "?"}) for q, _ in PAIRS))
    return path


def test_functions_write_what_the_commands_write(serve, curate, file, tmp_path):
    server = serve(lambda body, times: answered(body))
    address, here, there = f"{server.address}#m", tmp_path / "python", tmp_path / "command"
    dry = library.distill_answer(file, here, model=address, price="1/2", dry_run=True)
    assert (dry.estimate.requests, dry.files, len(server.bodies)) == (6, [], 0)
    made = library.distill_answer(str(file), here, model=address, price="1/2")
    assert (made.asked, made.counts["kept"], made.name) == (6, 6, "q_answer")
    assert [made.spent, made.cost] == pytest.approx([6 * (10 + 2 * 5) / 1e6] * 2)
    assert made.cost < dry.estimate.most_cost
    told = curate(
        *("distill", "answer", "--input", file, "--model", address, "--price", "1/2"),
        *("--output", there),
    )
    assert told.code == 0, told.err
    for name in made.files:
        assert (here / name).read_bytes() == (there / name).read_bytes(), name
    rows = library.read(dataset=made.name, dataset_dir=here)
    again = library.distill_answer(rows, here, model=address, name="again")
    assert (again.asked, again.counts["kept"]) == (6, 6)
    server.close()
    there_is = library.distill_answer(file, here, model=address, price="1/2")
    assert (there_is.asked, there_is.counts["kept"]) == (0, 6)  # and no server is needed
    with pytest.raises(UsageError, match=r"distill_answer has no option 'modle'"):
        library.distill_answer(file, modle=address)
    with pytest.raises(UsageError, match=r"--model is not given"):
        library.distill_answer(file, here)
    refused = serve(lambda body, times: http(401, {"error": {"message": "no"}}))
    with pytest.raises(ModelError, match="the key is missing"):
        library.distill_answer(file, here, model=f"{refused.address}#m", name="refused")


def test_functions_of_texts_and_of_examples(serve, file, tmp_path):
    book = tmp_path / "book.txt"
    book.write_text("Insulin lets cells take up sugar from the blood, and its level falls. " * 9)
    server = serve(
        lambda body, times: completion(
            '["What is insulin for?"]'
            if "JSON array" in str(body["messages"])
            else "It lets cells take up sugar from the blood."
        )
    )
    made = library.distill_document(book, tmp_path / "data", model=f"{server.address}#m")
    assert (made.counts["kept"], made.name) == (1, "book_document")
    for wrong in ([], None, library.read(file), [{"instruction": "q"}]):
        with pytest.raises(UsageError, match="is nothing that holds texts; give the path"):
            library.distill_document(wrong, tmp_path / "data", model=f"{server.address}#m")
    task = {"instruction": "Name three sources of salt.", "input": "", "output": "Bread, soup."}
    server = serve(lambda body, times: completion(json.dumps([task])))
    more = {"target": 1, "per_request": 1}
    made = library.distill_instruct(file, tmp_path / "data", model=f"{server.address}#m", **more)
    assert (made.counts["kept"], made.name) == (1, "q_instruct")


def test_what_is_no_text_is_sent_as_text(serve, tmp_path):
    odd = tmp_path / "odd.jsonl"
    odd.write_text(
        r'{"instruction": "odd \ud800", "output": "x"}' + "\n"
        r'{"instruction": "text\u0000?", "output": "x"}'
    )
    server = serve(lambda body, times: completion("half a \ud83d pair"))
    made = library.distill_answer(odd, tmp_path / "data", model=f"{server.address}#m")
    assert [body["messages"][0]["content"] for body in server.bodies] == ["text?"]
    assert made.counts["dropped"] == {"lone_surrogate": 1}
    (row,) = library.read(dataset=made.name, dataset_dir=tmp_path / "data")
    assert row.response == "half a \ufffd pair"


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_answers_and_pairs_go_all_the_way(serve, curate, capsys, file, tmp_path):
    server = serve(lambda body, times: answered(body))
    data, base = tmp_path / "data", ("--output", tmp_path / "data", "--json")

    def made(*line):
        told = curate(*line, *base)
        assert told.code == 0, told.err
        return json.loads(told.out)

    said = made("distill", "answer", "--input", file, "--model", f"{server.address}#m", "--n", "2")
    assert said["kept"] == 12
    of_data = ("--dataset-dir", data, "--dataset")
    picked = made("select", *of_data, "q_answer", "--recipe", "answers", "--model", "smollm2")
    assert picked["kept"] == 6
    hard = made("ifd", *of_data, picked["name"], "--keep", "4", "--name", "hard")
    assert hard["kept"] == 4
    mixed = made("mix", "--domain", data / "hard.jsonl", "--general", file, "--ratio", "2:1",
                 "--name", "mixed")  # fmt: skip
    assert mixed["kept"] == 6
    chosen, rejected = (f"{server.address}#{name}" for name in ("chosen", "rejected"))
    pairs = made("distill", "prefer", "--input", file, "--chosen", chosen, "--rejected", rejected)
    assert pairs["kept"] == 6
    train = Caller(capsys, app, "train")
    for name, stage, count in (("mixed", "sft", 6), ("q_prefer", "dpo", 6)):
        checked = curate("doctor", *of_data, name, "--json")
        assert checked.code == 0, checked.out + checked.err
        model = ("--model", "smollm2", "--dry-run", "--yes")
        shown = train(stage, *of_data, name, "--output", tmp_path / f"run_{stage}", *model)
        assert shown.code == 0, shown.err
        assert f"{count}" in shown.out + shown.err
