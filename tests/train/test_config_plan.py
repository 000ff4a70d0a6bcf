"""A plan is a pure function: what the recipe says, what small data and this hardware change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from curate.system.hardware import Hardware
from train.checks.settings import doubts
from train.config.model import Model
from train.config.plan import Dataset, Plan, Request, make, to_yaml
from train.config.presets import (
    PRESETS,
    STAGES,
    Extent,
    Preset,
    blocks_of,
    held_out,
    intervals,
    preset_of,
    steps_of,
)

GPU = Hardware("cuda", 1, 80 << 30, True)
CPU = Hardware("cpu", 1, 16 << 30, True)
SMOL = Model(name="smollm2", path="/models/smollm2", template="chatml", kind="llama")
HUB_ID = "bigscience/bloomz-7b1-mt"
BLOOM = Model(name=HUB_ID, path=HUB_ID, template="default", kind="bloom")


def plan(
    stage: str,
    rows: int = 50_000,
    model: Model = BLOOM,
    on: Hardware = GPU,
    settings: Mapping[str, Any] = MappingProxyType({}),
    preset: str = "tutorial",
    method: str = "lora",
    extent: Extent | None = None,
) -> Plan:
    tokens = rows * 100 if stage == "pt" else None
    dataset = Dataset("books", Path("data"), extent or Extent(rows, tokens))
    request = Request(stage=stage, output=Path("saves/a"), preset=preset, method=method)
    return make(request, dataset, model, on, settings)


def has(found: Plan, **wanted: Any) -> None:
    assert {key: found.config.get(key) for key in wanted} == wanted


def test_recipe_of_pre_training() -> None:
    has(
        plan("pt"),
        packing=True,
        learning_rate=5e-5,
        lr_scheduler_type="cosine",
        lora_rank=8,
        lora_alpha=16,
        lora_dropout=0.0,
        cutoff_len=1024,
        val_size=0.05,
        lora_target="query_key_value",
        template="default",
        bf16=True,
    )


def test_recipe_of_fine_tuning() -> None:
    found = plan("sft", rows=20_000)
    has(found, val_size=0.1, load_best_model_at_end=True, max_samples=20_000, lora_rank=8)
    # 18,000 rows in steps of 16: too few to save every 2,000, and that is said.
    assert found.steps == 1125
    has(found, warmup_steps=1000, save_steps=2000, eval_steps=2000, logging_steps=2000)
    note = doubts(found, None)
    assert note.startswith("in the 1,125 steps of this run nothing is logged (logging_steps 2,000)")
    assert "(save_steps 2,000), nothing is evaluated (eval_steps 2,000): --set" in note
    assert "warmup_steps" not in note


def test_recipe_of_dpo() -> None:
    found = plan("dpo")
    has(found, pref_beta=0.1, pref_ftx=0.0, pref_loss="sigmoid", lora_rank=4, lora_alpha=8)
    has(found, val_size=0.01, max_samples=30_000)


def test_no_flag_of_old_recipes() -> None:
    old = {"evaluation_strategy", "dpo_beta", "no_cuda", "save_safetensors", "warmup_ratio"}
    assert not [
        stage for stage in STAGES for p in PRESETS if old & set(plan(stage, preset=p).config)
    ]


def test_all_linear_layers_where_the_recipe_names_none() -> None:
    has(plan("sft", model=SMOL), lora_target="all", template="chatml")


def test_precision_is_that_of_the_hardware() -> None:
    has(plan("sft", on=CPU), bf16=True, use_cpu=True, fp16=None)
    has(plan("sft", on=replace(CPU, bf16=False)), bf16=None, use_cpu=True)
    has(plan("sft", on=replace(GPU, bf16=False)), fp16=True, bf16=None, use_cpu=None)
    has(plan("sft", on=CPU, settings={"bf16": False}), bf16=False, use_cpu=True)


def test_few_rows_are_all_trained_on() -> None:
    found = plan("sft", rows=12)
    assert "val_size" not in found.config
    assert "eval_strategy" not in found.config
    assert "load_best_model_at_end" not in found.config
    assert any("no rows are held out" in each for each in found.notes)
    # 12 rows are 1 step of 16.
    assert found.steps == 1
    has(plan("kto", rows=12), save_steps=1, logging_steps=1, warmup_steps=0)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("rows", [1, 2, 19, 20, 64, 1000])
@pytest.mark.parametrize("preset", PRESETS)
def test_nobody_is_held_out_whom_nobody_evaluates(stage: str, rows: int, preset: str) -> None:
    config = plan(stage, rows=rows, preset=preset).config
    held = config.get("val_size", 0)
    count = held if held >= 1 else -(-rows * held // 1)
    assert held == 0 or 1 <= count < rows
    assert ("eval_steps" in config) == bool(held)
    # The tutorial's own warm-up stays as it is, and a note tells of it.
    if not preset_of(preset, stage).timing:
        assert config["warmup_steps"] <= max(1, plan(stage, rows=rows, preset=preset).steps)
    if config.get("load_best_model_at_end"):
        assert config["eval_steps"] == config["save_steps"]


def test_blocks_to_evaluate_are_counted_in_tokens() -> None:
    # A twentieth of 40,000 tokens is 2,000: not four blocks of 1,024.
    packed, twentieth = {"packing": True, "cutoff_len": 1024}, Preset({}, val_share=0.05)
    assert held_out(Extent(1000, 40_000), twentieth, packed) == 0
    assert held_out(Extent(1000, 90_000), twentieth, packed) == 0.05
    # A number of 1 is read as a share of everything.
    assert held_out(Extent(30), Preset({}, val_share=0.01), {}) == 2
    assert held_out(Extent(500), Preset({}, val_share=0.1, max_val=8), {}) == 8


def test_each_process_drops_what_fills_no_block() -> None:
    packed = {"stage": "pt", "packing": True, "cutoff_len": 100}
    extent = Extent(10, 1000)
    assert blocks_of(extent, packed, 10) == 10
    # Four processes get 3, 3, 2 and 2 rows of 100 tokens; in blocks of 150 that is 2, 2, 1 and 1.
    assert blocks_of(extent, {**packed, "cutoff_len": 150}, 10) == 6
    several = {**packed, "cutoff_len": 150, "preprocessing_num_workers": 4}
    assert blocks_of(extent, several, 10) == 2 + 2 + 1 + 1
    # Batches of 4 rows: 400 // 150, 400 // 150, 200 // 150.
    assert blocks_of(extent, {**packed, "cutoff_len": 150, "preprocessing_batch_size": 4}, 10) == 5
    assert blocks_of(extent, {**several, "stage": "sft"}, 10) == 6
    assert blocks_of(Extent(10), packed, 10) is None
    assert blocks_of(extent, {"packing": False}, 10) is None


def test_few_blocks_are_told_in_tokens() -> None:
    few = "no rows are held out for evaluation: 40,000 tokens are too few"
    assert few in plan("pt", rows=400).notes


def test_steps_as_the_trainer_counts_them() -> None:
    one = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    # 33 rows are 17 batches, the last of one row; 4 + 4 + 4 + 4 + 1 of them are 5 steps.
    assert steps_of(Extent(33), {**one, "num_train_epochs": 1}, 1) == 5
    assert steps_of(Extent(33), {**one, "num_train_epochs": 2.5}, 1) == 13
    assert steps_of(Extent(33), {**one, "num_train_epochs": 1}, 2) == 3
    assert steps_of(Extent(33), {**one, "max_steps": 7}, 1) == 7
    packed = {**one, "packing": True, "cutoff_len": 100, "num_train_epochs": 1}
    assert steps_of(Extent(33, 1690), packed, 1) == 2
    assert intervals(1, 0.1, False, False)["warmup_steps"] == 0


def test_what_is_set_wins_and_the_rest_follows() -> None:
    settings = {"num_train_epochs": 1.0, "per_device_train_batch_size": 4}
    found = plan("sft", rows=20_000, settings=settings)
    has(found, num_train_epochs=1.0, per_device_train_batch_size=4)
    assert found.steps == 563
    has(plan("sft", settings={"save_steps": 50.0}), save_steps=50.0, eval_steps=50.0)
    has(plan("sft", settings={"eval_strategy": "epoch"}), save_strategy="epoch")
    has(plan("sft", settings={"val_size": 0.0}), load_best_model_at_end=None, eval_steps=None)


def test_quick_is_30_steps_unless_passes_are_asked_for() -> None:
    found = plan("sft", rows=640, model=SMOL, on=CPU, preset="quick")
    has(found, max_steps=30, cutoff_len=512, val_size=8)
    # 632 rows in steps of 4 are 158.
    assert (
        "preset quick: 30 steps, 19% of a pass; --preset tutorial trains on all rows" in found.notes
    )
    asked = plan("sft", rows=640, preset="quick", settings={"num_train_epochs": 1.0})
    has(asked, max_steps=None)
    assert asked.steps == 158


def test_going_on_from_a_run_compares_with_that_run() -> None:
    after = replace(SMOL, adapter=Path("saves/sft"))
    folder = str(Path("saves/sft").resolve())
    has(plan("sft", model=after), adapter_name_or_path=folder, ref_model=None)
    for stage in ("dpo", "kto", "ppo"):
        has(plan(stage, model=after), ref_model=SMOL.path, ref_model_adapters=folder)


def test_methods() -> None:
    full = plan("sft", method="full")
    has(full, finetuning_type="full", lora_rank=None, lora_target=None)
    has(plan("sft", method="qlora"), quantization_bit=4, finetuning_type="lora")


def test_yaml_keeps_numbers_and_chinese() -> None:
    config = plan("sft", settings={"default_system": "你是医生", "learning_rate": 1e-5}).config
    text = to_yaml(config)
    assert "default_system: 你是医生" in text
    assert text.startswith("model_name_or_path: ")
    # YAML 1.1 reads 5e-05 as text; LLaMA-Factory would hand it on as such.
    assert yaml.safe_load(text) == dict(config)
    assert isinstance(yaml.safe_load(text)["learning_rate"], float)


# The tutorial's commands of June 2024, under the names that LLaMA-Factory 0.9.5 takes.
BOTH = {
    **{"template": "default", "finetuning_type": "lora", "lora_target": "query_key_value"},
    **{"cutoff_len": 1024, "learning_rate": 5e-5, "per_device_train_batch_size": 2},
    **{"gradient_accumulation_steps": 8, "lr_scheduler_type": "cosine", "eval_strategy": "steps"},
    **{"bf16": True, "plot_loss": True, "preprocessing_num_workers": 16, "do_train": True},
}
FLAGS = {
    **{"flash_attn": "auto", "max_grad_norm": 1.0, "optim": "adamw_torch", "report_to": "none"},
    **{"lora_dropout": 0.0},
}
TABLE = {
    "pt": {
        **{"max_samples": 100_000, "num_train_epochs": 3.0, "per_device_eval_batch_size": 2},
        **{"warmup_steps": 0, "logging_steps": 5, "save_steps": 100, "eval_steps": 100},
        **{"val_size": 0.05, "lora_rank": 8, "lora_alpha": 16, "packing": True, **FLAGS},
    },
    "sft": {
        **{"max_samples": 20_000, "num_train_epochs": 1.0, "per_device_eval_batch_size": 1},
        **{"warmup_steps": 1000, "logging_steps": 2000, "save_steps": 2000, "eval_steps": 2000},
        **{"val_size": 0.1, "load_best_model_at_end": True, "overwrite_cache": True},
    },
    "dpo": {
        **{"max_samples": 30_000, "num_train_epochs": 1.0, "per_device_eval_batch_size": 1},
        **{"warmup_steps": 50, "logging_steps": 100, "save_steps": 100, "val_size": 0.01},
        **{"lora_rank": 4, "lora_alpha": 8, "pref_beta": 0.1, "pref_ftx": 0.0},
        **{"pref_loss": "sigmoid", **FLAGS},
    },
}


@pytest.mark.parametrize("rows", [30, 30_000])
@pytest.mark.parametrize("stage", TABLE)
def test_the_tutorial_is_its_table(stage: str, rows: int) -> None:
    tokens = 60_000 * rows if stage == "pt" else None
    extent = Extent(2 * rows, tokens, (rows, rows))
    found = plan(stage, extent=extent)
    has(found, **BOTH, **TABLE[stage])
    note = doubts(found, None)
    for key in ("logging", "save"):
        assert (f"({key}_steps" in note) == (TABLE[stage][f"{key}_steps"] > found.steps)
    assert ("(warmup_steps" in note) == (TABLE[stage]["warmup_steps"] >= found.steps)
    other = plan(stage, extent=extent, model=SMOL)
    changes = {key for key in found.config if found.config[key] != other.config[key]}
    assert changes == {"model_name_or_path", "template", "lora_target"}
    assert any("template chatml, lora_target all" in each for each in other.notes)


@pytest.mark.parametrize(
    ("mixing", "rows"),
    [
        ({"mix_strategy": "interleave_under"}, 60),
        ({"mix_strategy": "interleave_over"}, 80),
        ({"mix_strategy": "interleave_once"}, 70),
        ({"mix_strategy": "interleave_under", "interleave_probs": "0.8,0.2"}, 50),
    ],
)
def test_rows_that_are_drawn_by_turns(mixing: dict[str, Any], rows: int) -> None:
    assert Extent(70, None, (40, 30)).used(mixing).rows == rows


def test_blocks_of_one_batch_of_all_rows() -> None:
    config = {"packing": True, "cutoff_len": 800, "stage": "pt", "preprocessing_batch_size": 0}
    assert blocks_of(Extent(3000, 90_000), config, 3000) == 112
