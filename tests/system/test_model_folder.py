"""The chat template of a folder, in all places where tokenizers have it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.errors import ModelError
from curate.system.model_folder import chat_template

SEVERAL = [{"name": "tool_use", "template": "TOOL"}, {"name": "default", "template": "DEF"}]


@pytest.mark.parametrize(
    ("value", "expected"), [("ONE", "ONE"), (SEVERAL, "DEF"), (SEVERAL[:1], ""), (None, "")]
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
