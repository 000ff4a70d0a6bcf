"""What is found out about models, templates and data sets before anything is loaded."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from curate.errors import DataError, ModelError, UsageError
from tests.train.making import CHATML, OWN, adapter_in, data_in, model_in
from train.checking.measuring import measure
from train.checking.verdict import judge
from train.planning import datasets, models, rewards
from train.planning.templates import choose


def test_layers_stand_in_the_headers(tmp_path: Path) -> None:
    folder = model_in(tmp_path / "m", "bloom")
    assert models.kind_of(folder) == "bloom"
    layers = models.layers_of(folder)
    assert layers is not None
    assert "h.0.self_attention.query_key_value" in layers
    assert not any("layernorm" in each for each in layers)


def test_shards_and_old_weights_tell_their_layers_too(tmp_path: Path) -> None:
    folder = model_in(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    assert len(models.layers_of(folder) or ()) == 3
    (folder / "model-00001-of-00002.safetensors").unlink()
    assert models.layers_of(folder) is None
    named = {"weight_map": {"a.q_proj.weight": "x.bin", "a.norm.weight": "x.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(named))
    assert models.layers_of(folder) == {"a.q_proj"}


def test_an_adapter_stands_on_what_its_user_typed(tmp_path: Path) -> None:
    base = model_in(tmp_path / "base")
    run = adapter_in(tmp_path / "saves" / "a", "somewhere/gone", model=str(base))
    found = models.find(str(run))
    assert (found.path, found.folder, found.adapter) == (str(base), base, run)
    # A run that went on from a run holds both; its base is that of the first.
    second = models.find(str(adapter_in(tmp_path / "saves" / "b", str(base), model=str(run))))
    assert (second.path, second.adapter) == (str(base), tmp_path / "saves" / "b")


@pytest.mark.parametrize(
    ("broken", "told"),
    [("config.json", "has no config.json"), ("model.safetensors", "has no weights")],
)
def test_a_model_that_is_not_whole(tmp_path: Path, broken: str, told: str) -> None:
    folder = model_in(tmp_path / "m")
    (folder / broken).unlink()
    with pytest.raises(ModelError, match=told):
        models.find(str(folder))


def test_weights_that_are_cut_off(tmp_path: Path) -> None:
    folder = model_in(tmp_path / "m")
    for broken in (b"\x10", b"\xff" * 7 + b"\x0f", b"\x02" + b"\0" * 7 + b"[]"):
        (folder / "model.safetensors").write_bytes(broken)
        with pytest.raises(ModelError, match="no whole safetensors file"):
            models.layers_of(folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="no model_type"):
        models.kind_of(folder)


def test_a_hub_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    found = models.find("nobody/nothing-7b")
    assert (found.path, found.folder) == ("nobody/nothing-7b", None)
    assert "the hub does not tell of it" in found.why


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
    assert choose(name, model_in(tmp_path / "m", kind, chat), kind, given).name == wanted


def test_templates_that_would_teach_nonsense(tmp_path: Path) -> None:
    folder = model_in(tmp_path / "m", words=())
    with pytest.raises(ModelError, match=r"wants the tokens <\|im_end\|> and .*im_start"):
        choose("mine", folder, "llama", "chatml")
    with pytest.raises(UsageError, match="Did you mean 'chatml'"):
        choose("mine", folder, "llama", "chatm")
    with pytest.raises(UsageError, match="Give --template NAME"):
        choose("nobody/nothing", None, "", None)


def test_the_tokenizers_own_template_is_compared_with_what_becomes_of_it(tmp_path: Path) -> None:
    folder = model_in(tmp_path / "m", chat=OWN)
    choice = choose("mine", folder, "llama", None)
    counting, _ = measure(folder, choice, 512, False)
    assert counting is not None
    assert "template own" in counting.about
    # The first turn otherwise than the second: LLaMA-Factory takes all turns for alike.
    other = OWN.replace("{{ m.content }}", "{{ m.content }}{% if loop.first %}!{% endif %}")
    (folder / "chat_template.jinja").write_text(other)
    with pytest.raises(ModelError, match="name one with --template"):
        measure(folder, choice, 512, False)
    (folder / "chat_template.jinja").write_text("{{ raise_exception('no system role') }}")
    with pytest.raises(ModelError, match="no system role"):
        measure(folder, choice, 512, False)


def test_the_newest_of_those_that_curate_made(tmp_path: Path) -> None:
    data_in(tmp_path)
    with pytest.raises(DataError, match="talks is for sft, pairs is for dpo, verdicts is for kto"):
        datasets.choose(data_in(tmp_path / "other", 3, "talks", "pairs", "verdicts"), "pt", None)
    only = datasets.choose(tmp_path, "sft", None)
    assert (only.name, only.why) == ("talks", f"the only one in {tmp_path} for stage sft")
    info = tmp_path / "dataset_info.json"
    told = json.loads(info.read_text())
    info.write_text(json.dumps({**told, "more": told["talks"]}))
    with pytest.raises(DataError, match="give --dataset, one of talks, more"):
        datasets.choose(tmp_path, "sft", None)
    for seconds, name in enumerate(("talks", "more", "pairs")):
        manifest = tmp_path / f"{name}.manifest.json"
        manifest.write_text('{"recipe": "ifd"}')
        os.utime(manifest, (seconds, seconds))
    chosen = datasets.choose(tmp_path, "sft", None)
    assert (chosen.name, "made by ifd" in chosen.why) == ("more", True)
    assert datasets.choose(tmp_path, "rm", None).name == "pairs"


def test_a_random_control_is_not_what_was_meant(tmp_path: Path) -> None:
    info = data_in(tmp_path, 3, "talks") / "dataset_info.json"
    told = json.loads(info.read_text())["talks"]
    info.write_text(json.dumps({"talks": told, "talks_random": told}))
    for seconds, name in enumerate(("talks", "talks_random")):
        manifest = tmp_path / f"{name}.manifest.json"
        manifest.write_text("{}")
        os.utime(manifest, (seconds, seconds))
    assert datasets.choose(tmp_path, "sft", None).name == "talks"


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
        datasets.choose(data_in(tmp_path), stage, name)


def test_nothing_is_registered(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data set is registered in .*curate ifd"):
        datasets.choose(tmp_path, "sft", None)


def test_several_data_sets_are_one_training(tmp_path: Path) -> None:
    data_in(tmp_path / "data", 7)
    chosen = datasets.choose(tmp_path / "data", "sft", "talks, talks")
    assert chosen.names == ("talks",)
    folder = model_in(tmp_path / "m", chat=CHATML)
    counting, _ = measure(folder, choose("mine", folder, "llama", None), 512, False)
    found = judge(tmp_path / "data", ("talks", "talks"), "sft", counting)
    assert found.extent.rows == 14
    # A token a letter: `user` and `assistant` with a line break, 6 and 8 letters of text, for each
    # turn its begin, its end and a line break.
    assert found.longest == 5 + 6 + 10 + 8 + 6
    assert "7 of 7 rows usable; longest row" in found.lines[0]


def test_rows_that_nobody_can_use(tmp_path: Path) -> None:
    data_in(tmp_path, 3)
    (tmp_path / "talks.jsonl").write_text('{"instruction": "a", "input": "", "output": null}\n' * 3)
    with pytest.raises(DataError, match=r"nothing of 'talks' \(3 rows\) can be used .*--fix"):
        judge(tmp_path, ("talks",), "sft", None)


def test_a_reward_model_on_the_same_base(tmp_path: Path) -> None:
    base, other = model_in(tmp_path / "base"), model_in(tmp_path / "other")
    saves = tmp_path / "saves"
    with pytest.raises(UsageError, match="no finished run of stage rm"):
        rewards.choose(None, str(base), saves)
    run = adapter_in(saves / "rm", str(base), stage="rm")
    with pytest.raises(ModelError, match="value_head"):
        rewards.choose(None, str(base), saves)
    (run / "value_head.safetensors").touch()
    assert rewards.choose(None, str(base), saves) == run
    with pytest.raises(ModelError, match="train them on the same"):
        rewards.choose(run, str(other), saves)
    with pytest.raises(ModelError, match="a run of stage sft"):
        rewards.choose(adapter_in(saves / "b", str(base), stage="sft"), str(base), saves)
