"""Ranked answers as pairs: which, how many, what is told, and what stays as it was."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.data.describe import notes_on
from curate.data.formats.several_answers import as_pairs
from curate.data.json_values import Record
from curate.data.read import read


@pytest.fixture
def pairs(scratch_cache, tmp_path):
    """Write rows; return the pairs that are read, and what is told."""

    def pairs(*rows, **how):
        path = tmp_path / "ranked.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        found = read(path, **how)
        assert found.shape.ranking
        said = [(row.prompt, row.parsed.chosen, row.parsed.rejected) for row in found]
        return said, found

    return pairs


def ultra(*scores):
    """A row as UltraFeedback has it."""
    answers = [{"model": "m", "response": f"r{n}", "overall_score": s} for n, s in scores]
    return {"source": "s", "instruction": "q", "models": ["m"], "completions": answers}


def test_ultrafeedback_is_the_best_against_each_below_it(pairs):
    said, rows = pairs(
        ultra((1, 4.0), (2, 8.5), (3, "N/A"), (4, "7"), (5, 8.5)), ultra((1, 2), (2, 1))
    )
    assert said == [("q", "r2", "r1"), ("q", "r2", "r4"), ("q", "r1", "r2")]
    assert [row.where for row in rows] == ["line 1, pair 1", "line 1, pair 2", "line 2, pair 1"]
    assert [row.value["source_id"] for row in rows] == ["line 1", "line 1", "line 2"]
    assert rows[0].value["source"] == "s"
    assert notes_on(rows.sources[0])[:3] == [
        "ranked.jsonl: pairs of the best answer and each one below it, made of 2 rows: 3 rows",
        "ranked.jsonl: answers left out that are ranked as high as the best: 1 row",
        "ranked.jsonl: answers left out that have no rank: 1 row",
    ]


def objects(text, key, *numbers):
    return [{text: said, key: n} for said, n in zip("bac", numbers, strict=True)]


def says(text):
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "answers": ["b", "a", "c"], "rank": [2, 1, 3]},
        {"prompt": "q", "responses": ["b", "a", "c"], "scores": [0.2, 0.9, -1]},
        {"prompt": "q", "answers": objects("answer", "rank", 2, 1, 3)},
        {"question": "q", "answers": objects("text", "pm_score", 2, 4, 0)},
        {"messages": says("q"), "responses": ["b", "a", "c"], "ratings": [2, 5, 1]},
    ],
)
def test_lists_of_answers(pairs, row):
    assert pairs(row, row)[0] == 2 * [("q", "a", "b"), ("q", "a", "c")]


def test_a_row_without_a_worse_answer_stays_and_says_so(pairs):
    said, rows = pairs(ultra((1, 3), (2, 3)), ultra((1, 2), (2, 1)), {"instruction": "alone"})
    assert said[:2] == [("q", "r1", ""), ("q", "r1", "r2")]
    assert len(rows) == 3
    assert rows.flaws() == {"empty_response": 2}
    assert rows.sources[0].changes["rows without an answer below the best, so without a pair"] == 1


@pytest.mark.parametrize(
    "row",
    [
        {"question": "q", "answers": ["a", "b"]},  # no ranks
        {"question": "q", "answers": ["a", "b"], "scores": [1]},
        {"question": "q", "answers": ["a", "b"], "scores": ["x", True]},
        {"instruction": "q", "output": "a", "ranking": 3},
    ],
)
def test_others_are_no_pairs(pairs, scratch_cache, tmp_path, row):
    path = tmp_path / "plain.jsonl"
    path.write_text(f"{json.dumps(row)}\n" * 2)
    rows = read(path)
    assert not rows.shape.ranking


def test_pairs_with_scores_beside_them_stay_one_pair(pairs):
    row = {
        "prompt": "q",
        "chosen": "a",
        "rejected": "b",
        "generations": ["a", "b"],
        "rating": [1, 2],
    }
    assert pairs(row, row)[0] == 2 * [("q", "a", "b")]


def test_answers_beside_a_whole_dialogue_make_no_pairs_of_it(pairs, tmp_path):
    said = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "<think>t</think>a"}]
    row = {"problem": "q", "generations": ["a", "b"], "correctness": [True, False]}
    assert pairs(row, row)[0] == 2 * [("q", "a", "b")]
    path = tmp_path / "whole.jsonl"
    path.write_text(2 * (json.dumps(row | {"messages": said}) + "\n"))
    rows = read(path)
    assert (rows.shape.ranking, rows[0].flaw, rows[0].response) == (False, "", said[1]["content"])
    assert rows.sources[0].unused == {"generations": 2}


def test_a_user_who_names_a_format_gets_it(pairs, tmp_path):
    row = {"question": "q", "answers": ["a", "b"], "scores": [1, 2]}
    pairs(row, row)
    assert not read(tmp_path / "ranked.jsonl", format="qa").shape.ranking


def node(key, parent, text, role, rank=None):
    return {"message_id": key, "parent_id": parent, "text": text, "role": role, "rank": rank}


def test_trees_are_pairs_where_the_format_says_so(pairs):
    tree = [
        node("a", None, "q", "prompter"),
        node("b", "a", "worse", "assistant", 1),
        node("c", "a", "best", "assistant", 0),
        node("d", "c", "and then?", "prompter"),
        node("e", "d", "x", "assistant", 1),
        node("f", "d", "y", "assistant", 0),
        node("g", "d", "z", "assistant", 2),
        node("h", "d", "unranked", "assistant"),
    ]
    lone = [node("i", None, "alone", "prompter"), node("j", "i", "x", "assistant", 0)]
    said, rows = pairs(*tree, *lone, format="oasst_pairs")
    assert (len(rows), rows.flaws()) == (4, {"empty_response": 1})
    assert rows[3].prompt == "alone"
    said.pop()
    assert said == [("q", "best", "worse"), ("and then?", "y", "x"), ("and then?", "y", "z")]
    assert [turn.content for turn in rows[2].turns] == ["q", "best", "and then?"]
    assert rows[2].value["source_id"] == "line 1, message d"
    assert rows.sources[0].changes["answers left out that have no rank"] == 1


KEYS = (
    "answers",
    "completions",
    "scores",
    "rank",
    "text",
    "score",
    "prompt",
    "replies",
    "role",
    "",
)
LEAVES = (
    st.none() | st.booleans() | st.integers(0, 3) | st.just(10**400) | st.sampled_from(["a", "2"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=12,
)


@given(st.lists(VALUES, min_size=1, max_size=4), st.booleans())
def test_no_row_is_lost_whatever_it_holds(values, trees):
    records = [Record(value, f"row {number}") for number, value in enumerate(values)]
    changes: dict[str, int] = {}
    paired = as_pairs(values[:2], iter(records), changes, trees) or records
    places = [record.where.split(",")[0] for record in paired]
    assert list(dict.fromkeys(places)) == [record.where for record in records]
    made = [(said, pairs) for said, pairs in changes.items() if said.startswith("pairs of")]
    more = sum(pairs - int(said.split()[-2].replace(",", "")) for said, pairs in made)
    assert trees or len(places) == len(records) + more
