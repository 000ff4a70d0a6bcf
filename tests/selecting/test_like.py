"""`--recipe like`: rows like the questions that a model will get."""

import json
import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import curate
from curate.commands.with_options import spread
from curate.data.read import read
from curate.errors import UsageError
from curate.parameters.option import BETWEEN, Option
from curate.parameters.select import SelectParams
from curate.recipes.select import select
from tests.conftest import SAMPLE
from tests.fake import put_in_place
from tests.scorers.test_embedding import Hasher

GENERAL = SAMPLE.with_name("alpaca_en.json")


class Letters(Hasher):
    """A vector of how often a, b and c stand in a text."""

    def vector(self, text):
        return np.array([text.count(letter) for letter in "abc"], dtype=np.float32)


@pytest.fixture
def letters(monkeypatch, scratch_cache):
    model = Letters()
    put_in_place(monkeypatch, encoder=lambda recipe: model)
    return model


@pytest.fixture
def rows(write_json):
    return read(write_json([row("a" * 5, "-"), row("aab", "-"), row("b", "-"), row("bc", "-")]))


def row(instruction, output):
    return {"instruction": instruction, "input": "", "output": output}


def test_a_set_without_questions_is_refused(letters, rows):
    with pytest.raises(UsageError, match="a set of questions is empty"):
        curate.select(rows, recipe="like", like=[[]], keep=1)


def test_questions_at_hand_are_a_table_or_dicts(letters, rows):
    asked = [{"question": "b"}, {"question": "c"}]
    one = curate.select(rows, recipe="like", like=pd.DataFrame(asked), keep=2).scores
    for like in (asked, [asked]):
        again = curate.select(rows, recipe="like", like=like, keep=2).scores
        assert again["question_text"].tolist() == one["question_text"].tolist()
        assert again["kept"].tolist() == one["kept"].tolist()
    assert {*one["question_text"].dropna()} == {"b", "c"}


def test_what_is_said_of_rows_and_questions_by_hand(letters, rows, write_json):
    asked = read(write_json([{"question": "b"}, {"question": "c"}, {"question": ""}], "q.json"),
                 questions=True)  # fmt: skip
    found = select(rows, SelectParams(recipe="like", keep=3), like=[asked])
    # b takes "b", c takes "bc", b takes "aab".
    lines = found.scores[["kept", "place", "question_text", "question_set", "question"]]
    assert lines["kept"].tolist() == [False, True, True, True]
    assert lines["place"].tolist()[1:] == [3, 1, 2]
    assert lines["question_text"].tolist()[1:] == ["b", "b", "c"]
    assert lines["question"].tolist()[1:] == [asked.ids[0], asked.ids[0], asked.ids[1]]
    assert lines["question_set"].tolist()[1:] == [1, 1, 1]
    similarity = [np.nan, 1 / 5**0.5, 1, 0.5**0.5]
    np.testing.assert_allclose(found.scored.values("similarity"), similarity, rtol=1e-6)
    np.testing.assert_allclose(found.scored.values("nearest")[:2], [0, 1 / 5**0.5], atol=1e-6)
    assert found.ranked_by == "nearest"
    (report,) = found.details["like"]
    assert (report["questions"], report["rows"]) == (2, 3)
    assert [each["rows"] for each in report["each"]] == [2, 1]
    assert [each["best"] for each in report["each"]] == [1, 0.7071]
    assert any("1 of 3 questions cannot be read" in note for note in found.notes)
    assert any("prompts alone are compared" in note for note in found.notes)
    assert any("1 of 3 questions stand in the rows" in note for note in found.notes)
    assert found.params.like == (f"q.json sha256:{asked.sources[0].sha256}",)
    assert found.params.model is None


def test_another_budget_or_condition_tells_anew_who_called(letters, rows):
    asked = read([{"question": "b"}, {"question": "c"}], questions=True)
    found = select(rows, SelectParams(recipe="like", keep=1), like=[asked])
    for other, order in ((found.keep(3), [2, 3, 1]), (found.keep(1).where("nearest < 1"), [3])):
        assert other.choice.order.tolist() == order
        place = other.scores["place"]
        assert [int(place[row]) for row in order] == list(range(1, len(order) + 1))
        assert place.notna().sum() == other.details["like"][0]["rows"] == len(order)


