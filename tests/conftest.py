"""What all tests share: the cache of converted models, real data where it is there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
SAMPLE = ROOT / "mixtures" / "samples" / "huatuo.json"


def pytest_configure() -> None:
    """Hear Ctrl-C and a closed terminal, also where a shell started the tests in its background.

    What ignores a signal hands that on to its children, and tests that send one would wait.
    """
    for number, action in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, action)


@pytest.fixture(scope="session")
def real() -> Callable[[str], Path]:
    """Return the path of a public data set; what tests it is skipped where it is not."""

    def real(name: str) -> Path:
        path = SHARED / name
        if not path.is_file():
            pytest.skip(f"the data set {name} is not here")
        return path

    return real


@pytest.fixture
def scratch_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own, empty."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CURATRAIN_CACHE", str(folder))
    return folder


@pytest.fixture
def write_json(tmp_path: Path) -> Callable[..., Path]:
    """Write rows to a JSON file and return its path."""

    def write(rows: list[Any], name: str = "rows.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(rows), encoding="utf-8")
        return path

    return write


@pytest.fixture
def curate_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `curate` in a process of its own."""

    def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "curate", *map(str, arguments)]
        options = {"capture_output": True, "text": True, "timeout": 300, **options}
        return subprocess.run(command, check=False, **options)

    return run
