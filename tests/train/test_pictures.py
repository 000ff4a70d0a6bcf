"""Pictures in the rows, and what the template of the model makes of them."""

from __future__ import annotations

import json

import pytest

from curate.errors import DataError
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
    return judge(folder, ["s"], "sft", model, 2048, False)
