"""What `curate ls` says of a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.errors import OutputError
from curate.llamafactory.dataset_info import registered


def test_what_curate_made_and_what_it_did_not(tmp_path: Path) -> None:
    entries = {"mine": {"file_name": "mine.json"}, "cherry": {"file_name": "cherry.jsonl"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(entries), encoding="utf-8")
    manifest = {
        "recipe": "ifd",
        "counts": {"read": 50, "kept": 5},
        "sources": [{"name": "a.json"}, {"name": "b.json"}],
    }
    (tmp_path / "cherry.manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert registered(tmp_path) == [
        ("mine", "-", "-", "-", "mine.json"),
        ("cherry", "ifd", 5, 50, "a.json, b.json"),
    ]


@pytest.mark.parametrize(
    "manifest", [{"counts": None, "sources": ["x"]}, {"recipe": "x", "sources": 5}, {"counts": []}]
)
def test_a_manifest_of_another_program_says_nothing(tmp_path: Path, manifest: object) -> None:
    (tmp_path / "dataset_info.json").write_text('{"a": {"file_name": "a.json"}, "b": 5}')
    (tmp_path / "a.manifest.json").write_text(json.dumps(manifest))
    assert registered(tmp_path) == [("a", "-", "-", "-", "a.json"), ("b", "-", "-", "-", "-")]


def test_no_folder_is_no_data_sets(tmp_path: Path) -> None:
    assert registered(tmp_path / "nowhere") == []


def test_a_broken_registry_is_told(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text("{", encoding="utf-8")
    with pytest.raises(OutputError, match="dataset_info.json"):
        registered(tmp_path)
