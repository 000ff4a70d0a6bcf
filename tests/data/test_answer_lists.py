"""Lists of answers to one prompt: each a row, told; and lists that are something else."""

import json

import pytest

from curate.data.read import read

LISTS = [
    {"instruction": "腰疼吗", "input": "", "output": ["有一点", "不", "很疼"]},
    {"instruction": "腿疼吗", "input": "", "output": ["不"]},
    {"instruction": "头疼吗", "input": "", "output": []},
]


def written(folder, rows, name="rows.jsonl"):
    path = folder / name
    path.write_text(
        "\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8"
    )
    return read(path)


def said(rows):
    return [(row.prompt, row.response) for row in rows]


@pytest.fixture(autouse=True)
def _own_cache(scratch_cache):
    pass


def test_each_answer_is_a_row_that_says_where_it_stood(tmp_path):
    rows = written(tmp_path, LISTS)
    assert said(rows) == [
        *[("腰疼吗", "有一点"), ("腰疼吗", "不"), ("腰疼吗", "很疼")],
        *[("腿疼吗", "不"), ("头疼吗", "")],
    ]  # fmt: skip
    assert [row.value["source_id"] for row in rows] == ["line 1"] * 3 + ["line 2", "line 3"]
    assert rows[1].where == "line 1, answer 2"
    assert rows.flaws() == {"empty_response": 1}
    assert rows.sources[0].format == "alpaca"
    told = "rows.jsonl: 3 rows held 4 answers, each of which is a row now"
    assert rows.description().notes == (told,)


@pytest.mark.parametrize("key", ["responses", "answers", "outputs", "candidates", "completions"])
@pytest.mark.parametrize("ask", ["instruction", "prompt", "question", "query"])
def test_names_of_lists(tmp_path, key, ask):
    rows = written(tmp_path, [{ask: "a", key: ["b", "c", "d"]}, {ask: "e", key: ["f"]}])
    assert said(rows) == [("a", "b"), ("a", "c"), ("a", "d"), ("e", "f")]
    assert rows.shape.kind == "sft"
    assert not rows.flaws()


def test_texts_between_the_lists_are_rows_as_they_were(tmp_path):
    rows = written(tmp_path, [*LISTS[:2], {"instruction": "咳吗", "input": "", "output": "咳"}])
    assert said(rows)[-1] == ("咳吗", "咳")
    assert "source_id" not in rows[4].value


@pytest.mark.parametrize(
    ("row", "kind", "count"),
    [
        ({"instruction": "a", "output": ["good", "bad"]}, "preference", 2),
        ({"questions": [["a", "A"]], "answers": [["b", "c"]]}, "sft", 2),
        ({"questions": "a", "answers": ["b", "c"]}, "sft", 2),
        ({"question": "a", "answers": {"text": ["b", "c"], "start": [0]}}, "sft", 2),
        ({"question": "a", "answer": ["b", "c"]}, "sft", 2),
        ({"prompt": "a", "response": "b", "candidates": ["c", "d", "e"]}, "sft", 2),
    ],
)
def test_lists_of_another_kind_are_read_as_before(tmp_path, row, kind, count):
    rows = written(tmp_path, [row, row])
    assert (rows.shape.kind, len(rows)) == (kind, count)
    assert not any("held" in note for note in rows.description().notes)


def test_answers_with_scores_are_pairs(tmp_path):
    row = {"prompt": "a", "responses": ["b", "c", "d"], "scores": [3, 1, 2]}
    rows = written(tmp_path, [row, row])
    assert rows.shape.kind == "preference"
    assert [(each.parsed.chosen, each.parsed.rejected) for each in rows][:2] == [
        ("b", "c"),
        ("b", "d"),
    ]
