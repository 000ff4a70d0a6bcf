"""What is found out about models, templates and data sets before anything is loaded."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from curate.errors import DataError, ModelError, UsageError
from curate.models.packaged_models import PACKAGED, converted_folder
from tests.train.making import CHATML, OWN, adapter_in, data_in, model_in
from train.checks import data_set
from train.checks.data_set import judge, measuring
from train.config.model import Model, find, reward_model, template_of


def test_layers_stand_in_the_headers(tmp_path: Path) -> None:
    folder = model_in(tmp_path / "m", "bloom")
    model = find(str(folder))
    layers = model.modules
    assert model.kind == "bloom"
    assert layers is not None
    assert "h.0.self_attention.query_key_value" in layers
    assert not any("layernorm" in each for each in layers)


def test_a_bundled_name_means_no_folder_that_is_called_so(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    model_in(Path("smollm2"))
    bundled, own = find("smollm2"), find("./smollm2")
    assert bundled.folder == converted_folder(PACKAGED["smollm2"])
    assert (own.path, own.kind) == (str(tmp_path / "smollm2"), "llama")


def test_shards_and_old_weights_tell_their_layers_too(tmp_path: Path) -> None:
    folder = model_in(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    assert len(find(str(folder)).modules or ()) == 3
    (folder / "model-00001-of-00002.safetensors").unlink()
    named = {"weight_map": {"a.q_proj.weight": "x.bin", "a.norm.weight": "x.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(named))
    assert find(str(folder)).modules == {"a.q_proj"}


def test_an_adapter_stands_on_what_its_user_typed(tmp_path: Path) -> None:
    base = model_in(tmp_path / "base")
    run = adapter_in(tmp_path / "saves" / "a", "somewhere/gone", model=str(base))
    found = find(str(run))
    assert (found.path, found.folder, found.adapter) == (str(base), base, run)
    # A run that went on from a run holds both; its base is that of the first.
    second = find(str(adapter_in(tmp_path / "saves" / "b", str(base), model=str(run))))
    assert (second.path, second.adapter) == (str(base), tmp_path / "saves" / "b")


@pytest.mark.parametrize(
    ("broken", "told"),
    [("config.json", "has no config.json"), ("model.safetensors", "has no weights")],
)
def test_a_model_that_is_not_whole(tmp_path: Path, broken: str, told: str) -> None:
    folder = model_in(tmp_path / "m")
    (folder / broken).unlink()
    with pytest.raises(ModelError, match=told):
        find(str(folder))


def test_weights_that_are_cut_off(tmp_path: Path) -> None:
    folder = model_in(tmp_path / "m")
    for broken in (b"\x10", b"\xff" * 7 + b"\x0f", b"\x02" + b"\0" * 7 + b"[]"):
        (folder / "model.safetensors").write_bytes(broken)
        with pytest.raises(ModelError, match="cut short or corrupt"):
            find(str(folder))
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="no model_type"):
        find(str(folder))


def test_a_hub_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    found = find("nobody/nothing-7b")
    assert (found.path, found.folder) == ("nobody/nothing-7b", None)
    assert "cannot be reached; set HF_ENDPOINT" in found.missing
    assert "ms://OWNER/NAME" in found.missing


def test_of_a_hub_model_that_is_not_whole_the_rest_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--somebody--mine"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c0ffee")
    folder = model_in(repository / "snapshots" / "c0ffee")
    found = find("somebody/mine")
    assert (found.path, found.folder, found.missing) == ("somebody/mine", folder, "")
    (folder / "model.safetensors").unlink()
    found = find("somebody/mine")
    assert found.folder == folder
    assert "cannot be reached" in found.missing


TEMPLATES = [
    ("smollm2", "llama", CHATML, None, "chatml"),
    ("Qwen2.5-0.5B-Instruct", "qwen2", CHATML, None, "qwen"),
    ("bloomz-mine", "bloom", "", None, "default"),
    ("mine", "llama", CHATML, None, "chatml"),
    ("mine", "qwen2", CHATML + "{# You are Qwen #}", None, "qwen"),
    ("mine", "llama", "", None, "default"),
    ("mine", "llama", OWN, None, None),
    ("mine", "llama", CHATML, "alpaca", "alpaca"),
    ("mine", "llama", CHATML, "own", None),
]


@pytest.mark.parametrize(("name", "kind", "chat", "given", "wanted"), TEMPLATES)
def test_template(
    tmp_path: Path, name: str, kind: str, chat: str, given: str | None, wanted: str | None
) -> None:
    folder = model_in(tmp_path / "m", kind, chat)
    assert template_of(Model(name=name, path="", folder=folder, kind=kind), given)[0] == wanted


def test_templates_that_would_teach_nonsense(tmp_path: Path) -> None:
    model = Model(name="mine", path="", folder=model_in(tmp_path / "m", words=()), kind="llama")
    with pytest.raises(ModelError, match=r"wants the tokens <\|im_end\|> and .*im_start"):
        template_of(model, "chatml")
    with pytest.raises(UsageError, match="Did you mean 'chatml'"):
        template_of(model, "chatm")
    with pytest.raises(UsageError, match="Give --template NAME"):
        template_of(Model(name="nobody/nothing", path=""), None)


def test_the_tokenizers_own_template_is_compared_with_what_becomes_of_it(tmp_path: Path) -> None:
    folder = model_in(tmp_path / "m", chat=OWN)
    model = find(str(folder))
    assert template_of(model, None)[0] is None
    counting, _ = measuring(model, 512, False)
    assert counting is not None
    assert "template own" in counting.about
    # The first turn otherwise than the second: LLaMA-Factory takes all turns for alike.
    other = OWN.replace("{{ m.content }}", "{{ m.content }}{% if loop.first %}!{% endif %}")
    (folder / "chat_template.jinja").write_text(other)
    with pytest.raises(ModelError, match="name one with --template"):
        measuring(model, 512, False)
    (folder / "chat_template.jinja").write_text("{{ raise_exception('no system role') }}")
    with pytest.raises(ModelError, match="no system role"):
        measuring(model, 512, False)


def test_the_newest_of_those_that_curate_made(tmp_path: Path) -> None:
    data_in(tmp_path)
    with pytest.raises(DataError, match="talks is for sft, pairs is for dpo, verdicts is for kto"):
        data_set.choose(data_in(tmp_path / "other", 3, "talks", "pairs", "verdicts"), "pt", None)
    only = data_set.choose(tmp_path, "sft", None)
    assert only == (("talks",), f"the only one in {tmp_path} for stage sft")
    info = tmp_path / "dataset_info.json"
    told = json.loads(info.read_text())
    info.write_text(json.dumps({**told, "more": told["talks"]}))
    with pytest.raises(DataError, match="give --dataset, one of talks, more"):
        data_set.choose(tmp_path, "sft", None)
    for seconds, name in enumerate(("talks", "more", "pairs")):
        manifest = tmp_path / f"{name}.manifest.json"
        manifest.write_text('{"recipe": "ifd"}')
        os.utime(manifest, (seconds, seconds))
    names, why = data_set.choose(tmp_path, "sft", None)
    assert (names, "made by ifd" in why) == (("more",), True)
    assert data_set.choose(tmp_path, "rm", None)[0] == ("pairs",)


def test_a_random_control_is_not_what_was_meant(tmp_path: Path) -> None:
    info = data_in(tmp_path, 3, "talks") / "dataset_info.json"
    told = json.loads(info.read_text())["talks"]
    info.write_text(json.dumps({"talks": told, "talks_random": told, "talks_clusters": told}))
    for seconds, name in enumerate(("talks", "talks_random", "talks_clusters")):
        manifest = tmp_path / f"{name}.manifest.json"
        manifest.write_text('{"params": {"of": "ifd"}}' if name == "talks_clusters" else "{}")
        os.utime(manifest, (seconds, seconds))
    assert data_set.choose(tmp_path, "sft", None)[0] == ("talks",)


def test_rows_that_were_set_aside_to_test_on_are_not_trained_on(tmp_path: Path) -> None:
    info = data_in(tmp_path, 3, "talks") / "dataset_info.json"
    told = json.loads(info.read_text())["talks"]
    info.write_text(json.dumps({"talks_train": told, "talks_test": told}))
    for seconds, side in enumerate(("train", "test")):
        manifest = tmp_path / f"talks_{side}.manifest.json"
        manifest.write_text(json.dumps({"recipe": "split", "side": side}))
        os.utime(manifest, (seconds, seconds))
    assert data_set.choose(tmp_path, "sft", None)[0] == ("talks_train",)


@pytest.mark.parametrize(
    ("stage", "name", "told"),
    [
        ("sft", "talk", "Did you mean 'talks'"),
        ("sft", "pairs", "`train dpo --dataset pairs`. Here are for it: talks"),
        ("dpo", "talks", "`train sft --dataset talks`. Here are for it: pairs"),
        ("rm", "verdicts", "`train kto --dataset verdicts`"),
        ("kto", "talks", "verdict"),
        ("pt", "talks", "texts to continue"),
        ("sft", "talks,nothing", "no data set 'nothing'"),
        ("sft", ",", "no data set ','"),
    ],
)
def test_data_of_another_kind(tmp_path: Path, stage: str, name: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        data_set.choose(data_in(tmp_path), stage, name)


def test_nothing_is_registered(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data set is registered in .*curate ifd"):
        data_set.choose(tmp_path, "sft", None)


def test_several_data_sets_are_one_training(tmp_path: Path) -> None:
    data_in(tmp_path / "data", 7)
    assert data_set.choose(tmp_path / "data", "sft", "talks, talks") == (("talks",), "")
    model = Model(name="m", path="", template="chatml", folder=model_in(tmp_path / "m"))
    found = judge(tmp_path / "data", ("talks", "talks"), "sft", model, {"cutoff_len": 512})
    assert found.extent.rows == 14
    # A token a letter: `user` and `assistant` with a line break, 6 and 8 letters of text, for each
    # turn its begin, its end and a line break.
    assert found.longest == 5 + 6 + 10 + 8 + 6
    assert "7 of 7 rows usable; longest row" in found.sets[0].line


def test_rows_that_nobody_can_use(tmp_path: Path) -> None:
    data_in(tmp_path, 3)
    (tmp_path / "talks.jsonl").write_text('{"instruction": "a", "input": "", "output": null}\n' * 3)
    with pytest.raises(DataError, match=r"nothing of 'talks' \(3 rows\) can be used .*--fix"):
        judge(tmp_path, ("talks",), "sft", Model(name="m", path=""), {"cutoff_len": 512})


def test_a_reward_model_on_the_same_base(tmp_path: Path) -> None:
    base, other = model_in(tmp_path / "base"), model_in(tmp_path / "other")
    saves, policy = tmp_path / "saves", find(str(base))
    with pytest.raises(UsageError, match="no finished run of stage rm"):
        reward_model(None, policy, saves)
    run = adapter_in(saves / "rm", str(base), stage="rm")
    with pytest.raises(ModelError, match="value_head"):
        reward_model(None, policy, saves)
    (run / "value_head.safetensors").touch()
    assert reward_model(None, policy, saves).adapter == run
    with pytest.raises(ModelError, match="train them on the same"):
        reward_model(run, find(str(other)), saves)
    with pytest.raises(ModelError, match="a run of stage sft"):
        reward_model(adapter_in(saves / "b", str(base), stage="sft"), policy, saves)
