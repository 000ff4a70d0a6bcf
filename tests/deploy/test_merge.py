"""`deploy merge`: one model that answers like the adapter did, or none at all."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from curate.errors import OutputError
from curate.llamafactory import release as llamafactory
from curate.models.resolve import resolve
from curate.system.model_folder import chat_template, for_older_readers
from deploy.cli import app
from deploy.merging import merge as merging
from deploy.merging.agreement import compare
from deploy.output import default_output, note, noted, repair, unfinished
from tests.calling import Caller
from tests.deploy.merging import FORGETS, adapter, exporting, tiny, write_run


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    return Caller(capsys, app, "deploy")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small base, and an adapter that changes what it says."""
    folder = tmp_path_factory.mktemp("small")
    adapter(tiny(folder / "base"), folder / "run")
    return folder


@pytest.mark.model
@pytest.mark.timeout(900)
def test_the_bundled_model_and_an_adapter_become_one(call, tmp_path):
    base = resolve("smollm2").folder
    run = adapter(base, Path("saves/medical"), model="smollm2")
    own = "{{ messages[0]['content'] }}<|im_start|>assistant\n"
    (run / "chat_template.jinja").write_text(own)
    answer = call("merge", "medical", "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    made = Path(told["folder"])
    assert made == Path("saves/medical-merged")
    assert (told["answers"], told["same"], told["ties"]) == (5, 5, 0)
    assert told["changed_by_adapter"] > 0
    # A layer's weights are the base's and the adapter's product, alpha / r = 8 / 4.
    name = "model.layers.3.mlp.up_proj"
    learned = load_file(run / "adapter_model.safetensors")
    a, b = (learned[f"base_model.model.{name}.lora_{each}.weight"] for each in "AB")
    before = load_file(base / "model.safetensors")[f"{name}.weight"]
    after = load_file(made / "model.safetensors")[f"{name}.weight"]
    assert (before + 2 * b @ a - after).abs().max() < 1e-6
    # What older readers need, and what it was trained with.
    settings = json.loads((made / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert "extra_special_tokens" not in settings
    assert json.loads((made / "config.json").read_text())["rope_theta"] == 100000
    assert chat_template(made) == own
    manifest = (made / "deploy.manifest.json").read_text()
    assert str(tmp_path) not in manifest
    assert str(base) not in manifest
    assert json.loads(manifest)["base"]["name"] == "smollm2"
    assert sorted(each.name for each in Path("saves").iterdir()) == ["medical", "medical-merged"]
    call.refused("saves/medical-merged is there already", "merge", "medical")
    call.refused("is a whole model and has no adapter", "merge", made)


@pytest.mark.model
def test_what_forgets_the_adapter_is_seen_and_leaves_nothing(call, small, monkeypatch, tmp_path):
    monkeypatch.setattr(llamafactory, "find", lambda: exporting(tmp_path / "export", FORGETS))
    said = call.refused(
        "does not answer like the adapter: . of 5", "merge", small / "run", "--output", "made"
    )
    assert "the adapter says" in said
    assert "the merged model" in said
    assert [each.name for each in tmp_path.iterdir()] == ["export"]


@pytest.mark.model
def test_answers_of_another_base_are_not_the_adapter_s(small, tmp_path):
    found = compare(small / "base", small / "run", small / "base", "float32", 8)
    assert found.wrong
    assert found.same < 5
    same = compare(
        small / "base",
        adapter(small / "base", tmp_path / "zero", 0),
        small / "base",
        "float32",
        8,
    )
    assert (same.same, same.changed, same.wrong) == (5, 0, ())


def test_two_tokens_as_good_as_equally_likely_are_a_tie():
    from deploy.merging.agreement import Agreement, Answers

    answers = tuple(Answers("q", "a", "b", "c", gap) for gap in (None, 0.02, 0.3))
    found = Agreement(answers, most=0.25)
    assert (found.same, found.ties, found.wrong) == (1, 1, answers[2:])
    # Weights that overflow answer nonsense and measure NaN.
    broken = Agreement((replace(answers[0], gap=float("nan")),), most=0.25)
    assert broken.wrong == broken.answers


@pytest.mark.model
def test_an_export_that_fails_is_told_with_its_reason(call, small, monkeypatch, tmp_path):
    code = "print('Traceback')\nprint('OSError: [Errno 28] No space left on device')\nsys.exit(1)"
    monkeypatch.setattr(llamafactory, "find", lambda: exporting(tmp_path / "export", code))
    said = call.refused("ended with 1: OSError", "merge", small / "run", "--output", "made")
    assert "No space left on device" in said
    assert "made.export.log" in said
    assert sorted(each.name for each in tmp_path.iterdir()) == ["export", "made.export.log"]


@pytest.mark.model
def test_no_room_is_told_before_anything_runs(call, small, monkeypatch):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 0)
    )
    call.refused(
        "takes about 0.01 GB, and . has 0.00 GB free", "merge", small / "run", "--output", "made"
    )


@pytest.mark.model
def test_a_base_that_is_not_where_it_was(call, small, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(small / "run", tmp_path / "run")
    path = tmp_path / "run" / "adapter_config.json"
    told = json.loads(path.read_text()) | {"base_model_name_or_path": "/gone/base"}
    path.write_text(json.dumps(told))
    call.refused("name it with --base MODEL", "merge", "run")
    tiny(moved)
    write_run(tmp_path / "run", model="base", model_fingerprint="0" * 64)
    call.refused("is not the model that run was trained on", "merge", "run", "--base", moved)
    config = json.loads((moved / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq"}
    (moved / "config.json").write_text(json.dumps(config))
    call.refused("quantised, and adapters cannot be added", "merge", "run", "--base", moved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": "failed"}, "is not done .*failed.*--resume"),
        ({"state": "stopped"}, "is not done .*stopped.*--resume"),
        ({"state": "running"}, "is not done .*running.*; wait for it"),
        ({"stage": "rm"}, "is a reward model.*curate mods --reward"),
        ({"method": "full"}, "trained all weights and has no adapter"),
        ({"format": 2}, "of format 2, and 1 is read here"),
        ({}, "has no adapter_config.json; give that of a run"),
    ],
)
def test_runs_that_cannot_be_merged(call, tmp_path, change, message):
    write_run(tmp_path / "run", **change)
    call.refused(message, "merge", "run")


def test_what_is_no_run(call, tmp_path):
    call.refused("there is no folder nothing", "merge", "nothing")
    write_run(tmp_path / "saves" / "medical")
    call.refused(r"Did you mean 'medical'\?", "merge", "medicl")
    (tmp_path / "file.json").write_text("{}")
    call.refused("there is no folder file.json", "merge", "file.json")
    (tmp_path / "empty").mkdir()
    call.refused("has no adapter_config.json; give that of a run", "merge", "empty")
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "outer" / "inner" / "adapter_config.json").write_text("{}")
    call.refused("give one inside it: inner", "merge", "outer")
    step = tmp_path / "steps" / "checkpoint-4"
    step.mkdir(parents=True)
    (step / "adapter_config.json").write_text("{}")
    call.refused("give one inside it: checkpoint-4", "merge", "steps")
    call.refused("has no adapter_model.safetensors", "merge", step)
    (step / "adapter_model.safetensors").write_bytes(b"x")
    call.refused("cannot be added to weights; allowed are LORA and OFT", "merge", step)
    (step / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    call.refused("does not name the model that the adapter was trained on", "merge", step)
    (step / "adapter_config.json").write_text("no json")
    call.refused("cannot be read", "merge", step)
    (step / "adapter_config.json").write_text('{"peft_type": "LORA", "task_type": "SEQ_CLS"}')
    call.refused("an adapter for SEQ_CLS", "merge", step)


def test_weights_that_are_not_those_of_the_run(call, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (run / "adapter_model.safetensors").write_bytes(b"x")
    write_run(run)
    (run / "adapter_model.safetensors").write_bytes(b"y")
    call.refused("is not what its run wrote", "merge", "run")


def test_an_unknown_dtype_is_refused(call, tmp_path, monkeypatch):
    run = write_run(tmp_path / "run")
    (run / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (run / "adapter_model.safetensors").write_bytes(b"x")
    write_run(run, model="smollm2")
    call.refused("--dtype float8: allowed are auto", "merge", "run", "--dtype", "float8")


def test_where_the_merged_model_goes():
    assert default_output(Path("saves/medical"), "merged") == Path("saves/medical-merged")
    assert default_output(Path("medical/"), "4bit") == Path("medical-4bit")
    here = default_output(Path(), "merged")
    assert here == Path.cwd().with_name(f"{Path.cwd().name}-merged")


def test_a_manifest_finds_its_data_and_says_nothing_of_this_machine(tmp_path):
    for folder in ("data", "saves/model", "saves/.part"):
        (tmp_path / folder).mkdir(parents=True)
    dataset = {"name": "rows", "dataset_dir": str(tmp_path / "data")}
    note(tmp_path / "saves" / ".part", {"dataset": dataset})
    written = tmp_path / "saves" / ".part" / "deploy.manifest.json"
    assert str(tmp_path) not in written.read_text()
    shutil.move(written, tmp_path / "saves" / "model")
    assert noted(tmp_path / "saves" / "model") == {"dataset": dataset}
    note(tmp_path / "data", {"dataset": None})
    assert (noted(tmp_path / "data"), noted(tmp_path)) == ({"dataset": None}, {})


def test_two_processes_do_not_make_one_folder(tmp_path):
    output = tmp_path / "made"
    (tmp_path / ".made.part" / "left").mkdir(parents=True)
    (tmp_path / ".made.part" / "file").touch()
    with unfinished(output) as part:
        assert list(part.iterdir()) == []
        (part / "file").touch()
        with pytest.raises(OutputError, match="another process makes .*made just now"):  # noqa: SIM117
            with unfinished(output):
                pass
        assert (part / "file").exists()
    assert [each.name for each in tmp_path.iterdir()] == ["made"]
    with pytest.raises(OutputError, match="nothing of .*stopped is kept") as stopped:  # noqa: SIM117
        with unfinished(tmp_path / "stopped"):
            raise KeyboardInterrupt
    assert stopped.value.exit_code == 130
    with unfinished(tmp_path / "other"):
        pass
    assert (tmp_path / "other").is_dir()


def test_names_that_older_readers_refuse(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<a>"]}'
    )
    rope = {"rope_type": "yarn", "rope_theta": 5.0, "factor": 4.0}
    (tmp_path / "config.json").write_text(json.dumps({"rope_parameters": rope}))
    assert len(for_older_readers(tmp_path)) == 4
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert settings == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "additional_special_tokens": ["<a>"],
    }
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["rope_theta"] == 5.0
    assert config["rope_scaling"] == {"rope_type": "yarn", "factor": 4.0}
    assert for_older_readers(tmp_path) == []


@pytest.mark.model
def test_the_manifest_says_what_and_not_when(small):
    from deploy.merging.agreement import Agreement
    from deploy.merging.merge import read_adapter

    made = replace(read_adapter(small / "run"), base_name=str(small / "base"))
    told = merging.manifest(made, "f", "float32", Agreement((), 0.1))
    assert told["base"]["name"] == "base"
    assert told["adapter"]["sha256"]
    assert told["dataset"]["name"] == "rows"
    assert "seconds" not in json.dumps(told)


def test_several_chat_templates_in_the_base_s_config_are_not_taken_away(small, tmp_path):
    from deploy.merging.merge import read_adapter

    base = Path(shutil.copytree(small / "base", tmp_path / "base"))
    run = Path(shutil.copytree(small / "run", tmp_path / "run"))
    for name in ("run.json", "chat_template.jinja"):
        (run / name).unlink(missing_ok=True)
    (base / "chat_template.jinja").unlink(missing_ok=True)
    templates = {"run": None, "base": [{"name": "default", "template": "DEF"}]}
    for folder, told in templates.items():
        path = tmp_path / folder / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": told}))
    part = Path(shutil.copytree(base, tmp_path / "part"))
    template = merging.template_of(read_adapter(run), base, part)
    repair(part, template)
    assert chat_template(part) == "DEF"
