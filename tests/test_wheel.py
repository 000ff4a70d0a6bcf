"""The built wheel in an environment of its own, outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.model, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment with the wheel in it; returns its bin folder."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    (wheel,) = folder.glob("curatrain-*.whl")
    venv.create(folder / "env", with_pip=True)
    bin_folder = folder / "env" / "bin"
    constraints = str(ROOT / "constraints-cpu.txt")
    install = [bin_folder / "pip", "install", "--quiet", "--constraint", constraints, wheel]
    subprocess.run(install, check=True, capture_output=True, timeout=900)
    return bin_folder


def run(bin_folder: Path, where: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        [bin_folder / command[0], *command[1:]],
        cwd=where,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("command", ["curate", "train", "deploy"])
def test_the_three_commands_start(installed: Path, tmp_path: Path, command: str) -> None:
    version = run(installed, tmp_path, command, "--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert version.stdout.startswith("curatrain 0.")
    assert "Usage: " + command in run(installed, tmp_path, command, "--help").stdout


def test_bundled_data_is_found_and_scored_away_from_the_checkout(
    installed: Path, tmp_path: Path
) -> None:
    sample = "mixtures/samples/huatuo.json"
    # Rows longer than 110 tokens are not scored: this is about finding, not about speed.
    few = ["--keep", "2", "--max-length", "110"]
    done = run(installed, tmp_path, "curate", "ifd", "--input", sample, *few)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "data" / "huatuo_ifd.jsonl").read_text("utf-8").splitlines()) == 2
    assert (tmp_path / "data" / "dataset_info.json").is_file()
    report = ["report", "huatuo_ifd", "--input", sample, "--no-map"]
    drawn = run(installed, tmp_path, "curate", *report)
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "data" / "huatuo_ifd.report.html").read_text("utf-8").endswith("</html>")


def test_the_default_mixture_and_the_catalogue_come_along(installed: Path, tmp_path: Path) -> None:
    mixed = run(installed, tmp_path, "curate", "mix", "--ratio", "1:5")
    assert mixed.returncode == 0, mixed.stderr
    assert "domain 60 : general 300 rows = 1:5" in mixed.stdout
    listed = run(installed, tmp_path, "curate", "datasets", "--json")
    assert listed.returncode == 0, listed.stderr
    assert '"huatuogpt' in listed.stdout


def test_templates_and_types_come_along(installed: Path, tmp_path: Path) -> None:
    unit = run(installed, tmp_path, "deploy", "serve", "smollm2", "--print-systemd")
    assert unit.returncode == 0, unit.stderr
    assert "ExecStart=" in unit.stdout
    for package in ("curate", "train", "deploy"):
        (typed,) = installed.parent.glob(f"lib/python*/site-packages/{package}/py.typed")
        assert typed.is_file()
