"""`train setup`: what is missing, what would be installed, and where it is not installed."""

import json
import subprocess
import sys

import pytest

from curate.errors import OutputError, UsageError
from curate.llamafactory import release as llamafactory
from curate.system import environments
from curate.system.hardware import Hardware
from tests.calling import Caller
from train import setup
from train.cli import app

CPU = Hardware("cpu", 1, 10**10, True)
GPUS = Hardware("cuda", 2, 10**10, True)


@pytest.fixture
def call(capsys):
    return Caller(capsys, app, "train")


@pytest.fixture
def bare(monkeypatch):
    """As if LLaMA-Factory and trl were not installed."""
    monkeypatch.setattr(llamafactory, "missing", lambda: ["llamafactory", "trl"])


def test_nothing_is_missing_here():
    assert setup.needed(CPU) == setup.Needed((), (), ())


def test_on_a_cpu_torch_stays_and_what_texts_need_comes(bare):
    found = setup.needed(CPU)
    first, second = found.commands
    assert found.missing == ("llamafactory", "trl")
    assert first[:4] == (sys.executable, "-m", "pip", "install")
    import torch

    assert f"torch=={torch.__version__}" in first
    assert not any("torchaudio" in each or "llamafactory" in each for each in first)
    assert second[-2:] == ("--no-deps", "llamafactory==0.9.5")


def test_with_gpus_the_whole_of_it_comes(bare):
    (command,) = setup.needed(GPUS).commands
    assert command[-1] == "llamafactory==0.9.5"


def test_what_texts_need_is_what_llamafactory_asks_for():
    from importlib.metadata import requires

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    asked = {canonicalize_name(r.name): r for r in map(Requirement, requires("llamafactory") or ())}
    for each in map(Requirement, setup.TEXT_ONLY):
        bounds = {(s.operator, s.version) for s in each.specifier}
        if each.name != "transformers":  # here ours are narrower, and why is said there
            assert bounds == {(s.operator, s.version) for s in asked[each.name].specifier}
    named = {canonicalize_name(Requirement(each).name) for each in setup.TEXT_ONLY}
    needed = {canonicalize_name(each) for each in llamafactory.NEEDED} - {"torch"}
    assert named == needed


def test_another_version_is_replaced(monkeypatch):
    monkeypatch.setattr(setup.importlib.metadata, "version", lambda _: "0.9.4")
    found = setup.needed(GPUS)
    assert "LLaMA-Factory 0.9.4 is here" in found.lines[0]
    assert found.commands


def test_dry_run_shows_commands_and_runs_none(bare, call, monkeypatch):
    monkeypatch.setattr(setup, "install", None)
    answer = call("setup", "--dry-run", "--json")
    assert "missing here: llamafactory, trl" in answer.err
    *commands, last = answer.out.splitlines()
    assert [each.split(" -m ")[0] for each in commands] == [sys.executable] * 2
    assert "'trl<=0.24.0,>=0.18.0'" in answer.out or "'trl>=0.18.0,<=0.24.0'" in answer.out
    told = json.loads(last)
    assert (told["ready"], told["missing"]) == (False, ["llamafactory", "trl"])
    assert len(told["commands"]) == 2


def test_a_step_that_fails_says_why(monkeypatch):
    command = (sys.executable, "-c", "raise SystemExit('ERROR: no matching distribution')")
    said: list[str] = []
    with pytest.raises(OutputError, match=r"^ERROR: no matching distribution \(all output: ") as no:
        setup.install((command,), said.append)
    assert "give the command again" in str(no.value)


def test_a_word_that_is_no_part(call):
    call.refused(r"allowed are nothing, or ppo\. Did you mean 'ppo'\?", "setup", "pppo")


def test_ppo_has_an_environment_of_its_own(call, scratch_cache):
    answer = call("setup", "ppo", "--dry-run")
    making, installing = answer.out.splitlines()
    assert making.endswith(str(scratch_cache / "environments" / "ppo"))
    assert "llamafactory==0.9.3 'pyarrow<22'" in installing
    assert "torch==" in installing
    assert "+cpu" not in installing
    assert not (scratch_cache / "environments").exists()
    with pytest.raises(UsageError, match="`train setup ppo` builds it"):
        setup.backend_of("ppo")


def test_ppo_keeps_what_it_caches_to_itself(monkeypatch, tmp_path, scratch_cache):
    monkeypatch.setattr(environments, "python", lambda _: tmp_path / "bin" / "python")
    found = setup.backend_of("ppo")
    assert found.variables["HF_DATASETS_CACHE"].startswith(str(scratch_cache))
    assert found.variables["PATH"].startswith(str(tmp_path / "bin"))
    assert "PYTHONPATH" not in found.variables


@pytest.mark.model
def test_trainers_are_imported_in_a_process_of_their_own():
    run = subprocess.run(
        [sys.executable, "-m", "train", "setup", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "checking that its trainers can be imported" in run.stderr
    assert json.loads(run.stdout)["ready"] is True
