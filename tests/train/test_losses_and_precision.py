"""Training stops before it loads a model where the rows are not what the user thinks, and measures
once which precision is quicker on this CPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from curate.llamafactory.release import Backend
from curate.models.inventory import fetched
from curate.system.hardware import Hardware
from tests.calling import Caller
from tests.train.making import CHATML, adapter_in, model_in
from train import setup
from train.checks import precision
from train.config.model import Model

CPU = Hardware("cpu", 1, 16 << 30, False)


def rows_in(folder: Path, rows: list[dict[str, str]], **columns: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "rows.json").write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
    entry: dict[str, Any] = {"file_name": "rows.json"}
    if columns:
        entry["columns"] = columns
    (folder / "dataset_info.json").write_text(json.dumps({"rows": entry}))


def questions(answer_words: list[int]) -> list[dict[str, str]]:
    return [
        {"instruction": f"Say {at}.", "input": "", "output": "word " * words}
        for at, words in enumerate(answer_words)
    ]


DATASET = {"name": "rows", "dataset_dir": "data"}
TYPED = ("sft", "--dataset", "rows", "--model", "mine")


def test_a_column_that_is_misspelt_stops_the_training(train: Caller) -> None:
    rows_in(Path("data"), questions([5] * 30), promt="instruction", response="output")
    why = train.refused("30 of 30 rows of 'rows' have no prompt", *TYPED)
    assert "--yes" in why
    assert "dataset_info.json" in why
    shown = train(*TYPED, "--dry-run")
    assert shown.code == 0
    assert "would be refused: 30 of 30 rows" in shown.err
    assert "would be refused: 30" not in train(*TYPED, "--dry-run", "--yes").err


def test_fewer_than_half_without_a_prompt_go_on(train: Caller) -> None:
    rows = questions([5] * 30)
    for row in rows[:14]:
        row["instruction"] = ""
    rows_in(Path("data"), rows)
    assert "would be refused" not in train(*TYPED, "--dry-run").err
    rows[14]["instruction"] = ""
    rows_in(Path("data"), rows)
    assert "would be refused: 15 of 30" in train(*TYPED, "--dry-run").err


def test_a_cutoff_of_the_users_that_cuts_half_stops_the_training(train: Caller) -> None:
    rows_in(Path("data"), questions([5] * 10 + [400] * 10))
    typed = (*TYPED, "--dry-run", "--set", "cutoff_len=64")
    assert "would be refused: 10 of 20 rows of 'rows' are longer than cutoff_len 64" in (
        train(*typed).err
    )
    assert "would be refused" not in train(*typed, "--yes").err
    rows_in(Path("data"), questions([5] * 11 + [400] * 9))
    assert "would be refused" not in train(*typed).err


def test_quick_takes_the_smallest_cutoff_that_cuts_fewer_than_half(train: Caller) -> None:
    # A character is a token of this model.
    for characters, cutoff in ((400, 512), (600, 768), (900, 1024), (3000, 1024)):
        rows_in(Path("data"), questions([1] * 10 + [characters // len("word ")] * 10))
        shown = train(*TYPED, "--preset", "quick", "--dry-run")
        assert yaml.safe_load(shown.out)["cutoff_len"] == cutoff, shown.err
        assert ("less would cut half" in shown.err) == (cutoff > 512)
        assert "would be refused" not in shown.err


@pytest.mark.model
def test_both_precisions_are_measured_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetched("smollm2")
    monkeypatch.setenv("CURATRAIN_CACHE", str(tmp_path / "cache"))
    model = Model(name="smollm2", path=str(folder), folder=folder)
    lines: list[str] = []
    first = precision.choose(model, True, CPU, lambda: setup.backend_of("sft"), lines.append)
    assert set(first.seconds) == {"float32", "bfloat16"}
    assert first.bf16 == (first.seconds["bfloat16"] < first.seconds["float32"])
    assert len(lines) == 1
    # What is kept is taken, whatever it says, and nothing is measured again.
    (kept,) = (tmp_path / "cache" / "precision").iterdir()
    kept.write_text(json.dumps({"float32": 1.0, "bfloat16": 2.0}))
    again = precision.choose(model, True, CPU, lambda: setup.backend_of("sft"), lines.append)
    assert (again.bf16, len(lines)) == (False, 1)
    assert again.sentence == (
        "float32: a step of 256 tokens takes 2.00 s in bfloat16 and 1.00 s in float32 here"
    )


def test_what_cannot_be_measured_goes_by_the_cpus_flags(
    tmp_path: Path, scratch_cache: Path
) -> None:
    here = model_in(tmp_path / "mine", chat=CHATML)
    for bf16 in (True, False):
        cpu = Hardware("cpu", 1, 16 << 30, bf16)
        found = precision.choose(Model(name="m", path="hub/model"), True, cpu, _never, print)
        assert (found.bf16, found.seconds) == (bf16, {})
        assert "was not measured" in found.sentence
    # A model that leaves no room to be loaded, and a child that fails: its weights are not whole.
    small = Hardware("cpu", 1, 1, True)
    model = Model(name="m", path=str(here), folder=here)
    assert precision.choose(model, True, small, _never, print).bf16
    cpu = Hardware("cpu", 1, 16 << 30, True)
    failed = precision.choose(model, True, cpu, lambda: Backend("/bin/false", "0"), print)
    assert (failed.bf16, failed.seconds) == (False, {})
    assert "measuring failed" in failed.sentence
    assert not (scratch_cache / "precision").exists()


def _never() -> Backend:
    pytest.fail("something was started")


def test_a_run_goes_on_in_the_precision_that_it_began_with(
    train: Caller, scratch_cache: Path
) -> None:
    rows_in(Path("data"), questions([5] * 30))
    kept = scratch_cache / "precision" / f"{precision._key(Path('mine').resolve(), True)}.json"
    kept.parent.mkdir(parents=True)
    for quicker, other in (("bfloat16", "float32"), ("float32", "bfloat16")):
        kept.write_text(json.dumps({quicker: 1.0, other: 2.0}))
        shown = train(*TYPED, "--dry-run")
        assert yaml.safe_load(shown.out).get("bf16", False) == (quicker == "bfloat16"), shown.err
        assert f"precision: {quicker}: a step" in shown.err
    run = adapter_in(Path("saves/rows_sft"), "mine", state="stopped", dataset=DATASET)
    config = {**yaml.safe_load(shown.out), "bf16": True}
    (run / "train.yaml").write_text(yaml.safe_dump(config))
    going_on = train("sft", "--resume", "--output", "saves/rows_sft", "--dry-run")
    assert yaml.safe_load(going_on.out)["bf16"] is True, going_on.err
