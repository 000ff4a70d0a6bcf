"""Isolated environments: built once, found again, never taken for whole when they are not."""

import dataclasses
import subprocess

import pytest

from curate.errors import OutputError
from curate.system import environments
from curate.system.environments import Environment


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CURATRAIN_CACHE", str(tmp_path))
    return tmp_path


# pip without a package does what all of pip does, and needs no registry.
EMPTY = Environment("empty", "nothing", (("--no-index", "pip"),), ("pip",), gigabytes=0.01)


def test_built_once_and_found_again(cache):
    assert environments.python(EMPTY) is None
    told: list[str] = []
    python = environments.build(EMPTY, told.append)
    assert python == environments.python(EMPTY) == environments.folder(EMPTY) / "bin" / "python"
    assert subprocess.run([python, "-c", "import pip"]).returncode == 0
    assert any("pip install" in line and "--no-index pip" in line for line in told)
    said: list[str] = []
    assert environments.build(EMPTY, said.append) == python
    assert said == []
    # Other steps are another environment.
    other = dataclasses.replace(EMPTY, steps=(("--no-index", "pip", "--quiet"),))
    assert environments.python(other) is None


def test_what_fails_is_told_and_not_taken_for_built(cache):
    wrong = dataclasses.replace(EMPTY, steps=(("--no-index", "no-such-package-at-all"),))
    with pytest.raises(OutputError, match="no-such-package-at-all") as raised:
        environments.build(wrong, lambda line: None)
    assert "empty.install.log" in str(raised.value)
    assert environments.python(wrong) is None


def test_what_cannot_be_imported_is_no_environment(cache):
    wrong = dataclasses.replace(EMPTY, imports=("no_such_module",))
    with pytest.raises(OutputError, match="No module named 'no_such_module'"):
        environments.build(wrong, lambda line: None)
    assert environments.python(wrong) is None


def test_too_little_room_is_told_before_anything_is_built(cache):
    large = dataclasses.replace(EMPTY, gigabytes=1e9)
    with pytest.raises(OutputError, match="1000000000.0 GB"):
        environments.build(large, lambda line: None)
    assert not environments.folder(large).exists()


def test_what_is_removed_in_the_end_is_gone(cache):
    without = dataclasses.replace(EMPTY, imports=("sys",), remove=("setuptools",))
    python = environments.build(without, lambda line: None)
    assert python == environments.python(without)
    assert environments.python(dataclasses.replace(without, remove=())) is None
    listed = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True)
    assert "pip" in listed.stdout
    assert "setuptools" not in listed.stdout
