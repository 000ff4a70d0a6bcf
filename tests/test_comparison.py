"""Choices side by side: what is counted, by hand, and how it shows itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import curate
from curate.choices.comparison import Comparison
from curate.errors import DataError, UsageError

pytestmark = pytest.mark.usefixtures("scratch_cache")


def rows(names: str, answer: str = "answer ") -> list[dict[str, Any]]:
    return [{"instruction": f"<i>{name}</i>", "output": answer * 2 + name} for name in names]


@pytest.fixture
def compared(write_json: Any) -> Comparison:
    """Rows a to d and c to f, the latter in another layout and with a repeat, and one row g."""
    one = write_json(rows("abcd"), "one.json")
    talks = [
        {
            "conversations": [
                {"from": "human", "value": r["instruction"]},
                {"from": "gpt", "value": r["output"]},
            ]
        }
        for r in [*rows("cdef"), rows("f")[0]]
    ]
    two = write_json(talks, "two.json")
    return curate.compare(one, two, third=pd.DataFrame(rows("g", "答案")))


def test_rows_are_the_same_by_what_they_say(compared: Comparison) -> None:
    assert compared.names == ("one.json", "two.json", "third")
    assert compared.overlap().to_numpy().tolist() == [[4, 2, 0], [2, 4, 0], [0, 0, 1]]
    table = compared.table()
    assert table["rows"].tolist() == [4, 5, 1]
    assert table["different"].tolist() == [4, 4, 1]
    assert table["in no other"].tolist() == [2, 2, 1]
    assert table["median characters"].tolist() == [15, 15, 5]
    asked = [sorted(row.prompt[3] for row in compared.alone(name)) for name in compared.names]
    assert asked == [["a", "b"], ["e", "f"], ["g"]]
    assert compared.counts("source")["two.json"].to_dict()["two.json"] == 5
    assert compared.counts("language")["third"].to_dict() == {"en": 0, "zh": 1}


def test_tokens_are_of_one_tokenizer(compared: Comparison, write_json: Any) -> None:
    table, (tokens,) = compared.table(), compared.numbers
    means = table[tokens] / table["rows"]
    assert table[f"mean {tokens}"].tolist() == pytest.approx(means.tolist(), rel=1e-3)
    chosen = [curate.select(rows("abcdef"), recipe="random", keep=3, seed=n) for n in (0, 1)]
    both = curate.compare(*chosen)
    (counts,) = both.numbers.values()
    assert [each.sum() for each in counts] == [c.summary().tokens["kept"] for c in chosen]
    assert list(both.numbers) == [f"tokens of responses, by {chosen[0].tokens.by}"]
    assert both.names == ("random", "random #2")
    assert both.overlap().to_numpy().tolist()[0][1] == len(
        {*chosen[0].kept.ids} & {*chosen[1].kept.ids}
    )


def test_scores_are_told_of_every_set_that_has_the_rows() -> None:
    values = [{"instruction": name, "output": "x " * (9 - n)} for n, name in enumerate("abcdef")]
    scored = curate.score(values, ("length",))
    long = curate.select(values, recipe="longest", keep=2)
    name = scored.ranked_by
    both = curate.compare(all=scored, long=long, other=rows("xy"))
    lengths = scored.scored.values(name)
    means = both.table()[f"mean {name}"]
    assert means["all"] == pytest.approx(lengths.mean(), rel=1e-3)
    assert means["long"] == pytest.approx(lengths[long.choice.kept].mean(), rel=1e-3)
    assert np.isnan(means["other"])
    alone = both.show("all")
    assert sorted(row.prompt for row in alone) == list("cdef")
    assert [known[name] for known in alone.known] == sorted(lengths[2:], reverse=True)


def test_one_score_of_two_inputs_is_one_and_of_two_models_two() -> None:
    one, two = (curate.score(rows(names), ("length",)) for names in ("ab", "bc"))
    name = one.ranked_by
    both = curate.compare(one=one, two=two)
    assert len(both.numbers) == 2
    assert [each.tolist() for each in both.numbers[name]] == [
        each.scored.values(name).tolist() for each in (one, two)
    ]
    other = replace(two, model={"name": "another"})
    assert list(curate.compare(one=one, two=other).numbers)[1:] == [name, f"{name} of two"]
    doubled = {name: pa.array(2 * two.scored.values(name))}
    other = replace(two, scored=replace(two.scored, columns=doubled))
    assert list(curate.compare(one=one, two=other).numbers)[1:] == [name, f"{name} of two"]


def test_it_shows_itself_and_row_text_stays_text(compared: Comparison) -> None:
    text, html = repr(compared), compared._repr_html_()
    for name in compared.names:
        alone = compared.alone(name)
        assert f"{name} alone: {len(alone)} of {len(alone)} rows" in text
        assert f"{name} alone: {len(alone)} of {len(alone)} rows" in html
        assert all(row.id in text and row.id in html for row in alone)
    assert "<i>a" not in html
    assert "&lt;i&gt;a" in html
    figure = compared.plot().figure
    assert figure is not None
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_legend().get_texts()]
    assert labels == ["one.json (4)", "two.json (5)", "third (1)"]


def test_names_mixtures_and_choices_are_sets(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = curate.dedup(rows("abab"))
    curate.emit(chosen, "data", name="mine")
    mixed = curate.mix(domain=rows("ab"), general=rows("cd"), ratio="1:1")
    three = curate.compare("mine", mixed, chosen)
    assert three.names == ("mine", "mix", "dedup")
    assert three.overlap().to_numpy().tolist() == [[2, 2, 2], [2, 4, 2], [2, 2, 2]]
    assert len(three.alone("mix")) == 2
    assert len(three.alone("mine")) == 0
    assert "mine alone: 0 of 0 rows" in repr(three)
    assert three._repr_html_()


def test_what_cannot_be_compared_is_said_in_one_sentence() -> None:
    for given in ((), (rows("a"),)):
        with pytest.raises(UsageError, match=f"^compare: {len(given)} given; give two or more"):
            curate.compare(*given)
    with pytest.raises(DataError, match="^no file 'nowhere'"):
        curate.compare(rows("a"), "nowhere")
    with pytest.raises(UsageError, match="^int is nothing that holds rows"):
        curate.compare(rows("a"), 3)
    with pytest.raises(UsageError, match="^compare x: allowed are a, b"):
        curate.compare(a=rows("a"), b=rows("b")).alone("x")
