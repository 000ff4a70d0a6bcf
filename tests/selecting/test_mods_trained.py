"""`curate mods` as a whole: seeds, `train sft`, answers, necessity, in one command."""

import importlib.util
import json
import os

import pytest

from tests.calling import share_models
from tests.conftest import ROOT, SAMPLE

pytestmark = [
    pytest.mark.model,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        importlib.util.find_spec("llamafactory") is None, reason="LLaMA-Factory is not installed"
    ),
]


def test_from_200_rows_to_what_a_trained_model_answers_badly(curate_command, tmp_path):
    rows = json.loads((SAMPLE.parent / "alpaca_en.json").read_text(encoding="utf-8"))[:200]
    (tmp_path / "english.json").write_text(json.dumps(rows), encoding="utf-8")
    cache = share_models(tmp_path / "cache")
    variables = {**os.environ, "CURATRAIN_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    arguments = ["mods", "--input", "english.json", "--min-quality", "95%", "--seeds", 4]
    arguments += ["--max-necessity", "50%", "--max-new-tokens", 8, "--augment", 2, "--json"]
    arguments += ["--train-set", "max_steps=2", "--train-set", "cutoff_len=128"]
    first, again = (
        curate_command(*arguments, cwd=tmp_path, env=variables, timeout=800) for _ in range(2)
    )
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout.splitlines()[-1])
    assert told["kept"] == 6
    assert told["kept"] + sum(told["dropped"].values()) == 200
    run = tmp_path / "saves" / told["initial_model"]["run"]
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert (record["state"], record["steps"], record["model"]) == ("done", 2, "smollm2")
    data = tmp_path / "data"
    manifest = json.loads((data / "english_mods.manifest.json").read_text(encoding="utf-8"))
    assert manifest["initial_model"] == told["initial_model"]
    assert manifest["model"]["responder"] == run.name
    assert str(tmp_path) not in json.dumps(manifest)
    seeds = (data / "english_mods_seeds.jsonl").read_text(encoding="utf-8").splitlines()
    kept = (data / "english_mods.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(seeds) == 4
    assert set(seeds) < set(kept)
    # The same command again trains nothing and asks nothing, and says the same.
    assert again.returncode == 0, again.stderr
    assert "the model is there from an earlier run" in again.stderr
    assert "loss" not in again.stderr
    assert json.loads(again.stdout.splitlines()[-1]) == told
