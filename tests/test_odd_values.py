"""One odd value in a column that is read flags its row, and the others are trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import curate
from tests.converter import train_in

pytestmark = pytest.mark.usefixtures("scratch_cache")
TOOLS = json.dumps(
    [{"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}]
)
ODD: list[Any] = [
    *(None, "", [], {}, 0, 5, 1.5, True, False, "x", ["x"], [5], [["x"]], [[]], [{}], {"x": "y"}),
    *([{"path": "a.jpg"}], [{"path": "a.jpg", "bytes": None}], [None], [["x", "y"]], "[]", "null"),
]


def talk(number: int) -> list[dict[str, str]]:
    return [{"from": "human", "value": f"<image>问{number}"}, {"from": "gpt", "value": "答"}]


def alpaca(number: int) -> dict[str, Any]:
    return {
        **{"instruction": f"问{number}", "input": "多", "output": f"答{number}"},
        **{"system": "设", "history": [["早", "好"]], "tools": TOOLS},
    }


LAYOUTS = {
    "alpaca": (alpaca, "sft"),
    "alpaca kto": (lambda n: alpaca(n) | {"kto_tag": n % 2 == 0}, "kto"),
    "alpaca dpo": (
        lambda n: {
            "instruction": f"问{n}",
            "input": "",
            "chosen": "好",
            "rejected": "坏",
            "system": "",
        },
        "dpo",
    ),
    "sharegpt": (
        lambda n: {"conversations": talk(n), "system": "设", "tools": TOOLS, "images": ["a.jpg"]},
        "sft",
    ),
    "sharegpt kto": (lambda n: {"conversations": talk(n)[:], "label": n % 2 == 0}, "kto"),
    "sharegpt dpo": (
        lambda n: {
            **{"conversations": talk(n)[:1], "system": "设"},
            **{key: {"from": "gpt", "value": f"{key}{n}"} for key in ("chosen", "rejected")},
        },
        "dpo",
    ),
    "pretraining": (lambda n: {"text": f"一段文字{n}"}, "pt"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_never_makes_text_of_a_column(tmp_path: Path, layout: str) -> None:
    row_of, stage = LAYOUTS[layout]
    values, number = [row_of(n) for n in range(60)], 60
    for column in row_of(0):
        for odd in ODD:
            if column == "tools" and isinstance(odd, list) and odd and isinstance(odd[0], dict):
                continue  # descriptions that some templates take, and this one does not
            values.append(row_of(number) | {column: odd})
            number += 1
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    rows = curate.read(path)
    assert not any(row.flaw for row in rows if row.position < 60)
    chosen = curate.dedup(rows, near=1)
    kept = chosen.summary().kept
    assert kept >= 60
    written = curate.emit(chosen, tmp_path, name="x")[-1].read_text(encoding="utf-8")
    assert set(json.loads(written)["columns_as_text"]) <= {"tools"}  # texts beside [] and {}
    if "images" in row_of(0):  # no template without a processor takes them
        found = curate.doctor(dataset="x", dataset_dir=tmp_path)
        assert (found.usable, found.ended) == (kept, False)
        return
    became = train_in(tmp_path, "x", stage)
    assert (became.error, became.usable) == ("", kept)
