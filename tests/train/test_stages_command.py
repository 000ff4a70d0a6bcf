"""`train pt|sft|rm|ppo|dpo|kto` as typed: what is chosen and said, and every wrong thing."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from curate.llamafactory import release as llamafactory
from curate.system import hardware
from tests.calling import Caller
from tests.train.making import adapter_in


@pytest.mark.parametrize("stage", ["pt", "sft", "rm", "dpo", "kto"])
def test_a_dry_run_says_what_was_chosen(
    train: Caller, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llamafactory, "missing", lambda: ["llamafactory"])
    answer = train(stage, "--model", "mine", "--dry-run")
    assert answer.code == 0, answer.err
    name = {"pt": "books", "sft": "talks", "kto": "verdicts"}.get(stage, "pairs")
    config = yaml.safe_load(answer.out)
    assert (config["stage"], config["dataset"], config["template"]) == (stage, name, "chatml")
    assert (
        answer.out.splitlines()[-1] == f"# llamafactory-cli train saves/{name}_{stage}/train.yaml"
    )
    for told in (
        f"data set: {name} (the only one in data for stage {stage})",
        "model: mine; template: chatml (by the tokenizer's chat template)",
        "preset: quick, since this machine trains on its CPU",
        f"doctor: {name}: 40 of 40 rows usable",
        "GiB are needed and this machine has",
    ):
        assert told in answer.err
    assert not Path("saves").exists()


def test_a_dry_run_as_json(train: Caller) -> None:
    answer = train("dpo", "--model", "mine", "--dry-run", "--json", "--seed", 7)
    told = json.loads(answer.out)
    assert (told["stage"], told["name"], told["config"]["seed"]) == ("dpo", "pairs_dpo", 7)
    assert told["command"][:2] == ["llamafactory-cli", "train"]


def test_the_same_command_gives_the_same_bytes(train: Caller) -> None:
    typed = ("sft", "--model", "mine", "--preset", "tutorial", "--dry-run")
    assert train(*typed).out == train(*typed).out


def test_nothing_starts_without_its_backend(train: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llamafactory, "missing", lambda: ["llamafactory"])
    answer = train("sft", "--model", "mine")
    assert answer.code == 2
    assert "`train setup` installs it" in answer.errors[0]
    assert "doctor" not in answer.err  # before anything takes time
    assert not Path("saves").exists()


WRONG = [
    ("sft --dataset talk", "no data set 'talk'. Did you mean 'talks'.* It has talks, pairs"),
    ("sft --dataset pairs", "`train dpo --dataset pairs`"),
    ("dpo --dataset talks", "stage dpo wants pairs .*`train sft --dataset talks`"),
    ("kto --dataset talks", r"kto wants responses with a verdict \(kto_tag\)"),
    ("pt --dataset talks", "pt wants texts to continue"),
    ("sft --dataset-dir nowhere", "no data set is registered in 'nowhere'"),
    ("sft --model data", "model directory 'data' has no config.json"),
    ("sft --model data/talks.jsonl", "is a file; give the directory"),
    ("sft --set lr=abc", "calls this learning_rate"),
    ("sft --set learning_rate=abc", "a number such as 5e-5"),
    ("sft --set lora_target=k_proj", "mine has no layer of this name.* It has down_proj, q_proj"),
    ("sft --set pure_bf16=true", "on GPUs alone"),
    ("sft --method qlora", "needs a GPU"),
    ("sft --method lorra", "full, lora, qlora. Did you mean 'lora'"),
    ("sft --preset tutorail", "Did you mean 'tutorial'"),
    ("sft --template chatm", "Did you mean 'chatml'"),
    ("sft --template llama3", "wants the tokens"),
    ("sft --output data", "holds something that is no run"),
    ("sft --output data --overwrite", "not touched"),
    ("sft --output .", "is where you are"),
    ("sft --resume", "no run of stage sft in saves is unfinished"),
    ("sft --resume --output data", "data holds no run"),
    ("sft --resume --overwrite --output data", "give one of them"),
    ("ppo", "ppo needs a reward model"),
    ("ppo --reward data", "value_head"),
    ("sft --lr 1", "No such option: --lr"),
    ("sfd", "No such command 'sfd'"),
]


@pytest.mark.parametrize(("typed", "told"), WRONG)
def test_wrong_things(train: Caller, typed: str, told: str) -> None:
    stage, *rest = typed.split()
    model = [] if "--model" in rest or stage == "sfd" else ["--model", "mine"]
    before = sorted(Path().rglob("*"))
    answer = train(stage, *model, *rest, "--dry-run" if "output" not in typed else "--force")
    if "output" in typed and not llamafactory.missing():
        assert answer.code == 2
    errors = answer.errors or [line for line in answer.err.splitlines() if "would be" in line]
    assert len(errors) == 1, answer.err
    assert re.search(told, errors[0]), errors[0]
    assert "Traceback" not in answer.err
    assert sorted(Path().rglob("*")) == before


def test_too_little_memory(train: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    if llamafactory.missing():
        pytest.skip("no LLaMA-Factory here")
    monkeypatch.setattr(hardware, "free_memory", lambda: 10 << 20)
    answer = train("sft", "--model", "mine")
    assert answer.code == 2
    assert re.search(r"too little memory: about .* --force tries it", answer.errors[0])
    assert not Path("saves").exists()
    dry = train("sft", "--model", "mine", "--dry-run")
    assert dry.code == 0
    assert "would be refused: too little memory" in dry.err


def test_going_on_from_a_run(train: Caller) -> None:
    adapter_in(Path("saves/first"), "somewhere", model="mine", template="alpaca")
    answer = train("dpo", "--model", "saves/first", "--dry-run")
    config = yaml.safe_load(answer.out)
    mine, first = (str(Path(path).resolve()) for path in ("mine", "saves/first"))
    assert (config["model_name_or_path"], config["adapter_name_or_path"]) == (mine, first)
    # What the run was trained with stays; chatml would be the model's own.
    assert config["template"] == "alpaca"
    assert config["ref_model_adapters"] == first
    assert "template: alpaca (that of the run)" in answer.err
    # The adapter has its own rank and layers.
    assert not [key for key in config if key.startswith("lora_")]
    for typed, told in (
        (("--method", "full"), "is an adapter, not a whole model; `deploy merge"),
        (("--set", "lora_rank=4"), "keeps its own; leave it out"),
    ):
        train.refused(told, "dpo", "--model", "saves/first", *typed, "--dry-run")


def test_ppo_takes_the_newest_reward_model(train: Caller) -> None:
    run = adapter_in(Path("saves/better"), "mine", stage="rm")
    (run / "value_head.safetensors").touch()
    answer = train("ppo", "--model", "mine", "--dry-run")
    assert answer.code == 0, answer.err
    config = yaml.safe_load(answer.out)
    better = str(Path("saves/better").resolve())
    assert (config["reward_model"], config["reward_model_type"]) == (better, "lora")
    assert config["dataset"] == "talks"
    assert "reward model: saves/better" in answer.err


def test_resume_takes_what_was_begun(train: Caller) -> None:
    typed = ("--model", "mine", "--dataset", "talks", "--set", "learning_rate=0.003")
    begun = train("sft", *typed, "--output", "saves/first", "--dry-run").out
    run = adapter_in(Path("saves/first"), "mine", state="stopped", model="mine")
    (run / "train.yaml").write_text(begun.rpartition("#")[0])
    (run / "adapter_config.json").unlink()
    # Nothing typed again: data set, model and settings are those it was begun with.
    assert train("sft", "--resume", "--dry-run").out == begun
    # Typed again: planned again, and compared by the runner.
    assert train("sft", "--resume", *typed, "--dry-run").out == begun


def test_resume_from_another_folder_and_of_a_run_that_has_moved(
    train: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = train("sft", "--model", "mine", "--dataset", "talks", "--dry-run").out
    dataset = {"name": "talks", "dataset_dir": str(Path("data").resolve())}
    model = str(Path("mine").resolve())
    run = adapter_in(Path("saves/deep/er"), model, state="stopped", model=model, dataset=dataset)
    (run / "train.yaml").write_text(begun.rpartition("#")[0])
    (run / "adapter_config.json").unlink()
    (Path("saves/broken")).mkdir()
    (Path("saves/broken/run.json")).write_text("{")
    told = train("sft", "--resume", "--dry-run")
    assert "going on with saves/deep/er" in told.err
    (tmp_path / "elsewhere").mkdir()
    run.rename(tmp_path / "elsewhere" / "run")
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = yaml.safe_load(train("sft", "--resume", "--output", "run", "--dry-run").out)
    assert config["output_dir"] == str(tmp_path / "elsewhere" / "run")
    before = yaml.safe_load(begun)
    assert {**config, "output_dir": ""} == {**before, "output_dir": ""}


def test_a_hub_out_of_reach_is_told_with_the_ways_around_it(
    train: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for model in ("Qwen/Qwen2.5-0.5B-Instruct", "ms://Qwen/Qwen2.5-0.5B-Instruct"):
        told = train("sft", "--model", model, "--dry-run").err
        assert "HF_ENDPOINT" in told
        assert "ms://" in told or "hf://" in told


@pytest.mark.model
def test_the_bundled_model_and_the_newest_data(train: Caller) -> None:
    answer = train("sft", "--dry-run")
    assert answer.code == 0, answer.err
    config = yaml.safe_load(answer.out)
    assert (Path(config["model_name_or_path"]) / "config.json").is_file()
    assert "model: smollm2, the bundled one; template: chatml (that of smollm2)" in answer.err
    answer = train("sft", "--model", "smolm2", "--dry-run")
    assert answer.code == 2
    assert "Did you mean 'smollm2'" in answer.errors[0]


@pytest.mark.model
@pytest.mark.parametrize(
    "words", [("talks,more",), ("talks", "more"), ("talks", "--dataset", "more")]
)
def test_several_data_sets_in_every_way(train: Caller, words: tuple[str, ...]) -> None:
    info = Path("data/dataset_info.json")
    told = json.loads(info.read_text())
    info.write_text(json.dumps({**told, "more": told["talks"]}))
    answer = train("sft", "--dry-run", "--dataset", *words)
    assert answer.code == 0, answer.err
    assert yaml.safe_load(answer.out)["dataset"] == "talks,more"


@pytest.mark.model
@pytest.mark.timeout(600)
def test_it_trains_what_it_planned(train: Caller) -> None:
    if llamafactory.missing():
        pytest.skip("no LLaMA-Factory here")
    short = ("--set", "max_steps=2", "--set", "cutoff_len=64", "--set", "val_size=0")
    answer = train("sft", *short, "--set", "lora_target=q_proj", "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    assert (told["state"], told["steps"], told["template"]) == ("done", 2, "chatml")
    run = Path("saves/talks_sft")
    adapter = json.loads((run / "adapter_config.json").read_text())
    assert (adapter["target_modules"], adapter["r"]) == (["q_proj"], 8)
    again = train("sft", *short)
    assert again.code == 2
    assert "--resume continues it, --overwrite replaces it" in again.errors[0]
    shutil.rmtree("saves")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("sft --learning_rate 1e-4", "No such option: --learning_rate.*: give --set learning_rate"),
        ("sft --lr 1e-4", "give --set learning_rate=VALUE"),
        ("sft --model_name_or_path x", "give --model; `train run -- ` takes a whole command"),
        ("sft --stage sft", "type the stage"),
        ("sft my.yaml", r"my\.yaml.*`train run CONFIG\.yaml` trains by a YAML"),
        ("my.yaml", "`train run CONFIG.yaml`"),
        ("sft --learnig", "`train sft --help` shows"),
    ],
)
def test_what_llamafactory_takes_is_told_as_it_is_typed_here(
    train: Caller, typed: str, told: str
) -> None:
    train.refused(told, *typed.split())


def test_keys_are_not_told_where_none_are_taken(train: Caller) -> None:
    told = train.refused("No such option: --lora_rank", "estimate", "--lora_rank", "8")
    assert "--set" not in told
