"""`make test` brings a browser where it may, and says in one line what it skips otherwise."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import bring_browser, browser
from tests.conftest import ROOT

MAKE = shutil.which("make")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with nothing on its PATH; call it to put an apt-get there that does as told."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def with_apt(ends="", root=True):
        monkeypatch.setattr(bring_browser.os, "geteuid", lambda: 0 if root else 1000)
        lines = ["#!/bin/sh", f'echo "$DEBIAN_FRONTEND $*" >> {tmp_path}/asked', ends]
        put(tmp_path / "apt-get", "\n".join(lines))
        return tmp_path

    return with_apt


def put(path: Path, text: str) -> None:
    path.write_text(text + "\n")
    path.chmod(0o755)


BRINGS = 'case "$*" in *install*) /bin/ln -s /bin/true "${0%/*}/chromium";; esac'


def test_debians_package_is_installed_without_questions(machine):
    folder = machine(BRINGS)
    assert bring_browser.bring() == ""
    assert (folder / "asked").read_text().splitlines() == [
        "noninteractive -qq update",
        "noninteractive -qq install --yes --no-install-recommends chromium",
    ]
    assert browser.found() == str(folder / "chromium")
    assert bring_browser.bring() == ""
    assert len((folder / "asked").read_text().splitlines()) == 2  # not asked again


@pytest.mark.parametrize("name", browser.NAMES)
def test_a_browser_that_is_there_is_taken(machine, name):
    folder = machine()
    put(folder / name, "#!/bin/sh")
    assert bring_browser.bring() == ""
    assert not (folder / "asked").exists()


def test_who_is_not_root_is_told(machine):
    folder = machine(BRINGS, root=False)
    said = bring_browser.bring()
    assert said.startswith("NO BROWSER: pages are not tested; put chromium or ")
    assert "\n" not in said
    assert not (folder / "asked").exists()
    (folder / "apt-get").unlink()
    assert bring_browser.bring() == said


def test_an_apt_that_fails_is_told(machine):
    machine("echo 'E: Unable to locate\n package chromium' >&2; exit 100")
    said = bring_browser.bring()
    assert said.endswith("did not bring one: E: Unable to locate package chromium")


@pytest.mark.skipif(MAKE is None, reason="there is no make here")
def test_the_target_says_so_and_does_not_fail(machine):
    folder = machine("echo 'E: no network' >&2; exit 100")
    interpreter = Path(sys.executable).parent
    run = subprocess.run(
        [str(MAKE), "--old-file=.venv/.ready", f"BIN={interpreter}", "browser"],
        cwd=ROOT,
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    (line,) = [each for each in run.stdout.splitlines() if "NO BROWSER" in each]
    assert line.startswith("***** NO BROWSER: pages are not tested")
