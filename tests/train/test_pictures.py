"""Pictures in the rows, and what the template of the model makes of them."""

from __future__ import annotations

import json

import pytest

from curate.errors import DataError
from tests.train.making import model_in
from train.checks.data_set import judge
from train.config.model import Model

ROW = {
    "conversations": [{"from": "human", "value": "<image>看"}, {"from": "gpt", "value": "好"}],
    "images": ["a.jpg"],
}
COLUMNS = {"messages": "conversations", "images": "images"}


@pytest.mark.parametrize("template", ["llama3", None, "qwen2_audio"])
def test_a_template_that_takes_none_is_refused(tmp_path, scratch_cache, template):
    with pytest.raises(DataError, match="media_not_taken"):
        judged(tmp_path, template)


def test_a_template_that_takes_them(tmp_path, scratch_cache):
    assert judged(tmp_path, "qwen2_vl").sets[0].rows == 1


def judged(folder, template):
    (folder / "rows.jsonl").write_text(json.dumps(ROW) + "\n", encoding="utf-8")
    entry = {"file_name": "rows.jsonl", "formatting": "sharegpt", "columns": COLUMNS}
    (folder / "dataset_info.json").write_text(json.dumps({"s": entry}), encoding="utf-8")
    model = Model(name="m", path="m", folder=None, template=template)
    return judge(folder, ["s"], "sft", model, {"cutoff_len": 2048})


@pytest.mark.parametrize(("template", "usable"), [("qwen", 3), ("llama3", 3), ("chatml", 0)])
def test_tools_are_judged_by_the_template(tmp_path, scratch_cache, template, usable):
    turns = [{"from": "human", "value": "几点"}, {"from": "gpt", "value": "九点"}]
    rows = [{"conversations": turns, "tools": '[{"name": "clock"}]'} for _ in range(3)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"messages": "conversations", "tools": "tools"}
    entry = {"file_name": "rows.jsonl", "formatting": "sharegpt", "columns": columns}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"s": entry}))
    folder = model_in(tmp_path / "m")
    model = Model(name="m", path="m", folder=folder, template=template)
    if not usable:
        with pytest.raises(DataError, match="tools_not_described"):
            judge(tmp_path, ["s"], "sft", model, {"cutoff_len": 2048})
        return
    found = judge(tmp_path, ["s"], "sft", model, {"cutoff_len": 2048})
    assert found.sets[0].rows == usable
    measured = template == "qwen"
    assert ("; 3 rows with tools were not measured" in found.sets[0].line) is measured
    assert found.tokens is None