def test_by_another_score_nothing_is_told_of_who_called(letters, rows):
    asked = read([{"question": "b"}, {"question": "c"}], questions=True)
    found = select(rows, SelectParams(recipe="like", keep=2), like=[asked])
    told = {"similarity", "place", "question", "question_set", "question_text"}
    assert told <= set(found.scores)
    other = found.by("-nearest")
    assert other.choice.order.tolist() == [0, 1]
    assert told.isdisjoint(other.scores)
    assert other.details.keys().isdisjoint(("like", "near", "compared"))
    assert other.by("nearest").ranked_by == "nearest"
    assert found.by("place").scores["score"].tolist()[2:] == [1, 2]


def test_questions_with_answers_are_compared_with_their_answers(letters, write_json):
    rows = read(write_json([row("a", "b"), row("a", "c")]))
    asked = read(write_json([row("a", "c")], "q.json"))
    found = select(rows, SelectParams(recipe="like", keep=1), like=asked)
    assert found.choice.kept.tolist() == [False, True]
    assert found.details["compared"] == "prompt and response"


def test_another_set_of_questions_asks_the_encoder_for_its_own_questions_alone(
    letters, rows, tmp_path
):
    (tmp_path / "one.txt").write_text("a，b？\nb, c\n")
    (tmp_path / "two.txt").write_text("c\n")
    select(rows, SelectParams(recipe="like", keep=1), like=tmp_path / "one.txt")
    assert len(letters.asked) == 6
    select(rows, SelectParams(recipe="like", keep=2), like=[[str(tmp_path / "two.txt")]])
    assert letters.asked[6:] == ["c"]


def test_a_question_that_finds_nothing_near_is_named(letters, write_json):
    rows = read(write_json([row("a" * n + "b" * 50, "-") for n in range(1, 41)]))
    asked = read(write_json([{"question": "bbbbba"}, {"question": "c"}], "q.json"), questions=True)
    found = select(rows, SelectParams(recipe="like", keep=2), like=[[asked]])
    (report,) = found.details["like"]
    assert [each["near"] for each in report["each"]] == [True, False]
    assert report["nothing_near"] == 1


def test_where_rows_are_left_out(letters, rows, scores_file, tmp_path):
    path = tmp_path / "rows.json"
    file = scores_file(path, a=[1.0, 1.0, 0.0, 1.0])
    found = select(
        rows, SelectParams(recipe="like", keep=1, where="a > 0"), [file], like=[[path_of(tmp_path)]]
    )
    assert found.choice.reason.tolist() == ["not_called", "not_called", "where", ""]


def path_of(folder):
    path = folder / "questions.txt"
    path.write_text("b\n")
    return path


@pytest.mark.parametrize(
    ("typed", "read_as"),
    [
        ("--like a b --like c --json", "--like a|b --like c --json"),
        ("--like=a b --input x y", "--like=a|b --input x --input y"),
        ("--input x --like a -- b", "--input x --like a -- b"),
    ],
)
def test_values_after_one_like_are_one_set(typed, read_as):
    found = spread(typed.split(), {"--input": Option(""), "--like": Option("", together=True)})
    assert [each.replace(BETWEEN, "|") for each in found] == read_as.split()


def test_wrong_use(call, letters, rows_file, write_json, tmp_path):
    path, asked = rows_file(3), path_of(tmp_path)
    own = ("select", "--input", path, "--output", tmp_path / "o", "--keep", 1)
    call.refused("--recipe like: give --like FILE", *own, "--recipe", "like")
    call.refused("--like: only --recipe like", *own, "--recipe", "random", "--like", asked)
    call.refused("--by: --recipe like goes by questions", *own, "--recipe", "like", "--by", "x")
    call.refused("no file .*none.txt", *own, "--recipe", "like", "--like", tmp_path / "none.txt")
    empty = write_json([row(" ", "x"), row("", "y")], "empty.json")
    call.refused("empty.json: no question can be read", *own, "--recipe", "like", "--like", empty)
    with pytest.raises(UsageError, match="int is nothing that holds rows"):
        select(read(path), SelectParams(recipe="like"), like=[[5]])
    pairs = write_json([{"instruction": "a", "chosen": "b", "rejected": "c"}], "pairs.json")
    with pytest.raises(UsageError, match="these rows are preference pairs"):
        select(read(pairs), SelectParams(recipe="like"), like=asked)
    (tmp_path / "texts.jsonl").write_text(json.dumps({"text": "a"}))
    with pytest.raises(UsageError, match="these rows are texts for pre-training"):
        select(read(tmp_path / "texts.jsonl"), SelectParams(recipe="like"), like=asked)


