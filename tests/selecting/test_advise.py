"""`curate advise`: what is seen of rows, and that the commands it prints run as they stand."""

import json
import shlex

import numpy as np
import pytest

import curate
from curate.cli import app as curate_app
from curate.data.read import read
from curate.models.text_tokenizer import token_counter
from curate.recipes import advise as recipe
from curate.recipes.advise import advise, look
from tests.calling import Caller, share_models
from tests.conftest import SAMPLE
from train.cli import app as train_app

WORDS = [
    a + b for a in ("ba", "ke", "lo", "mi", "su", "ter") for b in ("nd", "ll", "rk", "sp", "x")
]


def some_words(number, size):
    return " ".join(np.random.default_rng(number).choice(WORDS, size))


def instructions(size, first=0):
    return [
        {"instruction": f"{some_words(i, 8)} {i}?", "output": some_words(10**6 + i, 5 + i % 7)}
        for i in range(first, first + size)
    ]


def dialogues(size):
    turns = ("human", "gpt") * 2
    return [
        {
            "conversations": [
                {"from": turn, "value": some_words(4 * i + at, 6)} for at, turn in enumerate(turns)
            ]
        }
        for i in range(size)
    ]


def pairs(size):
    return [
        {"instruction": row["instruction"], "chosen": row["output"], "rejected": f"No {i}."}
        for i, row in enumerate(instructions(size))
    ]


def verdicts(size):
    return [row | {"kto_tag": i % 3 > 0} for i, row in enumerate(instructions(size))]


