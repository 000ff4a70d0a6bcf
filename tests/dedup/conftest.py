import json
from pathlib import Path

import pytest
from hypothesis import settings

from curate.data.read import read
from tests.conftest import SHARED

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


@pytest.fixture(scope="session")
def real():
    """Return the path of a public data set; what tests them is skipped where they are not."""

    def real(name) -> Path:
        path = SHARED / name
        if not path.is_file():
            pytest.skip(f"the data set {name} is not here")
        return path

    return real
