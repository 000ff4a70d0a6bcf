"""`curate mods`: who answers. What is refused, training on the seeds, a server, kill and resume."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import curate
from curate.data.read import read
from curate.errors import UsageError
from curate.models.recipe import ModelRecipe
from curate.parameters.mods import ModsParams
from curate.recipes import train_between
from curate.recipes.mods import mods
from curate.recipes.train_between import Place
from curate.system.run_record import RunRecord
from tests.conftest import ROOT, SAMPLE
from tests.fake import put_in_place
from tests.fake_server import FakeServer, said


def test_wrong_use(fake_answers, call, rows_file, tmp_path):
    path = rows_file(12)
    own = ("mods", path, "--output", tmp_path / "o")
    for bad in ("x", "0%", "101%", "-1%", "nan", "inf"):
        call.refused("--max-necessity .*: allowed are a number", *own, f"--max-necessity={bad}")
    call.refused("--augment -1: allowed are a share", *own, "--augment=-1")
    call.refused("--max-new-tokens 0: allowed are 1", *own, "--max-new-tokens", 0)
    call.refused("--train-set lr: allowed is KEY=VALUE", *own, "--train-set", "lr")
    call.refused("--train-set lr: LLaMA-Factory.*learning_rate", *own, "--train-set", "lr=1")
    call.refused("--seeds-only and --responder base", *own, "--seeds-only", "--responder", "base")
    call.refused("no model 'smolm2'. Did you mean", *own, "--responder", "smolm2")
    call.refused("no model 'smolm2'. Did you mean", *own, "--model", "smolm2")
    call.refused("is a server, and a model there", *own, "--model", "http://127.0.0.1:9/v1#m")
    call.refused("cannot be reached", *own, "--responder", "http://127.0.0.1:9/v1")
    assert not list((tmp_path / "o").glob("*.jsonl"))


def test_without_a_trainer(fake_answers, call, rows_file, tmp_path, monkeypatch):
    def absent():
        raise UsageError("LLaMA-Factory is not installed; `train setup` installs it")

    monkeypatch.setattr(train_between, "check_trainer", absent)
    path = rows_file(12)
    call.refused(
        "trains on the seeds: LLaMA-Factory is not installed.*--responder base asks smollm2 as it "
        "is, --seeds-only ends with",
        *("mods", path, "--output", tmp_path / "o"),
    )
    assert call("mods", path, "--output", tmp_path / "o", "--seeds-only").code == 0


def test_the_model_is_trained_on_the_seeds(models, fake_answers, rows_file, tmp_path, monkeypatch):
    seen = []

    def train_on(request):
        seen.append(request)
        told = RunRecord(model="smollm2", steps=3, dataset={"data_sha256": "d"})
        return train_between.Trained(tmp_path / "saves" / "r", "9" * 64, told, found=False)

    monkeypatch.setattr(train_between, "train_on", train_on)
    monkeypatch.setattr(train_between, "check_trainer", lambda: None)
    monkeypatch.setattr(train_between, "check_settings", lambda model, settings: None)
    fake_answers()
    named = []
    model = ModelRecipe(kind="generator", name="x").load()
    put_in_place(monkeypatch, generator=lambda recipe: named.append(recipe.name) or model)
    place = Place(tmp_path / "o", "mine", tmp_path / "saves")
    params = ModsParams(
        "fake", responder="trained", seeds=3, max_necessity="100%", train_set=("max_steps=2",)
    )
    found = mods(read(rows_file(12)), params, place)
    (request,) = seen
    assert (request.dataset, request.dataset_dir, request.model) == (
        "mine_seeds",
        place.output,
        "smollm2",
    )
    assert request.settings == ("num_train_epochs=3", "max_steps=2")
    lines = (tmp_path / "o" / "mine_seeds.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert "mine_seeds" in json.loads((tmp_path / "o" / "dataset_info.json").read_text())
    assert named == [str(tmp_path / "saves" / "r")]
    assert found.choice.kept.sum() == 6
    told = found.manifest()["initial_model"]
    assert (told["run"], told["base"], told["run_fingerprint"]) == ("r", "smollm2", "9" * 64)
    assert found.params.responder == "trained"
    assert str(tmp_path) not in json.dumps(found.manifest())


def test_in_python(fake_answers, rows_file):
    fake_answers()
    found = curate.mods(curate.read(rows_file(20)), seeds=2, responder="x", max_necessity="100%")
    assert found.summary().kept == 4
    with pytest.raises(UsageError, match=r"no option 'respnder'. Did you mean 'responder'\?"):
        curate.mods(curate.read(rows_file(3)), respnder="base")


SCRIPT = """
import sys
from curate.models.recipe import ModelRecipe
from tests.rankers.fake import FakeReward
real = ModelRecipe.load
ModelRecipe.load = lambda self: FakeReward() if self.kind == "reward" else real(self)
from curate.cli import main
main()
"""


def test_killed_while_answering_it_goes_on_and_ends_with_the_same_bytes(tmp_path, rows_file):
    path = rows_file(14)
    gate = threading.Semaphore(5)

    def slowly(text, count):
        gate.acquire()
        return 200, said(f"[{text}]"), {}

    server = FakeServer(slowly)
    command = [sys.executable, "-c", SCRIPT, "mods", str(path), "--seeds", "2"]
    command += ["--responder", f"{server.address}#m", "--max-necessity", "50%"]

    def environment(name):
        return {**os.environ, "CURATRAIN_CACHE": str(tmp_path / name), "PYTHONPATH": str(ROOT)}

    def run(folder, cache):
        whole = [*command, "--output", str(tmp_path / folder)]
        return subprocess.Popen(
            whole, env=environment(cache), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    try:
        with run("one", "cache") as process:
            limit = time.monotonic() + 60
            while len(server.asked) < 5 + 8:  # 5 are answered, 8 are waiting for an answer
                assert time.monotonic() < limit
                assert process.poll() is None
                time.sleep(0.01)
            time.sleep(0.3)  # the journal is written
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=20)
        first = len(server.asked)
        for _ in range(1000):
            gate.release()
        with run("one", "cache") as process:
            assert process.wait(60) == 0, process.stderr.read()
        asked = [body["messages"][-1]["content"] for body, _ in server.asked]
        assert len(set(asked)) == 14
        assert len(asked) - first == 14 - 5  # what was answered is not asked again
        with run("two", "cache2") as process:
            assert process.wait(60) == 0
    finally:
        for _ in range(1000):
            gate.release()
        server.close()
    for end in ("jsonl", "scores.parquet"):
        one, other = (tmp_path / folder / f"rows_mods.{end}" for folder in ("one", "two"))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.model
def test_real_rows_with_the_bundled_models(models, call, write_json, tmp_path):
    values = json.loads((SAMPLE.parent / "alpaca_en.json").read_text(encoding="utf-8"))
    path = write_json(sorted(values, key=lambda each: len(each["instruction"]))[:12])
    answer = call("mods", path, "--min-quality", "30%", "--seeds", 2, "--responder", "base",
                  "--max-necessity", "50%", "--max-new-tokens", 8, "--augment", 1,
                  "--output", tmp_path / "o", "--json")  # fmt: skip
    assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    assert told["kept"] == 3
    assert told["kept"] + sum(told["dropped"].values()) == 12
    assert [each["stage"] for each in told["stages"]] == [
        *("quality", "coverage", "answers", "necessity", "augment"),
    ]
    assert told["stages"][2]["rows"] == told["stages"][0]["good"]
