"""Rows taken out of others: by place, slice, id, list and mask, with the ids that they had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import curate
from curate.data.even_columns import kinds_of
from curate.data.places import places_of
from curate.errors import DataError, NoSuchRow, UsageError
from curate.reports.on_disk import read_choice

pytestmark = pytest.mark.usefixtures("scratch_cache")


def rows_of_two_files(write_json: Any) -> curate.Rows:
    """Seven rows of two files: places 0, 2 and 5 are equal, and so are 1 and 4."""
    said = ["a", "b", "a", "c", "b", "a", "d"]
    values = [
        {"instruction": f"问 {text}", "output": f"答 {text} {text}", "department": place}
        for place, text in enumerate(said)
    ]
    return curate.read([write_json(values[:3], "x.json"), write_json(values[3:], "y.json")])


@pytest.fixture
def rows(write_json: Any) -> curate.Rows:
    return rows_of_two_files(write_json)


@pytest.mark.timeout(100)  # counting each place takes hours
def test_a_row_that_is_given_twice_is_found_among_many() -> None:
    places = list(range(300_000))
    with pytest.raises(UsageError, match="row 299999 is given twice"):
        places_of([*places, 299_999], len(places), dict)


def departments(rows: Any) -> list[int]:
    return [row.value["department"] for row in rows]


KEYS: list[tuple[Any, list[int]]] = [
    (slice(2, 5), [2, 3, 4]),
    (slice(None, None, -2), [6, 4, 2, 0]),
    (slice(None), [0, 1, 2, 3, 4, 5, 6]),
    ([5, 1, 3], [5, 1, 3]),
    ([-1, 0], [6, 0]),
    (np.array([4, 3]), [4, 3]),
    (pd.Index([2]), [2]),
    ([False, True, False, False, False, True, False], [1, 5]),
    (pd.Series([True] * 2 + [False] * 5, dtype="boolean"), [0, 1]),
    ([], []),
]


@pytest.mark.parametrize(("key", "places"), KEYS)
def test_rows_are_taken_in_the_order_of_the_key_and_keep_their_ids(
    rows: curate.Rows, key: Any, places: list[int]
) -> None:
    taken = rows[key]
    assert departments(taken) == places
    assert taken.ids.tolist() == rows.ids[places].tolist()
    assert [row.id for row in taken] == taken.ids.tolist()
    assert [row.source for row in taken] == ["x.json" if at < 3 else "y.json" for at in places]
    assert [row.id for row in taken] == rows.ids[places].tolist()
    assert [row.position for row in taken] == list(range(len(places)))
    assert [row.where for row in taken] == [rows[place].where for place in places]
    assert [row.source for row in taken] == [rows[place].source for place in places]
    assert taken.source_names.tolist() == rows.source_names[places].tolist()
    assert sum(source.rows for source in taken.sources) == len(places)
    assert len(taken.description().sources) == len({*taken.source_names}) or not places
    again = taken[::-1]
    assert again.ids.tolist() == rows.ids[places[::-1]].tolist()


def test_a_row_by_its_id(rows: curate.Rows) -> None:
    assert rows.ids[5].endswith("-3")
    for place, row_id in enumerate(rows.ids.tolist()):
        assert (rows[row_id].position, rows[row_id].id) == (place, row_id)
        assert row_id in rows
    chosen = [rows.ids[5], rows.ids[0]]
    assert departments(rows[chosen]) == [5, 0]
    frame = pd.DataFrame({"id": rows.ids, "keep": [1, 0, 0, 0, 0, 1, 0]})
    assert departments(rows[frame.id[frame.keep == 1]]) == [0, 5]
    assert "nothing" not in rows
    part = rows[[5, 6]]
    assert departments([part[rows.ids[5]]]) == [5]
    assert rows.ids[0] not in part


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (7, "row 7 of 7"),
        (-8, "row -8 of 7"),
        ([0, 9], "row 9 of 7"),
        ("35bb6cdee57bdaf5", "none of 7 rows here has the id '35bb6cdee57bdaf5'"),
        (slice(None, None, 0), r"rows\[slice\]: give a place"),
        (["x"], "none of 7 rows here has the id 'x'"),
        ([True, False], "a mask of 2 truths for 7 rows"),
        ([1, 1], "row 1 is given twice"),
        ([1, "a"], "a list of int and str: give"),
        ([1.5], "a list of float: give"),
        (1.5, r"rows\[float\]: give a place, a slice, an id, a list"),
        (None, r"rows\[NoneType\]: give"),
        (True, r"rows\[bool\]: give"),
        ((1, 2), r"rows\[tuple\]: give"),
        ({"a": 1}, r"rows\[dict\]: give"),
        (slice("a", None), r"rows\[slice\]: give"),
    ],
)
def test_what_names_no_row_is_refused_in_one_sentence(
    rows: curate.Rows, key: Any, says: str
) -> None:
    with pytest.raises(UsageError, match=f"^{says}") as error:
        rows[key]
    assert "\n" not in str(error.value)
    assert isinstance(error.value, NoSuchRow) == isinstance(error.value, IndexError)


def test_head_and_a_sample_that_is_seeded_and_grows(rows: curate.Rows) -> None:
    assert departments(rows.head(2)) == [0, 1]
    assert len(rows.head()) == 5
    assert len(rows.head(99)) == 7
    five = rows.sample(5, seed=3).ids.tolist()
    assert len(set(five)) == 5
    assert rows.sample(2, seed=3).ids.tolist() == five[:2]
    assert rows.sample(5, seed=4).ids.tolist() != five
    turned = rows[::-1].sample(5, seed=3)
    assert turned.ids.tolist() == five, "the order of the rows decides nothing"
    for wrong in (8, -1, 0.5):
        with pytest.raises(UsageError, match=r"^sample\("):
            rows.sample(wrong)  # type: ignore[arg-type]


def test_what_is_kept_of_a_file_is_not_taken_for_what_is_kept_of_a_part_of_it(
    write_json: Any,
) -> None:
    values = [{"instruction": f"{n}", "output": "x", "more": n if n < 3 else "t"} for n in range(6)]
    rows = curate.read(write_json(values, "x.json"))
    kinds = [kinds_of(part).kinds["more",] for part in (rows, rows[:3], rows[3:], rows[[0, 1, 5]])]
    assert kinds == [{"int", "str"}, {"int"}, {"str"}, {"int", "str"}]
    assert rows[:].sources == rows.sources
    assert rows[:3].sources != rows[3:].sources != rows[[4, 3, 5]].sources
    assert rows[:5][[1, 0]].sources == rows[:5][[1, 0]].sources


def test_a_choice_among_some_rows_is_written_with_the_ids_of_all(
    rows: curate.Rows, tmp_path: Path
) -> None:
    taken = rows[[5, 4, 2, 6]]
    chosen = curate.select(taken, recipe="random", keep=3)
    data, scores, *_ = curate.emit(chosen, tmp_path)
    table = pd.read_parquet(scores)
    assert table["id"].tolist() == rows.ids[[5, 4, 2, 6]].tolist()
    assert table["source"].tolist() == ["y.json", "y.json", "x.json", "y.json"]
    kept = [row.value["department"] for row in taken if row.id in {*table.id[table.kept]}]
    lines = [json.loads(line) for line in data.open(encoding="utf-8")]
    assert [line["department"] for line in lines] == kept
    sources = json.loads((tmp_path / f"{data.stem}.manifest.json").read_text())["sources"]
    assert [(each["name"], each["rows"]) for each in sources] == [("x.json", 1), ("y.json", 3)]
    assert [each["part"].partition(" rows")[0] for each in sources] == ["1 of 3", "3 of 4"]


def test_a_report_finds_rows_that_were_taken_in_any_order(
    rows: curate.Rows, tmp_path: Path
) -> None:
    chosen = curate.select(rows[[6, 1, 3, 0]], recipe="random", keep=3)
    data, *_ = curate.emit(chosen, tmp_path)
    found = read_choice(data.stem, tmp_path)
    assert found.not_here == ()
    texts = [found.row(line)[0].response for line in range(4)]
    assert texts == [row.response for row in chosen.rows]


def test_some_rows_are_mixed_file_by_file(rows: curate.Rows, write_json: Any) -> None:
    general = write_json([{"instruction": f"g{n}", "output": "x"} for n in range(9)], "g.json")
    mixed = curate.mix(domain=rows[[6, 0, 3]], general=general, ratio="1:2")
    read = {source.name: (source.read, source.written) for source in mixed.sources}
    assert read == {"x.json": (1, 1), "y.json": (2, 2), "g.json": (9, 6)}
    assert {*rows.ids[[6, 0, 3]]} <= {*mixed.kept.ids}


def test_a_row_is_a_card_and_so_are_few(rows: curate.Rows, write_json: Any) -> None:
    card = repr(rows[4])
    assert card.splitlines() == [
        f"{rows.ids[4]} · y.json · {rows[4].where}",
        "  user: 问 b",
        "  assistant: 答 b b",
        "  department: 4",
    ]
    assert repr(rows[3:5]) == "\n".join(map(repr, (rows[3], rows[4])))
    assert repr(rows).startswith("7 rows")
    assert rows[3:5]._repr_html_().count("mathjax_ignore") == 2
    long = [{"instruction": "<script>x</script> $a$ \u202e", "output": "y\n" * 500}]
    row = curate.read(write_json(long, "long.json"))[0]
    assert len(repr(row).splitlines()[2]) < 140
    html = row._repr_html_()
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert html.count("y\n") == 500 or html.count("y\n") == 499
    assert "\u202e" not in html
    assert "tex2jax_ignore" in html


def test_a_pair_shows_both_sides_and_a_broken_row_its_json(write_json: Any) -> None:
    pair = {"instruction": "q", "chosen": "good", "rejected": "bad"}
    html = curate.read(write_json([pair], "pair.json"))[0]._repr_html_()
    beside = html[html.index("display:flex") :]
    assert beside.index("good") < beside.index("bad")
    rows = curate.read(write_json([{"instruction": "q", "output": "a"}] * 3 + [["x"]], "odd.json"))
    assert "not_an_object" in repr(rows[3])
    assert "&quot;x&quot;" in rows[3]._repr_html_()


TOOLS = [
    {
        "conversations": [
            {"from": "human", "value": f"天气 {n}?"},
            {"from": "function_call", "value": json.dumps({"name": "w", "arguments": {"n": n}})},
            {"from": "observation", "value": "{}"},
            {"from": "gpt", "value": "晴"},
        ],
        "tools": json.dumps([{"name": "w", "parameters": {"default": n}}]),
    }
    for n in range(4)
]
OPENAI = [
    {
        "messages": [
            {"role": "user", "content": f"weather {n}?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"type": "function", "function": {"name": "w", "arguments": '{"n": 1}'}}
                ],
            },
            {"role": "tool", "content": "{}"},
            {"role": "assistant", "content": "fine"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "w", "parameters": {"default": default}}}
        ],
    }
    for n, default in enumerate((1, "x", None, 2.5))
]
MIXED = [
    {"instruction": "a", "input": "", "output": "b", "votes": 3, "tags": ["x"], "score": 0.5},
    {"instruction": "c", "input": "d", "output": "e", "votes": None, "tags": [], "score": 1.0},
]


def alpaca() -> list[dict[str, Any]]:
    path = Path(__file__).parent.parent / "mixtures/samples/alpaca_zh.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return rows


@pytest.mark.parametrize("values", [alpaca(), TOOLS, MIXED], ids=["alpaca_zh", "tools", "more"])
@pytest.mark.parametrize("way", ["to_pandas", "to_dataset"])
def test_tables_of_the_original_columns_are_read_again_as_the_same_rows(
    values: list[Any], way: str, write_json: Any
) -> None:
    rows = curate.read(write_json(values, "x.json"))
    table = getattr(rows, way)()
    again = curate.read(table)
    assert [row.value for row in again] == [row.value for row in rows]
    assert again.ids.tolist() == rows.ids.tolist()
    names = table.columns if way == "to_pandas" else table.column_names
    assert list(names) == list(values[0])
    assert len(table) == len(values)


@pytest.mark.parametrize("way", ["to_pandas", "to_dataset"])
def test_tools_of_unlike_values_are_the_same_rows_by_their_ids(way: str, write_json: Any) -> None:
    rows = curate.read(write_json(OPENAI, "x.json"))
    again = curate.read(getattr(rows, way)())
    assert again.ids.tolist() == rows.ids.tolist()
    assert [row.parsed for row in again] == [row.parsed for row in rows]


def test_whole_numbers_stay_whole_in_pandas(write_json: Any) -> None:
    frame = curate.read(write_json(MIXED, "x.json")).to_pandas()
    assert frame["votes"].tolist() == [3, None]
    assert frame["score"].dtype == float
    assert frame["instruction"].tolist() == ["a", "c"]


def test_an_empty_choice_of_rows_is_no_input(rows: curate.Rows) -> None:
    nothing = rows[[False] * 7]
    assert (len(nothing), list(nothing), nothing.to_pandas().empty) == (0, [], True)
    assert repr(nothing).startswith("0 rows")
    with pytest.raises(DataError, match="^there are 0 rows here"):
        curate.dedup(nothing)
