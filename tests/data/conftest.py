import pytest
from hypothesis import settings

# The time of one example says more of the machine than of the code.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


@pytest.fixture
def write(tmp_path):
    """Write bytes, or text as UTF-8, to a new file and return its path."""

    def write(content, name="rows.json"):
        path = tmp_path / name
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return path

    return write