# With the bundled encoder, on real rows.


@pytest.fixture
def pool(tmp_path, scratch_cache):
    """Medical questions in Chinese and general ones in English, and medical questions to ask."""
    medical, general = (json.loads(file.read_text(encoding="utf-8")) for file in (SAMPLE, GENERAL))
    for name, values in (("pool", [*medical[:40], *general[:40]]), ("asked", medical[40:50])):
        (tmp_path / f"{name}.json").write_text(json.dumps(values), encoding="utf-8")
    (tmp_path / "asked.txt").write_text("Name three colours.\nGive me a recipe, please.\n")
    return tmp_path


def test_the_command_takes_the_wanted_part_and_writes_the_same_bytes_twice(pool, call):
    for each in "ab":
        answer = call("select", "--input", pool / "pool.json", "--recipe", "like", "--keep", 20,
                      "--like", pool / "asked.json", "--with-control", "--name", "wanted",
                      "--output", pool / each, "--json")  # fmt: skip
        assert answer.code == 0, answer.err
    said = json.loads(answer.out.splitlines()[-1])
    assert said["compared"] == "prompt and response"
    assert said["like"][0]["rows"] == 20
    assert said["control"]["mean"] > said["control"]["random_mean"]
    table = pq.read_table(pool / "b" / "wanted.scores.parquet").to_pandas()
    medical = table["row"] < 40
    assert table[table["kept"]]["row"].lt(40).all()
    assert table["nearest"][medical].mean() > table["nearest"][~medical].mean()
    assert re.search(r"asked.json +10 +20 +0 +0", answer.err), answer.err
    for end in ("jsonl", "scores.parquet"):
        one, other = (pool / folder / f"wanted.{end}" for folder in "ab")
        assert one.read_bytes() == other.read_bytes()
    manifest = json.loads((pool / "b" / "wanted.manifest.json").read_text())
    assert manifest["params"]["like"][0].startswith("asked.json sha256:")
    assert manifest["model"]["encoder"] == "use"


def test_two_sets_get_as_many_rows_each(pool, call):
    answer = call("select", "--input", pool / "pool.json", "--recipe", "like", "--keep", 20,
                  "--like", pool / "asked.json", "--like", pool / "asked.txt",
                  "--output", pool / "o", "--json")  # fmt: skip
    assert answer.code == 0, answer.err
    sets = json.loads(answer.out.splitlines()[-1])["like"]
    assert [(each["files"], each["questions"], each["rows"]) for each in sets] == [
        (["asked.json"], 10, 10),
        (["asked.txt"], 2, 10),
    ]


def test_questions_in_another_language_are_told(pool):
    rows = read(pool / "pool.json").dataset.select(range(40))
    found = curate.select(curate.read(rows), recipe="like", like=pool / "asked.txt", keep=5)
    assert any("another language (en) than most rows (zh)" in note for note in found.notes)


@pytest.mark.model
def test_rds_with_the_bundled_model(models, write_json):
    english = json.loads(GENERAL.read_text(encoding="utf-8"))
    short = sorted(english, key=lambda each: len(each["output"]) + len(each["input"]))[:12]
    rows, asked = read(write_json(short)), read(write_json(short[3:5], "asked.json"))
    found = curate.select(rows, recipe="like", like=asked, model="smollm2", keep=2)
    assert np.flatnonzero(found.choice.kept).tolist() == [3, 4]
    np.testing.assert_allclose(found.scored.values("similarity")[[3, 4]], 1, atol=0.02)
    assert found.model["name"] == "smollm2"
    assert any("2 of 2 questions stand in the rows" in note for note in found.notes)
