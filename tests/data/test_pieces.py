"""A long file read by several processes has the rows, ids, flaws and notes of one read by one."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace

import pytest

from curate.data import pieces, row_cache
from curate.data.json_values import Record
from curate.data.layout import Reading, Spread, layout_of
from curate.data.row_lines import Tally, lines
from curate.errors import DataError

_RANDOM = random.Random(3)


def _alpaca(number):
    text = "".join(_RANDOM.choice('感冒头痛多喝水 rest\\"{},[]\n') for _ in range(30))
    return {"instruction": f"{number} {text}", "input": "", "output": text * (number % 3)}


def _talk(number):
    messages = [{"from": "human", "value": f"q{number}"}, {"from": "gpt", "value": "}, {"}]
    return {"conversations": messages * (1 + number % 2), "note": "more text here"}


ROWS = {
    "alpaca": [_alpaca(number) for number in range(400)],
    "talk": [_talk(number) for number in range(400)],
    "late key": [_alpaca(n) | ({"system": "be kind"} if n > 300 else {}) for n in range(400)],
    "others": [_alpaca(n) if n % 7 else {"question": "why", "answer": "so"} for n in range(400)],
    "template": [_alpaca(n) | {"output": "I am {{name}}"} for n in range(400)],
}
SHAPES = {
    "lines": lambda rows: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
    "array": lambda rows: json.dumps(rows, ensure_ascii=False, indent=2),
    "one line": lambda rows: "\ufeff" + json.dumps(rows),
}


@pytest.fixture
def both(scratch_cache, tmp_path, monkeypatch):
    """Return what reads a text by one process, and by two; and in how many pieces the latter."""
    path = tmp_path / "rows.json"
    parts = []

    def read(text):
        path.write_text(text, encoding="utf-8")
        monkeypatch.setattr(row_cache, "cores", lambda: 1)
        one = row_cache.stored(path, "rows", Reading())
        for file in (scratch_cache / "rows").iterdir():
            file.unlink()
        monkeypatch.setattr(row_cache, "cores", lambda: 2)
        monkeypatch.setattr(pieces, "LEAST", 1)
        monkeypatch.setattr(pieces, "PIECE", 9_000)
        joined = row_cache.joined

        def counted(each, *more, **named):
            return joined((parts.append(part) or part for part in each), *more, **named)

        monkeypatch.setattr(row_cache, "joined", counted)
        return one, row_cache.stored(path, "rows", Reading()), parts

    return read


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        *(("alpaca", "lines"), ("alpaca", "array"), ("talk", "one line"), ("template", "lines")),
        *(("late key", "lines"), ("others", "array")),
    ],
)
def test_the_same_rows(both, kind, shape):
    one, two, parts = both(SHAPES[shape](ROWS[kind]))
    assert two.table.equals(one.table)
    assert (two.source, two.shape) == (one.source, one.shape)
    assert list(two.source.unused) == list(one.source.unused)
    if kind in ("alpaca", "talk", "template"):
        assert sum(len(part.rows) > 0 for part in parts) > 2


VALUES = ("", " ", "why?", "头痛\n", "half \ud83d", "nul \0", "{{name}}", None, 3, ["x"], {})


def test_texts_alone_are_read_sooner_and_the_same():
    rows = [
        dict(zip(("instruction", "input", "output", "system", "source"), values, strict=False))
        for size in (2, 3, 4, 5)
        for values in itertools.product(VALUES, repeat=min(size, 3))
        for values in [(*values, *values)[:size]]
    ]
    others = ("reasoning", "images", "note", "")
    rows += [row | {key: "more"} for row in rows[:200] for key in others]
    head = [{"instruction": "a", "input": "b", "output": "c", "system": "d", "source": 1}] * 9
    layout = layout_of("x", "json", head, Reading()).with_optional()
    slow = replace(layout, form=replace(layout.form, as_is=False), plain={})
    records = [Record(row, f"row {number}") for number, row in enumerate(rows)]
    found = []
    for each in (layout, slow):
        tally = Tally()
        found.append((list(lines(iter(records), each, Reading(), tally, Spread(head))), tally))
    assert found[0] == found[1]
    assert sum(map(bool, layout.plain.values())) == 3


def test_an_error_names_the_row(both):
    text = SHAPES["lines"](ROWS["alpaca"])
    with pytest.raises(DataError, match=r"line 401 column 2"):
        both(text + "{]\n")
