import json

import pytest
from hypothesis import settings

from curate.data.read import read

settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


def pair(prompt, response="yes", **more):
    return {"instruction": prompt, "input": "", "output": response, **more}


@pytest.fixture(autouse=True)
def _cache(scratch_cache):
    """Keep what is read in a folder of the test's own."""


@pytest.fixture
def rows(tmp_path):
    """Read rows that are given as values."""

    def rows(values, name="rows.json"):
        path = tmp_path / name
        path.write_text(json.dumps(values), encoding="utf-8")
        return read(path)

    return rows
