"""What stops a training before it starts: memory, disk, folder, targets, pairs of keys."""

from __future__ import annotations

import shutil
from collections import namedtuple
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from curate.errors import CuratrainError, ModelError, OutputError, UsageError
from curate.system.hardware import Hardware
from tests.train.making import adapter_in, model_in
from train.checks import limits
from train.checks.prepare import begun_run
from train.config.model import find
from train.config.plan import Dataset, Plan, Request, make, to_yaml
from train.config.presets import Extent
from train.run import run

CPU = Hardware("cpu", 1, 16 << 30, True)
GPU = Hardware("cuda", 1, 24 << 30, True)


def plan_for(tmp_path: Path, kind: str = "bloom", on: Hardware = CPU, **more: Any) -> Plan:
    folder = tmp_path / "model"
    if not folder.is_dir():
        model_in(folder, kind)
    model = replace(find(str(folder)), name="mine", template="default")
    request = Request(stage="sft", output=tmp_path / "saves" / "a", preset="tutorial", **more)
    return make(request, Dataset("a", Path("data"), Extent(1000)), model, on, {})


def written(plan: Plan) -> None:
    plan.output.mkdir(parents=True)
    plan.config_file.write_text(to_yaml(plan.config))


@pytest.mark.parametrize(
    ("settings", "method", "told"),
    [
        ({"pure_bf16": True}, "lora", "pure_bf16=true: LLaMA-Factory does that on GPUs alone"),
        ({"fp16": True}, "lora", "on GPUs alone"),
        ({}, "qlora", "give --method lora"),
        ({"finetuning_type": "lora"}, "full", "do not go together"),
    ],
)
def test_what_a_cpu_cannot(settings: dict[str, Any], method: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        limits.check_settings(settings, method, CPU)


def test_what_a_gpu_can() -> None:
    for settings in ({"pure_bf16": True}, {"fp16": True}, {"quantization_bit": 4}):
        limits.check_settings(settings, "lora", GPU)


def test_targets_are_layers_of_the_model(tmp_path: Path) -> None:
    bloom = plan_for(tmp_path)
    limits.check_targets(bloom.config, bloom.model)
    for target in ("all", "self_attention.dense", "query_key_value,dense"):
        limits.check_targets({**bloom.config, "lora_target": target}, bloom.model)
    for target, told in (
        ("q_proj", "lora_target q_proj: mine has no layer of this name"),
        ("query_key_valu", "Did you mean 'query_key_value'"),
        ("key_value", "no layer of this name"),
    ):
        with pytest.raises(ModelError, match=told):
            limits.check_targets({**bloom.config, "lora_target": target}, bloom.model)


def test_too_little_memory_is_told_in_numbers_with_ways_out(tmp_path: Path) -> None:
    found = limits.memory_need(plan_for(tmp_path), CPU, None)
    limits.check_memory(found, force=False)
    small = limits.memory_need(plan_for(tmp_path), replace(CPU, memory=1 << 20), None)
    with pytest.raises(UsageError, match=r"GiB are needed .* less with: --.*; --.* --force"):
        limits.check_memory(small, force=False)
    limits.check_memory(small, force=True)


def test_memory_is_for_rows_as_long_as_they_are(tmp_path: Path) -> None:
    plan = plan_for(tmp_path)
    whole, short = (limits.memory_need(plan, CPU, longest) for longest in (None, 100))
    assert (whole.job.cutoff_len, short.job.cutoff_len) == (1024, 100)
    assert (whole.job.lora_rank, whole.job.lora_target) == (8, "query_key_value")
    assert whole.job.precision == "bf16"
    packed = replace(plan, config={**plan.config, "packing": True})
    assert limits.memory_need(packed, CPU, 100).job.cutoff_len == 1024


def test_too_little_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_for(tmp_path, method="full")
    need = limits.memory_need(plan, CPU, None)
    limits.check_disk(plan, need)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10**7))
    with pytest.raises(OutputError, match=r"about 0\.0[0-9] GB, and .* has 0\.01 GB free"):
        limits.check_disk(plan, need)


def test_a_folder_is_never_taken_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    limits.check_output(Path("saves/new"), overwrite=False)
    mine = Path("notes")
    mine.mkdir()
    (mine / ".lock").touch()
    limits.check_output(mine, overwrite=False)
    (mine / "thesis.txt").write_text("years of work")
    (tmp_path / "run.json").touch()
    for each in (mine, Path(), tmp_path.parent):
        with pytest.raises(OutputError):
            limits.check_output(each, overwrite=True)
    assert (mine / "thesis.txt").is_file()
    with pytest.raises(OutputError, match="is a file"):
        limits.check_output(mine / "thesis.txt", overwrite=True)


def test_another_run_is_replaced_only_when_asked(tmp_path: Path) -> None:
    plan = plan_for(tmp_path)
    written(plan)
    with pytest.raises(OutputError, match="holds a run already; --resume .*--overwrite"):
        limits.check_output(plan.output, overwrite=False)
    limits.check_output(plan.output, overwrite=True)
    run.clear(plan.output)
    assert not plan.output.exists()


def test_what_resume_goes_on_with(tmp_path: Path) -> None:
    saves = tmp_path / "saves"
    with pytest.raises(UsageError, match="no run of stage sft"):
        begun_run(None, "sft", saves)
    plan = plan_for(tmp_path)
    written(plan)
    adapter_in(plan.output, "smollm2", state="stopped")
    adapter_in(saves / "b", "smollm2", state="done")
    begun = begun_run(None, "sft", saves)
    assert begun.folder == plan.output
    assert begun.config == dict(plan.config)
    for output, stage, told in (
        (saves / "b", "dpo", "is a run of stage sft; go on with it by `train sft"),
        (saves / "c", "sft", "holds no run"),
    ):
        with pytest.raises(UsageError, match=told):
            begun_run(output, stage, saves)
    with pytest.raises(CuratrainError, match="cannot be read"):
        begun_run(saves / "b", "sft", saves)


@pytest.mark.parametrize(
    ("saving", "number"),
    [
        ({"save_steps": 100}, 11),
        ({"save_steps": 100, "save_total_limit": 2}, 4),
        ({"save_steps": 0.5}, 3),
        ({}, 3),  # LLaMA-Factory saves each 500 steps where a config is silent
        ({"save_strategy": "epoch", "num_train_epochs": 4}, 5),
        ({"save_strategy": "no"}, 1),
    ],
)
def test_room_is_for_the_checkpoints_that_are_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saving: dict[str, Any], number: int
) -> None:
    plan = plan_for(tmp_path)
    need = limits.memory_need(plan, CPU, None)
    silent = {key: value for key, value in plan.config.items() if not key.startswith("save_")}
    plan = replace(plan, steps=1000, config={**silent, **saving})
    usage = namedtuple("usage", "total used free")
    # Of so small an adapter each checkpoint takes the 20 MB that lie beside it, and a little more.
    for spare, fits in ((1, True), (-1, False)):
        room = round(number * 20.2e6 + spare * 1e7)
        monkeypatch.setattr(shutil, "disk_usage", lambda path, room=room: usage(0, 0, room))
        with nullcontext() if fits else pytest.raises(OutputError, match="too little room"):
            limits.check_disk(plan, need)
