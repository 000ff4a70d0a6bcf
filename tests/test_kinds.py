"""What public functions are given for rows: read if it can be, else refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import curate
from curate.errors import CuratrainError, UsageError
from tests.calling import share_models

pytestmark = pytest.mark.usefixtures("scratch_cache")
ROWS = [
    {"instruction": f"第{n}个问题是什么？", "input": "", "output": f"回答{n}" * (n + 1)}
    for n in range(6)
]
RECIPES = {
    "car": {"top": 2},
    "dedup": {},
    "ifd": {"keep": 2},
    "mods": {},
    "score": {"scorer": ("length",)},
    "select": {"recipe": "random", "keep": 2},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(ROWS), encoding="utf-8")
    return path


class Nothing:
    pass


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "None is nothing that holds rows; give a path, a DataFrame"),
        (5, "int is nothing that holds rows"),
        (ROWS[0], "dict is nothing that holds rows; put it in a list"),
        (Nothing(), "Nothing is nothing that holds rows"),
        ([5], "int is nothing that holds rows"),
        ("nowhere.json", "no file 'nowhere.json'"),
        ([], "no input"),
    ],
)
def test_what_holds_no_rows_is_refused_in_one_line(recipe: str, given: Any, says: str) -> None:
    with pytest.raises(CuratrainError, match=f"^{says}") as error:
        getattr(curate, recipe)(given, **RECIPES[recipe])
    assert "\n" not in str(error.value)


def test_each_kind_that_read_takes_is_read(path: Path) -> None:
    first = curate.dedup(curate.read(path)).scores
    for given in (path, str(path), [path], ROWS, iter(ROWS), pd.DataFrame(ROWS)):
        assert curate.dedup(given).scores["id"].equals(first["id"])
    assert len(curate.select(path, recipe="random", keep=2).top()) == 2
    assert len(curate.score(ROWS, ("length",)).scores) == 6


def test_a_stream_of_datasets_is_read() -> None:
    datasets = pytest.importorskip("datasets")
    stream = datasets.Dataset.from_list(ROWS).to_iterable_dataset()
    assert [row.value for row in curate.read(stream)] == ROWS
    splits = datasets.IterableDatasetDict({"train": stream})
    assert len(curate.read(splits)) == 6
    with pytest.raises(UsageError, match="IterableDatasetDict holds the splits train, test"):
        curate.read(datasets.IterableDatasetDict({"train": stream, "test": stream}))


def test_other_sets_are_paths_names_and_rows(path: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    curate.emit(curate.dedup(ROWS[:2]), "data", name="chosen")
    asked = [{"question": ROWS[5]["instruction"]}]
    for against, dropped in (
        (path, 6),
        (curate.read(path), 6),
        (ROWS[:3], 3),
        (pd.DataFrame(ROWS[:3]), 3),
        ("chosen", 2),
        (["chosen", ROWS[4:], str(path)], 6),
        ((), 0),
    ):
        kept = curate.dedup(ROWS, against=against).summary().kept
        assert (against, 6 - kept) == (against, dropped)
    assert curate.dedup(ROWS, against=asked, on="prompt").summary().kept == 5
    for wrong in (None, 5, [None]):
        with pytest.raises(UsageError, match="is nothing that holds rows"):
            curate.dedup(ROWS, against=wrong)


def test_sides_of_a_mixture(path: Path) -> None:
    frame = pd.DataFrame([ROWS[0] | {"instruction": "别的问题"}])
    for side in (path, [path], ROWS, curate.read(path), curate.dedup(ROWS)):
        assert curate.mix(domain=side, general=frame, ratio="6:1").summary().kept == 7
    for wrong in (None, 5, [5]):
        with pytest.raises(UsageError, match="is nothing that holds rows"):
            curate.mix(domain=wrong, general=frame)


@pytest.mark.model
def test_what_a_recipe_chose_is_chosen_among_again(scratch_cache: Path) -> None:
    share_models(scratch_cache)
    chosen, mixed = (
        curate.dedup(ROWS[:4]),
        curate.mix(domain=ROWS[:2], general=ROWS[2:4], ratio="1:1"),
    )
    for given in (chosen, mixed, chosen.kept, mixed.kept):
        for recipe, options in RECIPES.items():
            again = getattr(curate, recipe)(given, **options)
            assert sorted(again.rows.ids) == sorted(chosen.rows.ids), recipe
        assert curate.doctor(given).usable == 4
        assert curate.advise(given).looked["rows"] == 4
        assert curate.dedup(ROWS, against=given).summary().dropped == {"in_against": 4}
        assert curate.mix(domain=given, general=ROWS[4:], ratio="2:1").summary().kept == 6
        like = curate.select(ROWS, recipe="like", like=given, keep=4)
        assert sorted(like.kept.ids) == sorted(chosen.rows.ids)
    nothing = curate.select(ROWS, recipe="random", keep=2).rows[:0]
    for recipe, options in RECIPES.items():
        with pytest.raises(CuratrainError, match="^there are 0 rows here"):
            getattr(curate, recipe)(nothing, **options)
    with pytest.raises(UsageError, match="Selection is read already; give it to a recipe"):
        curate.read(chosen)


def test_rows_are_no_choice(tmp_path: Path) -> None:
    for wrong in (None, curate.read(ROWS), ROWS, "rows.json"):
        for function in (lambda given: curate.emit(given, tmp_path), curate.control):
            with pytest.raises(UsageError, match="is nothing that a recipe has chosen; allowed is"):
                function(wrong)


def test_the_doctor_takes_rows_of_any_kind(path: Path) -> None:
    assert [curate.doctor(given).usable for given in (path, ROWS, pd.DataFrame(ROWS))] == [6] * 3
    talk = [{"who": "患者", "says": "疼"}, {"who": "医生", "says": "休息"}]
    path.write_text(json.dumps([{"talk": talk}] * 2), encoding="utf-8")
    named = {
        "columns": {"messages": "talk", "role": "who", "content": "says"},
        "roles": {"user": "患者", "assistant": "医生"},
    }
    for given in (path, [{"talk": talk}] * 2):
        assert curate.doctor(given, **named).usable == 2
    with pytest.raises(UsageError, match="None|nothing to judge"):
        curate.doctor(None)
    with pytest.raises(UsageError, match="int is nothing that holds rows"):
        curate.doctor(5)


@pytest.mark.parametrize("what", ["fill", "columns", "roles"])
def test_names_are_a_dict(path: Path, what: str) -> None:
    with pytest.raises(UsageError, match=f"{what}='prompt=ask': allowed is a dict"):
        curate.read(path, **{what: "prompt=ask"})
