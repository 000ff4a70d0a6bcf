"""The model in the middle of a recipe, with a stand-in for `train sft`."""

import json
import sys
from pathlib import Path

import pytest

from curate.errors import OutputError, UsageError
from curate.recipes import train_between
from curate.recipes.train_between import Request, command, key, train_on

# What it is told to do stands in the last setting; every call is counted.
PROGRAM = """
import json, pathlib, sys
what, folder, sha, *more = sys.argv[1:]
folder = pathlib.Path(folder)
folder.mkdir(parents=True, exist_ok=True)
calls = folder.parent / "calls"
with calls.open("a") as stream:
    stream.write(" ".join(more) + "|")
print("step 1 of 1", flush=True)
if what == "fail":
    sys.exit("error: the disk is full")
run = {"format": 1, "state": "done" if what != "stop" else "stopped", "steps": 1}
run["model"] = str(folder.parent)
run["dataset"] = {"data_sha256": "0" * 64 if what == "other" else sha}
(folder / "run.json").write_text(json.dumps(run))
(folder / "adapter_config.json").write_text("{}")
if what != "empty":
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
"""
SHA = "a" * 64


@pytest.fixture
def request_of(tmp_path, monkeypatch, scratch_cache):
    program = tmp_path / "train.py"
    program.write_text(PROGRAM)
    (tmp_path / "rows.manifest.json").write_text(json.dumps({"output": {"sha256": SHA}}))

    def call(request, folder):
        what = request.settings[0].partition("=")[2]
        return [sys.executable, str(program), what, str(folder), SHA]

    def make(what="done", **more):
        monkeypatch.setattr(train_between, "command", call)
        saves = tmp_path / "saves"
        return Request("rows", tmp_path, "m", "f", (f"do={what}",), saves, **more)

    return make


def calls(request):
    return (request.saves / "calls").read_text().split("|")[:-1]


def test_a_finished_run_is_not_trained_again(request_of, capsys):
    first = train_on(request_of())
    again = train_on(request_of())
    assert (first.found, again.found) == (False, True)
    assert first.fingerprint == again.fingerprint
    assert calls(request_of()) == [""]
    told = capsys.readouterr().err
    assert "  step 1 of 1" in told
    assert "the model is there from an earlier run" in told


def test_a_run_that_was_cut_short_is_resumed(request_of):
    with pytest.raises(OutputError, match="state stopped"):
        train_on(request_of("stop"))
    with pytest.raises(OutputError, match="state stopped"):
        train_on(request_of("stop"))
    assert calls(request_of()) == ["", "--resume"]


def test_what_the_training_said_last_is_the_reason(request_of):
    with pytest.raises(OutputError, match=r"exit code 1: the disk is full; .*same command again"):
        train_on(request_of("fail"))


def test_a_run_on_other_rows_is_refused(request_of):
    with pytest.raises(OutputError, match="not hold a finished run on these rows"):
        train_on(request_of("other"))


def test_an_adapter_without_weights_is_refused(request_of):
    with pytest.raises(OutputError, match=r"lost its adapter_model.safetensors"):
        train_on(request_of("empty"))


def test_rows_that_have_gone(request_of, tmp_path):
    (tmp_path / "rows.manifest.json").unlink()
    with pytest.raises(OutputError, match=r"rows.manifest.json has gone"):
        train_on(request_of())


def test_the_key_is_of_all_that_decides_the_model():
    usual = Request("rows", Path("data"), "m", "f")
    same = Request("rows", Path("elsewhere"), "./m", "f", saves=Path("other"))
    assert key(usual, SHA) == key(same, SHA)
    others = [
        key(usual, "b" * 64),
        key(Request("rows", Path("data"), "m", "g"), SHA),
        key(Request("rows", Path("data"), "m", "f", ("max_steps=2",)), SHA),
        key(Request("rows", Path("data"), "m", "f", seed=1), SHA),
    ]
    assert len({key(usual, SHA), *others}) == 5


def test_the_command():
    request = Request("rows", Path("data"), "smollm2", "f", ("num_train_epochs=3", "x=1"))
    found = command(request, Path("saves/rows-1"))
    assert found[:4] == [sys.executable, "-m", "train", "sft"]
    assert found.count("--set") == 4
    assert "num_train_epochs=3" in found
    assert "num_train_epochs=1" not in found
    assert found[found.index("--model") + 1] == "smollm2"


def test_settings_that_the_trainer_does_not_take_are_refused_at_once(scratch_cache):
    with pytest.raises(UsageError, match=r"in between: --train-set learning_rat: .*learning_rate"):
        train_between.check_settings("smollm2", ("learning_rat=1",))


def test_a_manifest_has_no_folders(request_of, tmp_path):
    told = train_on(request_of()).as_dict()
    assert str(tmp_path) not in json.dumps(told)


def test_without_a_trainer_it_says_what_installs_it(monkeypatch):
    monkeypatch.setattr(train_between.llamafactory, "missing", lambda: ["llamafactory"])
    with pytest.raises(UsageError, match="train setup"):
        train_between.check_trainer()