def texts(size):
    return [{"text": f"{row['instruction']} {row['output']}"} for row in instructions(size)]


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """An empty folder to type commands in, with models in the cache; returns what types them."""
    share_models(tmp_path / "cache")
    monkeypatch.setenv("CURATRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recipe, "FEW", 100)
    apps = {"curate": curate_app, "train": train_app}

    def run(command):
        program, *arguments = shlex.split(command)
        more = ["--dry-run"] if program == "train" else []
        return Caller(capsys, apps[program], program)(*arguments, *more)

    return run


def test_what_is_seen_by_hand(write_json, scratch_cache):
    rows = [
        {"instruction": "Say it.", "input": "Twelve words of context.", "output": "It is said."},
        {"instruction": "Say it.", "input": "Twelve words of context.", "output": "It is said."},
        {"instruction": "说一遍。", "input": "", "output": "说过了。"},
        {"instruction": "Answer me!", "input": "", "output": ""},
        {
            "instruction": "How long is the river Rhine?",
            "output": "It is 1,233 kilometres long",
            "system": "Be exact.",
        },
        {
            "instruction": "How long is the river Rhine?",
            "output": "It is 1,233 kilometres long!",
            "system": "Be exact.",
        },
    ]
    seen = look(read(write_json(rows)))
    counted = token_counter().count([row["output"] for row in rows if row["output"]])
    assert seen["response_tokens"] == sum(counted) + 5
    assert {name: seen[name] for name in seen if name.startswith("drawn")} == {
        "drawn": 6, "drawn_near_duplicates": 1, "drawn_with_input": 2, "drawn_with_system": 2,
    }  # fmt: skip
    assert (seen["rows"], seen["usable"], seen["exact_duplicates"]) == (6, 5, 1)
    assert seen["languages"] == {"en": 5, "zh": 1}
    assert "verdicts" not in seen


def test_many_rows_are_looked_at_through_drawn_ones(write_json, scratch_cache, monkeypatch):
    path = write_json(instructions(900))
    whole = look(read(path))
    monkeypatch.setattr(recipe, "DRAWN", 300)
    seen = look(read([path, write_json(instructions(100, first=900), "more.json")]))
    assert seen["rows"] == 1000
    assert seen["drawn"] == 300
    assert seen["tokens_by"] == "use, of the drawn rows"
    assert seen["response_tokens"] == pytest.approx(whole["response_tokens"] / 0.9, rel=0.1)


@pytest.mark.model
@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (instructions(99), ["dedup", "sft --dataset rows_dedup"]),
        (instructions(60) * 2, ["dedup", "advise"]),
        (verdicts(100), ["dedup", "kto"]),
        (pairs(100), ["dedup", "score", "select", "dpo"]),
        (texts(100), ["dedup", "mix", "pt"]),
        (instructions(100), ["select --input rows.json --recipe clusters", "select", "sft"]),
        (dialogues(100), ["select", "select", "sft --dataset rows_clusters"]),
    ],
)
def test_the_commands_run_as_they_stand(here, write_json, rows, words):
    write_json(rows)
    answer = here("curate advise rows.json --json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    commands = [step["command"] for step in told["commands"]]
    assert len(commands) == len(words)
    for command, beginning in zip(commands, words, strict=True):
        assert command.split(" ", 1)[1].startswith(beginning)
        ran = here(command)
        assert ran.code == 0, (command, ran.err)
    assert all(step["why"] and step["evidence"] for step in told["commands"])


@pytest.mark.model
def test_questions_call_for_like(here, write_json, tmp_path):
    write_json([*instructions(100), *instructions(20)], "mine & theirs.json")
    (tmp_path / "ask.txt").write_text("What of bread?\nWhat of tides?\n", encoding="utf-8")
    answer = here("curate advise --input 'mine & theirs.json' --like ask.txt")
    assert answer.code == 0, answer.err
    assert "note: what wins most" not in answer.err
    commands = [line for line in answer.out.splitlines() if line and not line.startswith("#")]
    assert [command.split()[1] for command in commands] == ["dedup", "select", "select", "sft"]
    assert "--dataset mine_theirs_dedup --recipe like --like ask.txt" in commands[1]
    for command in commands:
        ran = here(command)
        assert ran.code == 0, (command, ran.err)


def test_how_the_rows_are_read_is_part_of_the_commands(here, write_json):
    rows = [{"ask": r["instruction"], "reply": r["output"], "note": "x"} for r in instructions(100)]
    write_json(rows)
    answer = here("curate advise --input rows.json --columns prompt=ask response=reply")
    first = next(line for line in answer.out.splitlines() if line.startswith("curate"))
    assert first.startswith("curate select --input rows.json --columns prompt=ask response=reply")


@pytest.mark.model
def test_a_registered_set_in_another_folder(here, write_json):
    write_json(instructions(120))
    assert here("curate dedup rows.json --output sets --name mine --show 0").code == 0
    answer = here("curate advise --dataset-dir sets --dataset mine")
    first = next(line for line in answer.out.splitlines() if line.startswith("curate"))
    assert first.startswith("curate select --dataset mine --dataset-dir sets --recipe clusters")
    assert here(first).code == 0


def test_a_file_beside_a_folder_of_registered_names(here, write_json):
    write_json(instructions(60))
    answer = here("curate advise --input rows.json --dataset-dir sets")
    assert "\ntrain sft --dataset rows_dedup\n" in answer.out


def test_in_python_and_in_a_notebook(scratch_cache):
    advice = curate.advise(SAMPLE)
    assert advice.looked["rows"] == 120
    assert shlex.join(["curate", "dedup", "--input", str(SAMPLE)]) in repr(advice)
    assert "<td" in advice._repr_html_()
    assert advise(read(SAMPLE)).commands[1] == advice.commands[1]


def test_questions_that_are_not_there(here, write_json):
    write_json(instructions(100))
    answer = here("curate advise rows.json --like nowhere.txt")
    assert answer.code == 2
    assert "nowhere.txt" in answer.errors[0]


def test_row_text_never_becomes_a_command(here, write_json):
    write_json(instructions(100), "a'; touch owned #.json")
    answer = here(shlex.join(["curate", "advise", "a'; touch owned #.json"]))
    lines = [line for line in answer.out.splitlines() if line and not line.startswith("#")]
    assert shlex.split(lines[0])[3] == "a'; touch owned #.json"


def test_spread_of_the_drawn_rows_over_files(write_json, scratch_cache):
    rows = read([write_json(instructions(60)), write_json(instructions(60, first=60), "b.json")])
    drawn = rows.at(np.sort(np.random.default_rng(0).choice(len(rows), 50, replace=False)))
    assert sum(source.rows for source in drawn.sources) == len(drawn) == 50
    places = np.flatnonzero(np.isin(rows.ids, drawn.ids))
    assert (places < 60).sum() == drawn.sources[0].rows
    assert [row.source for row in drawn] == ["rows.json"] * drawn.sources[0].rows + [
        "b.json"
    ] * drawn.sources[1].rows


def test_rows_that_all_have_a_flaw_are_for_the_doctor(write_json):
    steps = advise(write_json([{"instruction": "a", "output": ""}])).commands
    assert [shlex.split(step.command)[:2] for step in steps] == [["curate", "doctor"]]


def test_texts_have_no_lengths_of_responses(write_json):
    assert "response_characters" not in look(read(write_json([{"text": "some words here"}])))
