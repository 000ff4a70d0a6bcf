"""What is asked: rows of any file, lines of a text, and rows that were proven to be held out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.data.manifest import sha256_of
from curate.errors import DataError, UsageError
from deploy.compare.asked import asked
from deploy.compare.prompts import limited, prompts_of, read_rows


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, rows: Any) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


def alpaca(*numbers: int, answer: str = "答") -> list[dict[str, str]]:
    return [
        {"instruction": f"问题{at}？", "input": "", "output": f"{answer}{at}"} for at in numbers
    ]


def test_rows_become_prompts_with_their_references():
    rows = [
        {
            "messages": [
                {"role": "user", "content": "你好"},
                {"role": "assistant", "content": "您好"},
            ]
        },
        {
            "messages": [
                {"role": "system", "content": "你是医生"},
                {"role": "user", "content": "头痛"},
                {"role": "assistant", "content": "多久了？"},
                {"role": "user", "content": "三天"},
                {"role": "assistant", "content": "请来医院"},
            ]
        },
        {"messages": [{"role": "user", "content": "没有答案的"}]},
        {"messages": [{"role": "user", "content": " "}, {"role": "assistant", "content": "?"}]},
    ]
    found = prompts_of(curate.read(write("rows.json", rows)))
    first, second, third = found.prompts
    assert (first.messages, first.reference) == ([{"role": "user", "content": "你好"}], "您好")
    assert [each["role"] for each in second.messages] == ["system", "user", "assistant", "user"]
    assert (second.turns[-1].content, second.reference) == ("三天", "请来医院")
    assert (third.turns[-1].content, third.reference) == ("没有答案的", "")
    assert (found.read, found.left_out) == (4, {"empty_prompt": 1})
    assert found.sources == {"rows.json": sha256_of(Path("rows.json"))}


def test_the_preferred_answer_of_a_pair_is_its_reference():
    row = {"instruction": "问", "input": "", "chosen": "好", "rejected": "坏"}
    (found,) = prompts_of(curate.read(write("pairs.json", [row]))).prompts
    assert (found.turns[-1].content, found.reference) == ("问", "好")


def test_every_line_of_a_text_is_a_prompt():
    Path("ask.txt").write_text("高血压能吃党参吗？\n\nWhat is 1 + 1, and why?\n", encoding="utf-8")
    found = prompts_of(read_rows(Path("ask.txt")))
    assert [each.turns[0].content for each in found.prompts] == [
        "高血压能吃党参吗？",
        "What is 1 + 1, and why?",
    ]
    assert {each.reference for each in found.prompts} == {""}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "一篇文章"}\n', "holds documents, which ask nothing"),
        ("", "is empty"),
        (
            '{"prompt": "只有问题"}\n',
            "no format that is read.*given as a .txt, a prompt a line",
        ),
    ],
)
def test_files_without_prompts(content, message):
    Path("rows.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        prompts_of(read_rows(Path("rows.jsonl")))


def test_a_limit_draws_in_order_and_counts_the_rest():
    found = prompts_of(curate.read(write("rows.json", alpaca(*range(30)))))
    some = limited(found, 5, 0)
    places = [int(each.turns[0].content[2:-1]) for each in some.prompts]
    assert places == sorted(places) != [0, 1, 2, 3, 4]
    assert some.left_out == {"beyond_limit": 25}
    assert limited(found, 5, 0) == some != limited(found, 5, 1)
    assert limited(found, 30, 0) == found


# Held out


def emitted(numbers: range, source: list[dict[str, str]]) -> None:
    """A data set of some rows of a source, as curate writes it, and the source beside it."""
    write("source.json", source)
    write("data/chosen.jsonl", None)
    lines = [json.dumps(source[at], ensure_ascii=False) for at in numbers]
    Path("data/chosen.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    columns = {"prompt": "instruction", "query": "input", "response": "output"}
    entry = {"file_name": "chosen.jsonl", "formatting": "alpaca", "columns": columns}
    write("data/dataset_info.json", {"chosen": entry})
    sources = [{"name": "source.json", "sha256": sha256_of(Path("source.json"))}]
    write("data/chosen.manifest.json", {"sources": sources})


def run(**more: Any) -> None:
    dataset = {
        "name": "chosen",
        "dataset_dir": "data",
        "data_sha256": sha256_of(Path("data/chosen.jsonl")),
        "manifest_sha256": None,
    }
    write(
        "saves/r/run.json",
        {"format": 1, "state": "done", "model": "smollm2", "dataset": dataset, **more},
    )


def ask(
    prompts: str | None = None,
    dataset: str | None = None,
    tuned: str = "saves/r",
    dataset_dir: str | None = None,
    base: str = "smollm2",
) -> Any:
    folder = Path(dataset_dir) if dataset_dir else None
    file = Path(prompts) if prompts else None
    return asked(file, dataset, folder, (base, tuned), 100, 0)


def questions(found: Any) -> list[int]:
    return [int(each.turns[0].content[2:-1]) for each in found.prompts]


def test_rows_of_the_source_that_were_not_chosen_are_held_out():
    emitted(range(6), alpaca(*range(10)))
    run()
    found, notes = ask()
    assert questions(found) == [6, 7, 8, 9]
    assert {each.trained_on for each in found.prompts} == {False}
    assert (found.read, found.left_out, notes) == (10, {"trained_on": 6}, [])
    assert ask(dataset="chosen", tuned="somewhere")[0] == found
    assert ask("source.json", "chosen", "somewhere")[0] == found


def test_the_same_prompt_with_another_answer_or_in_another_shape_is_not_held_out():
    emitted(range(6), alpaca(*range(10)))
    others = alpaca(5, 6, answer="别的")
    others[0]["instruction"] = " 问题5？\n"
    write("others.json", others)
    assert questions(ask("others.json", "chosen", "x")[0]) == [6]
    said = [{"from": "human", "value": "问题4？"}, {"from": "gpt", "value": "别的"}]
    new = [{"from": "human", "value": "问题7？"}, {"from": "gpt", "value": "别的"}]
    write("shared.json", [{"conversations": said}, {"conversations": new}])
    assert questions(ask("shared.json", "chosen", "x")[0]) == [7]


def test_a_turn_in_the_middle_of_a_trained_dialogue_was_trained_on():
    dialogue = [
        *({"from": "human", "value": "问题1？"}, {"from": "gpt", "value": "答"}),
        *({"from": "human", "value": "然后？"}, {"from": "gpt", "value": "答"}),
    ]
    write("data/d.json", [{"conversations": dialogue}])
    write("data/dataset_info.json", {"d": {"file_name": "d.json", "formatting": "sharegpt"}})
    write("others.json", alpaca(1, 2, answer="别的"))
    assert questions(ask("others.json", "d", "x")[0]) == [2]


def test_given_prompts_are_all_asked_and_told_apart():
    emitted(range(6), alpaca(*range(10)))
    run()
    found, notes = ask("source.json")
    assert [each.trained_on for each in found.prompts] == [True] * 6 + [False] * 4
    assert notes == []
    unknown, _ = ask("source.json", tuned="somewhere")
    assert {each.trained_on for each in unknown.prompts} == {None}


def test_what_cannot_be_proven_is_not_called_held_out():
    emitted(range(6), alpaca(*range(10)))
    run()
    with Path("data/chosen.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(alpaca(8)[0], ensure_ascii=False) + "\n")
    with pytest.raises(DataError, match="chosen.jsonl is not what the model was trained on"):
        ask()
    found, notes = ask("source.json")
    assert {each.trained_on for each in found.prompts} == {None}
    assert "cannot be told: data set 'chosen'" in notes[0]


def test_a_source_that_is_gone_or_another_is_asked_for():
    emitted(range(6), alpaca(*range(10)))
    run()
    write("source.json", alpaca(*range(11)))
    with pytest.raises(UsageError, match=r"from source.json \(sha256 .* give it with --prompts"):
        ask()
    assert questions(ask("source.json", "chosen")[0]) == [6, 7, 8, 9, 10]
    Path("data/chosen.manifest.json").unlink()
    with pytest.raises(UsageError, match="no row can be proven to be held out"):
        ask()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"tuned": "x"}, UsageError, "nothing to ask: give --prompts FILE, or --dataset NAME"),
        ({"dataset": "chosne", "tuned": "x"}, UsageError, "not in data.* Did you mean 'chosen'"),
        (
            {"dataset": "x", "tuned": "x", "dataset_dir": "."},
            UsageError,
            "is no dataset_info",
        ),
        ({"dataset": "other"}, UsageError, "was trained on 'chosen'"),
        ({"prompts": "few.json", "dataset": "chosen"}, DataError, "all 2 rows of few.json are in"),
        ({"prompts": "no.json"}, DataError, "no file 'no.json'"),
    ],
)
def test_wrong_questions(arguments, error, message):
    emitted(range(6), alpaca(*range(10)))
    run()
    write("few.json", alpaca(1, 2))
    with pytest.raises(error, match=message):
        ask(**arguments)


def test_a_run_that_is_not_done_or_of_another_base_is_told():
    emitted(range(6), alpaca(*range(10)))
    run(state="stopped")
    _, notes = ask(base="other")
    assert "is not done but 'stopped'" in notes[0]
    assert "trained from 'smollm2', and --base is 'other'" in notes[1]
    Path("saves/r/run.json").write_text("{")
    with pytest.raises(DataError, match=r"run.json cannot be read"):
        ask()
