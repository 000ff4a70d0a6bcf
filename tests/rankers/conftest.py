import pytest

from tests.conftest import SHARED


@pytest.fixture
def real_pairs():
    """Return the path of a public file of pairs; what tests it is skipped where it is not."""

    def real_pairs(name):
        path = SHARED / name
        if not path.is_file():
            pytest.skip(f"the data set {name} is not here")
        return path

    return real_pairs
