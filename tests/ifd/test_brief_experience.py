"""`curate ifd --brief-experience`: choosing, training, scoring; killed, it goes on where it was."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from curate.data.read import read
from curate.errors import DataError, UsageError
from curate.llamafactory import release as llamafactory
from curate.recipes import brief_experience
from curate.recipes.brief_experience import ExperienceParams, choose, clusters_for
from tests.calling import Caller, share_models
from tests.conftest import ROOT

SAMPLE = ROOT / "mixtures" / "samples" / "alpaca_en.json"


@pytest.mark.parametrize(
    ("rows", "clusters"), [(0, 1), (49, 1), (200, 4), (4_999, 99), (5_000, 100), (52_002, 100)]
)
def test_few_rows_make_few_clusters(rows, clusters):
    assert clusters_for(rows) == clusters


def test_without_llamafactory_it_says_what_installs_it(
    tmp_path, monkeypatch, scratch_cache, capsys
):
    monkeypatch.setattr(llamafactory, "missing", lambda: ["llamafactory"])
    said = Caller(capsys).refused(
        "--brief-experience trains a model: .*`train setup` installs it",
        *("ifd", "--input", SAMPLE, "--brief-experience", "--output", tmp_path / "data"),
    )
    assert "\n" not in said
    assert not list((tmp_path / "data").iterdir())


def write_rows(path, values):
    path.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def shortest():
    """Real rows, the shortest of the sample first, so that the tests take a minute."""
    values = json.loads(SAMPLE.read_text(encoding="utf-8"))
    return sorted(values, key=lambda each: len(json.dumps(each)))


@pytest.mark.model
def test_rows_of_every_cluster_out_of_its_middle(tmp_path, shortest, monkeypatch):
    monkeypatch.setenv("CURATRAIN_CACHE", str(share_models(tmp_path / "cache")))
    values = [*shortest[:60], {"instruction": "And this?", "output": ""}]
    rows = read(write_rows(tmp_path / "rows.json", values))
    monkeypatch.setattr(brief_experience, "_ROWS_A_CLUSTER", 20)
    monkeypatch.setattr(brief_experience, "PER_CLUSTER", 4)
    found = choose(rows, ExperienceParams())
    assert found.model["name"] == "smollm2"
    assert sum(found.summary().dropped.values()) + found.summary().kept == 61
    table = found.scores
    kept = table[table.kept]
    assert sorted(kept.cluster.value_counts()) == [4, 4, 4]
    for cluster, group in table[table.cluster.notna()].groupby("cluster"):
        low, high = np.percentile(group.instruction_ppl, [20, 80])
        if len(group) >= 10:
            assert kept[kept.cluster == cluster].instruction_ppl.between(low, high).all()
    assert not table.kept.iloc[60]


@pytest.mark.model
def test_a_length_that_the_model_does_not_take_is_refused_before_the_training(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("CURATRAIN_CACHE", str(share_models(tmp_path / "cache")))
    with pytest.raises(UsageError, match="--max-length 9000: smollm2 takes 2 to 8,192"):
        choose(read(SAMPLE), ExperienceParams(max_length=9000))


@pytest.mark.model
def test_rows_that_nobody_can_train_on(tmp_path, monkeypatch):
    monkeypatch.setenv("CURATRAIN_CACHE", str(share_models(tmp_path / "cache")))
    rows = read(write_rows(tmp_path / "rows.json", [{"instruction": "And this?", "output": ""}]))
    with pytest.raises(DataError, match="no row can be trained on: 1 "):
        choose(rows, ExperienceParams())


class Loop:
    """The command, in a cache and a folder of its own."""

    def __init__(self, rows, folder):
        self.folder, self.log = folder, folder / "log"
        self.environment = {**os.environ, "CURATRAIN_CACHE": str(share_models(folder / "cache"))}
        self.environment["PYTHONPATH"] = str(ROOT)
        self.command = [sys.executable, "-m", "curate", "ifd", "--input", str(rows), "--json"]
        self.command += ["--brief-experience", "--keep", "20", "--show", "0"]
        # Rates at which three steps change the model for all to see.
        for each in ("max_steps=3", "save_steps=1", "learning_rate=2e-3", "warmup_steps=0"):
            self.command += ["--train-set", each]
        for each in ("per_device_train_batch_size=2", "gradient_accumulation_steps=1"):
            self.command += ["--train-set", each]

    def start(self):
        with self.log.open("w") as log:
            return subprocess.Popen(
                self.command, cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )

    def finish(self):
        code = self.start().wait(600)
        said = self.log.read_text()
        assert code == 0, said
        return json.loads(said.splitlines()[-1]), said

    def kill(self, moment):
        """Start, and kill without warning as soon as the moment has come."""
        running = self.start()
        until = time.monotonic() + 600
        while not moment():
            assert running.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
        running.wait()

    def run_folder(self):
        found = list(self.folder.glob("saves/*/run.json"))
        return found[0].parent if found else None

    def state(self):
        folder = self.run_folder()
        return json.loads((folder / "run.json").read_text())["state"] if folder else None

    def journalled(self):
        return sum(path.stat().st_size for path in (self.folder / "cache/journals").glob("*"))

    def trainers(self):
        """Return the processes that work in the folder."""
        found = []
        for path in os.listdir("/proc"):
            try:
                inside = path.isdigit() and os.readlink(f"/proc/{path}/cwd") == str(self.folder)
            except OSError:
                continue
            if inside:
                found.append(int(path))
        return found

    def nothing_runs(self, seconds=60):
        until = time.monotonic() + seconds
        while self.trainers() and time.monotonic() < until:
            time.sleep(0.1)
        return not self.trainers()


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_200_rows_killed_while_training_and_while_scoring(tmp_path, shortest):
    rows = write_rows(tmp_path / "alpaca.json", shortest[:200])
    loop = Loop(rows, tmp_path)
    loop.kill(lambda: list(tmp_path.glob("saves/*/checkpoint-1/trainer_state.json")))
    assert loop.nothing_runs()
    chosen = (tmp_path / "data/alpaca_ifd_experience.jsonl").read_bytes()

    before = loop.journalled()
    loop.kill(lambda: loop.state() == "done" and loop.journalled() > before)
    assert loop.nothing_runs()
    said = loop.log.read_text()
    assert "continuing on alpaca_ifd_experience" in said
    assert "step 0 of 3" not in said
    assert "step 1 of 3, loss" not in said
    trained = (loop.run_folder() / "run.json").stat()

    told, said = loop.finish()
    assert "the model is there from an earlier run" in said
    assert (tmp_path / "data/alpaca_ifd_experience.jsonl").read_bytes() == chosen
    assert (loop.run_folder() / "run.json").stat().st_mtime == trained.st_mtime
    _adds_up(told, loop)
    _scored_by_the_trained_model(tmp_path, loop.run_folder())


def _adds_up(told, loop):
    assert (told["read"], told["kept"]) == (200, 20)
    assert told["kept"] + sum(told["dropped"].values()) == 200
    experience, model = told["experience"], told["initial_model"]
    assert (experience["dataset"], experience["kept"]) == ("alpaca_ifd_experience", 40)
    assert experience["kept"] + sum(experience["dropped"].values()) == 200
    run = json.loads((loop.run_folder() / "run.json").read_text())
    assert run["steps"] == 3
    assert model["run"] == loop.run_folder().name
    assert len(model["run_fingerprint"]) == 64
    manifest = json.loads((loop.folder / "data/alpaca_ifd.manifest.json").read_text())
    assert manifest["initial_model"] == model
    assert manifest["model"]["name"] == loop.run_folder().name
    assert manifest["params"]["model"] == "smollm2"


def _scored_by_the_trained_model(folder, run):
    """Compare three rows with peft's own model, whose losses the base does not have."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from curate.models.resolve import resolve
    from tests.naive import naive_ifd

    base = AutoModelForCausalLM.from_pretrained(resolve("smollm2").folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(run)
    table = pq.read_table(folder / "data/alpaca_ifd.scores.parquet").to_pandas()
    rows = read(folder / "alpaca.json")
    places = [at for at in (50, 120, 190) if table.status[at] == "ok"]
    untrained = [naive_ifd(base, tokenizer, rows[at], "chat")[0] for at in places]
    model = PeftModel.from_pretrained(base, run).eval()
    off, learned = 0.0, 0.0
    for at, without in zip(places, untrained, strict=True):
        prompted, alone = naive_ifd(model, tokenizer, rows[at], "chat")
        # bfloat16; a small NLL is off by as many nats as a large one
        assert table.nll_prompted[at] == pytest.approx(prompted, rel=0.02, abs=0.03)
        assert table.nll_alone[at] == pytest.approx(alone, rel=0.02, abs=0.03)
        off += abs(table.nll_prompted[at] - prompted)
        learned += abs(without - prompted)
    # What bfloat16 rounds is little beside what the model has learned.
    assert learned > 4 * off
