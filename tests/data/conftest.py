from pathlib import Path

import pytest
from hypothesis import settings

# The time of one example says more of the machine than of the code.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def write(tmp_path):
    """Write bytes, or text as UTF-8, to a new file and return its path."""

    def write(content, name="rows.json"):
        path = tmp_path / name
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture(scope="session")
def real():
    """Return the path of a public data set; what tests them is skipped where they are not."""

    def real(name):
        path = REAL / name
        if not path.is_file():
            pytest.skip(f"the data set {name} is not here")
        return path

    return real
