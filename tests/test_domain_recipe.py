"""`mixtures/domain_recipe.sh`: from a file to a training set, its control and a training."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curate.data.read import read
from tests.conftest import ROOT, SAMPLE

SCRIPT = ROOT / "mixtures" / "domain_recipe.sh"
pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(300)]


def run(folder, **settings):
    # A folder of the environment that the tests run in; what the user's shell has set stays out.
    bin_folder = str(Path(sys.executable).parent)
    kept = {
        k: v for k, v in os.environ.items() if k in ("HOME", "CURATRAIN_CACHE", "CURATRAIN_TESTS")
    }
    environment = {
        **kept,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    environment |= {name: str(value) for name, value in settings.items()}
    ended = subprocess.run(
        ["bash", SCRIPT], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended


def tokens(data, name):
    return json.loads((data / f"{name}.manifest.json").read_text())["counts"]["tokens"]["kept"]


def test_towards_questions_and_without_what_is_tested_on(tmp_path):
    rows = list(read(SAMPLE))
    exam = [{"instruction": row.prompt, "output": row.response} for row in rows[:8]]
    (tmp_path / "exam.json").write_text(json.dumps(exam), encoding="utf-8")
    (tmp_path / "ask.txt").write_text("高血压怎么治疗？\n孩子发烧怎么办？\n", encoding="utf-8")
    data = tmp_path / "my data"
    settings = {"QUESTIONS": "ask.txt", "TEST": "exam.json", "DATA": data, "BUDGET": "2K-tokens"}
    ended = run(tmp_path, **settings, NAME="care")
    assert "decontaminate" in ended.stderr
    chosen, drawn = (read(data / f"care_choice{end}.jsonl") for end in ("", "_random_tokens"))
    asked = {row.prompt for row in rows[:8]}
    assert not asked & {row.prompt for row in [*chosen, *drawn]}
    longest = max(pq.read_table(data / "care_choice.scores.parquet")["tokens"].to_pylist())
    own, others = tokens(data, "care_choice"), tokens(data, "care_choice_random_tokens")
    assert 2000 - longest < own <= 2000
    assert own - longest < others <= own
    for name, choice in (("care_choice", chosen), ("care_choice_random_tokens", drawn)):
        mixed = json.loads((data / f"{name}_mixed.manifest.json").read_text())
        assert mixed["output"]["rows"] == 2 * len(choice)
    planned = [line for line in ended.stdout.splitlines() if line.startswith("dataset: ")]
    assert planned == ["dataset: care_choice_mixed", "dataset: care_choice_random_tokens_mixed"]
    rates = [line for line in ended.stdout.splitlines() if line.startswith("learning_rate: ")]
    assert len(rates) == 2 == rates.count(rates[0])


def test_without_settings_it_runs_on_the_samples(tmp_path):
    ended = run(tmp_path)
    assert "split" in ended.stderr
    test = {row.prompt for row in read(tmp_path / "data" / "domain_test.jsonl")}
    chosen = {row.prompt for row in read(tmp_path / "data" / "domain_choice.jsonl")}
    assert test
    assert not test & chosen
    assert not (tmp_path / "saves").exists()


def test_a_command_that_fails_ends_it(tmp_path):
    with pytest.raises(AssertionError, match="error: no file 'nowhere.json'"):
        run(tmp_path, INPUT="nowhere.json")
