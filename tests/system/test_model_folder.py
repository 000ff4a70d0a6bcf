"""What lies in a model's folder: chat template, shards, headers of weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from curate.errors import ModelError
from curate.system.model_folder import (
    chat_template,
    missing_shards,
    parameters,
    shards,
    tensors,
)

SEVERAL = [{"name": "tool_use", "template": "TOOL"}, {"name": "default", "template": "DEF"}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("ONE", "ONE"), (SEVERAL, "DEF"), (SEVERAL[:1], ""), (None, ""), (["x"], "")],
)
def test_in_the_config(tmp_path: Path, value: object, expected: str) -> None:
    assert chat_template(tmp_path) == ""
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": value}))
    assert chat_template(tmp_path) == expected
    (tmp_path / "chat_template.jinja").write_text("FILE")
    assert chat_template(tmp_path) == "FILE"


def test_what_is_not_json_is_told(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(ModelError, match="tokenizer_config.json cannot be read"):
        chat_template(tmp_path)


def test_an_index_names_the_files_that_have_to_be_there(tmp_path: Path) -> None:
    assert (shards(tmp_path), parameters(tmp_path)) == (set(), 0)
    save_file({"w": np.zeros((2, 3), np.float16)}, tmp_path / "a.safetensors")
    assert list(tensors(tmp_path)) == [("w", "F16", (2, 3))]
    assert parameters(tmp_path) == 6
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"w": "a.safetensors", "v": "b.safetensors"}}')
    assert missing_shards(tmp_path) == ["b.safetensors"]
    index.write_text("{}")
    with pytest.raises(ModelError, match="index.json cannot be read"):
        missing_shards(tmp_path)
