"""A mixture's rows: to go through, to look at, to choose among again."""

from __future__ import annotations

import json
from typing import Any

import pytest

import curate
from curate.data.ids import content_hash
from curate.errors import UsageError

pytestmark = pytest.mark.usefixtures("scratch_cache")


def said(name: str, count: int) -> list[dict[str, Any]]:
    return [{"instruction": f"{name}{n}", "output": f"answer {n}"} for n in range(count)]


def test_rows_are_those_that_are_written(write_json: Any, tmp_path: Any) -> None:
    domain = write_json(said("d", 3), "d.json")
    general = write_json([*said("g", 4), said("g", 1)[0], said("d", 1)[0]], "g.json")
    mixed = curate.mix(domain=domain, general=general, ratio="1:2", shortage="repeat")
    data, *_ = curate.emit(mixed, tmp_path, name="m")
    written = curate.read(data)
    assert len(mixed) == len(mixed.kept) == len(written) == 9
    assert sorted(mixed.kept.ids) == sorted(written.ids)
    assert any("-2" in row_id for row_id in written.ids)
    assert [row.source for row in mixed] == ["d.json"] * 3 + ["g.json"] * 6
    lines = [json.loads(line) for line in data.open(encoding="utf-8")]
    assert sorted(map(str, mixed.to_dataset().to_list())) == sorted(map(str, lines))
    assert len(curate.dedup(mixed)) == 7


def test_rows_of_several_shapes_are_those_that_are_written(write_json: Any, tmp_path: Any) -> None:
    talk = {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}
    mixed = curate.mix(
        domain=write_json([talk], "d.json"), general=write_json(said("g", 2), "g.json"), ratio="1:2"
    )
    data, *_ = curate.emit(mixed, tmp_path, name="m")
    kept, written = mixed.kept, curate.read(data)
    assert kept.shape == written.shape
    assert sorted(kept.ids) == sorted(written.ids)
    by_id = {row.id: row for row in written}
    for row in kept:
        assert (row.value, row.parsed) == (by_id[row.id].value, by_id[row.id].parsed)
    assert kept.description().response_characters == written.description().response_characters


def test_instructions_as_texts_have_the_ids_of_texts(write_json: Any, tmp_path: Any) -> None:
    text = write_json([{"text": "a text to go on with"}], "t.json")
    mixed = curate.mix(
        domain=text, general=write_json(said("g", 2), "g.json"), ratio="1:2", stage="pt"
    )
    data, *_ = curate.emit(mixed, tmp_path, name="m")
    assert sorted(mixed.kept.ids) == sorted(curate.read(data).ids)
    assert [content_hash(row.parsed, row.value) for row in mixed] == mixed.kept.hashes.tolist()


def test_rows_are_shown_with_their_side(write_json: Any) -> None:
    general = [*said("g", 4), said("g", 1)[0], {"instruction": "x", "output": ""}]
    mixed = curate.mix(
        domain=write_json(said("d", 2), "d.json"),
        general=write_json(general, "g.json"),
        ratio="1:1",
    )
    shown = mixed.show(9)
    assert len(shown) == 4
    assert {line["side"] for line in shown.known} == {"domain", "general"}
    assert all(line["times"] == 1 for line in shown.known)
    assert [row.id for row in mixed.show(2)] == [row.id for row in shown][:2]
    (twice,) = mixed.show(which="duplicate")
    assert twice.id.endswith("-2")
    assert twice.id in mixed.scores["id"].tolist()
    assert [row.id for row in mixed.show(which=[twice.id])] == [twice.id]
    assert "side domain" in repr(shown)
    says = "which 'best': allowed are random, .*duplicate.*an id, or several"
    with pytest.raises(UsageError, match=says):
        mixed.show(which="best")


def test_scores_stand_beside_whole_texts(write_json: Any) -> None:
    mixed = curate.mix(
        domain=write_json(said("d", 2), "d.json"),
        general=write_json(said("g", 4), "g.json"),
        ratio="1:1",
    )
    frame = mixed.to_pandas()
    assert frame["prompt"].tolist() == ["d0", "d1", "g0", "g1", "g2", "g3"]
    assert list(frame.columns) == [*mixed.scores.columns, "prompt", "response"]
    assert frame["kept"].sum() == 4
