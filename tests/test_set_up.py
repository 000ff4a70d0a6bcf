"""`make` sets up, saying first what comes and how large; the code host runs what developers do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

MAKE = shutil.which("make")
needs_make = pytest.mark.skipif(MAKE is None, reason="there is no make here")


def make(where: Path, *words: str, path: Path | None = None, **more: str) -> str:
    """Run make in a folder, with one folder more on the PATH; return what it says."""
    own = os.environ["PATH"].split(os.pathsep)
    folders = [str(path)] * (path is not None)
    folders += [each for each in own if not (Path(each) / "uv").exists()]
    environment = {**os.environ, **more, "PATH": os.pathsep.join(folders)}
    command = [str(MAKE), f"PYTHON={sys.executable}", *words]
    run = subprocess.run(
        command, cwd=where, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@needs_make
@pytest.mark.parametrize("with_uv", [False, True])
def test_it_says_what_comes_before_it_starts(tmp_path, with_uv):
    for name in ("Makefile", "pyproject.toml", "constraints-cpu.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    if with_uv:
        (tmp_path / "bin" / "uv").write_text("#!/bin/sh\n")
        (tmp_path / "bin" / "uv").chmod(0o755)
    said = make(tmp_path, "--dry-run", "demo", path=tmp_path / "bin")
    before, after = said.split(" -m venv .venv\n")
    assert "2.0 GB" in before
    assert "5.3 GB" in before
    small = "UV_TORCH_BACKEND=cpu" if with_uv else "PIP_EXTRA_INDEX_URL=https://"
    assert re.search(rf"{small}\S* make demo", before)
    installer = "uv pip install --python .venv/bin/python" if with_uv else ".venv/bin/pip install"
    assert after.count(f"{installer} --quiet --constraint constraints-cpu.txt ") == 2


@needs_make
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_uv_brings_the_same_versions(tmp_path):
    checkout, tool = tmp_path / "checkout", tmp_path / "tool"
    subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
    shutil.copy(ROOT / "Makefile", checkout / "Makefile")  # as it is now
    venv.create(tool, with_pip=True)
    subprocess.run([tool / "bin" / "pip", "install", "--quiet", "uv"], check=True)
    wheels = {"UV_FIND_LINKS": os.environ.get("PIP_FIND_LINKS", "")}
    only_uv = tmp_path / "only"
    only_uv.mkdir()
    (only_uv / "uv").symlink_to(tool / "bin" / "uv")
    said = make(checkout, ".venv/.ready", path=only_uv, UV_CACHE_DIR=f"{tmp_path}/uv", **wheels)
    assert "uv pip install" in said
    own = checkout / ".venv" / "bin"
    frozen = subprocess.run(
        [own / "pip", "freeze", "--exclude-editable"], capture_output=True, text=True, check=True
    ).stdout
    versions = dict(re.findall(r"^([\w.-]+)==([^+\s]+)", frozen, re.MULTILINE))
    pinned = dict(
        re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints-cpu.txt").read_text(), re.MULTILINE)
    )
    assert "torch" in versions
    assert {"transformers", "llamafactory", "pytest"} <= versions.keys()
    shared = versions.keys() & pinned.keys()
    assert {name: versions[name] for name in shared} == {name: pinned[name] for name in shared}
    for command in ("curate", "train", "deploy"):
        subprocess.run([own / command, "--version"], check=True, capture_output=True)


def test_the_workflow_runs_what_a_developer_types():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "check.yml").read_text("utf-8"))
    asked_by = workflow[True]  # `on`, as YAML 1.1 reads it
    assert {"push", "schedule"} <= asked_by.keys()
    (weekly,) = asked_by["schedule"]
    minute, hour, day, month, weekday = weekly["cron"].split()
    assert (day, month) == ("*", "*")
    assert all(each.isdigit() for each in (minute, hour, weekday))
    runs = {
        name: ([step["run"] for step in job["steps"] if "run" in step], job["if"])
        for name, job in workflow["jobs"].items()
    }
    (on_push,) = [when for commands, when in runs.values() if commands == [".ci/run"]]
    assert "'push'" in on_push
    (on_schedule,) = [when for commands, when in runs.values() if commands == ["make test-long"]]
    assert "'schedule'" in on_schedule
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    targets = (ROOT / "Makefile").read_text("utf-8")
    for target in ("test", "test-long"):
        assert re.search(rf"^{target}:", targets, re.MULTILINE)
