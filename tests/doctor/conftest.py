import json
from pathlib import Path

import pytest

from tests.calling import Caller

EXTRACTS = Path(__file__).parent.parent / "fixtures" / "doctor"
FILES = sorted(each.name for each in EXTRACTS.iterdir() if each.suffix != ".md")


@pytest.fixture(params=["extract", "whole"])
def public(request, real):
    """Return a public data set: a few rows of it, and all of it where it is there."""
    return (lambda name: EXTRACTS / name) if request.param == "extract" else real


@pytest.fixture
def call(capsys):
    return Caller(capsys)


@pytest.fixture
def registered(tmp_path):
    """Write rows, or bytes, and an entry to a folder of their own; return the folder."""

    def registered(values, entry, file_name="rows.jsonl"):
        folder = tmp_path / "registered"
        folder.mkdir(exist_ok=True)
        if not isinstance(values, bytes):
            values = "".join(json.dumps(each) + "\n" for each in values).encode()
        (folder / file_name).write_bytes(values)
        info = {"mine": {"file_name": file_name, **entry} if isinstance(entry, dict) else entry}
        (folder / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
        return folder

    return registered
