"""What is asked: rows of any file, and lines of a text."""

from __future__ import annotations

from pathlib import Path

import pytest

import curate
from curate.errors import DataError
from curate.system.files import sha256_of
from deploy.compare.asking import limited, prompts_of, read_rows
from tests.deploy.datasets import alpaca, write


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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
