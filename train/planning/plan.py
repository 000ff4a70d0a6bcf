"""From what the user wants to what LLaMA-Factory is given: one pure function, and its YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from train.planning.hardware import Hardware
from train.planning.model import Model
from train.planning.presets import PRESETS, Preset
from train.planning.schedule import Extent, held_out, intervals, steps_of

CONFIG = "train.yaml"
# Architectures whose adapters the recipe puts on one projection; all linear layers elsewhere.
_TARGETS = {"bloom": "query_key_value"}
# Stages that compare with what the model was before.
_COMPARING = ("dpo", "kto", "ppo")
_TUTORIAL = ("pt", "sft", "dpo")
# Keys by which the user chooses the precision himself.
PRECISIONS = {"bf16", "fp16", "pure_bf16", "fp8"}


@dataclass(frozen=True)
class Dataset:
    """A registered data set, as far as a training needs to know it.

    Attributes:
        name: In dataset_info.json.
        folder: Of dataset_info.json, as the user typed it.
        extent: What the stage can use of it.
    """

    name: str
    folder: Path
    extent: Extent


@dataclass(frozen=True)
class Options:
    """What the user chose.

    Attributes:
        output: Folder of the run.
        preset: `tutorial` or `quick`.
        method: `lora`, `qlora` or `full`.
        seed: Of everything that is drawn.
        settings: Keys of LLaMA-Factory that override all others, checked.
        reward_model: Folder of the run of stage rm that ppo asks.
        reward_is_whole: Whether that is a whole model and no adapter.
    """

    output: Path
    preset: str = "tutorial"
    method: str = "lora"
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    reward_model: Path | None = None
    reward_is_whole: bool = False


@dataclass(frozen=True)
class Plan:
    """A training that is all decided, and nothing of it started.

    Attributes:
        stage: pt, sft, rm, ppo, dpo or kto.
        name: Of the run: that of its folder.
        output: Folder of the run, as the user typed it.
        config: What LLaMA-Factory is given, key by key.
        model: To be trained.
        dataset: To be trained on.
        method: `lora`, `qlora` or `full`.
        template: LLaMA-Factory's; None where it takes the tokenizer's own apart.
        steps: Of the optimizer, as planned; rows that are too long for packing can make it less.
        notes: What the user should know of how it was decided.
        step_seconds: By precision, where a CPU's was measured.
    """

    stage: str
    name: str
    output: Path
    config: Mapping[str, Any]
    model: Model
    dataset: Dataset
    method: str
    template: str | None
    steps: int
    notes: tuple[str, ...] = ()
    step_seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def config_file(self) -> Path:
        """Where its YAML goes."""
        return self.output / CONFIG


def make(stage: str, dataset: Dataset, model: Model, options: Options, hardware: Hardware) -> Plan:
    """Return the plan of a training; nothing is read or written.

    Example:
        >>> make("sft", dataset, model, Options(Path("saves/a")), hardware).config["lora_rank"]
        8
    """
    preset = PRESETS[options.preset][stage]
    config = {
        **_model(stage, model, preset, options),
        **_data(dataset, model, preset),
        **_output(options),
        **_training(preset, hardware, options),
        **preset.more,
        **options.settings,
    }
    block = int(config["cutoff_len"]) if config.get("packing") else None
    extent = dataset.extent.limited(config.get("max_samples"))
    held = held_out(extent, preset.val_share, preset.max_val, block)
    # The tutorial's share stays as it is, unless there is too little to hold anything out.
    config.setdefault("val_size", preset.val_share if held and preset.timing else held)
    evaluates = bool(config["val_size"]) or "eval_dataset" in config
    if not config["val_size"]:
        del config["val_size"]
    steps = steps_of(dataset.extent, config, hardware.count)
    timing = intervals(steps, preset.warmup, evaluates, preset.best_at_end)
    timing |= {key: n for key, n in preset.timing.items() if key in timing}
    config = {**config, **_following(timing, options.settings), **options.settings}
    return Plan(
        *(stage, options.output.name, options.output, config, model, dataset, options.method),
        template=config.get("template"),
        steps=steps,
        notes=_notes(dataset, model.kind, preset, config, steps, hardware.count, options),
    )


def _model(stage: str, model: Model, preset: Preset, options: Options) -> dict[str, Any]:
    found: dict[str, Any] = {"model_name_or_path": model.path}
    if model.adapter is not None:
        found["adapter_name_or_path"] = str(model.adapter)
        if stage in _COMPARING:
            # Without it the comparison is with the base model, as it was before the first run.
            found |= {"ref_model": model.path, "ref_model_adapters": str(model.adapter)}
    found |= {"stage": stage, "do_train": True}
    found["finetuning_type"] = "full" if options.method == "full" else "lora"
    if options.method != "full" and model.adapter is None:
        found |= {
            "lora_rank": preset.lora_rank,
            "lora_alpha": preset.lora_alpha,
            "lora_dropout": 0.0,
            "lora_target": _TARGETS.get(model.kind, "all"),
        }
    if options.method == "qlora":
        found |= {"quantization_bit": 4, "quantization_method": "bnb"}
    if options.reward_model is not None:
        kind = "full" if options.reward_is_whole else "lora"
        found |= {"reward_model": str(options.reward_model), "reward_model_type": kind}
    return found


def _data(dataset: Dataset, model: Model, preset: Preset) -> dict[str, Any]:
    found: dict[str, Any] = {"dataset": dataset.name, "dataset_dir": str(dataset.folder)}
    if model.template is not None:
        found["template"] = model.template
    found["cutoff_len"] = preset.cutoff_len
    if preset.max_samples is not None:
        found["max_samples"] = preset.max_samples
    return found


def _output(options: Options) -> dict[str, Any]:
    return {
        "output_dir": str(options.output),
        "plot_loss": True,
        # Without it the log tells no tokens, and the progress no tokens a second.
        "include_num_input_tokens_seen": True,
        "report_to": "none",
        "save_total_limit": 3,
        "seed": options.seed,
    }


def _training(preset: Preset, hardware: Hardware, options: Options) -> dict[str, Any]:
    found: dict[str, Any] = {
        "per_device_train_batch_size": preset.batch,
        "per_device_eval_batch_size": preset.eval_batch or preset.batch,
        "gradient_accumulation_steps": preset.accumulation,
        "learning_rate": preset.learning_rate,
        "lr_scheduler_type": "cosine",
        "num_train_epochs": preset.epochs,
        **_precision(hardware, options.settings),
    }
    if preset.max_steps is not None and "num_train_epochs" not in options.settings:
        found["max_steps"] = preset.max_steps
    return found


def _precision(hardware: Hardware, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes LLaMA-Factory compute in the fastest precision that trains well."""
    if PRECISIONS & set(settings):
        return {"use_cpu": True} if hardware.kind == "cpu" else {}
    if hardware.kind == "cpu":
        return {"bf16": True, "use_cpu": True} if hardware.bf16 else {"use_cpu": True}
    return {"bf16": True} if hardware.bf16 else {"fp16": True}


def _following(timing: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Let evaluation and saving go together where the user set one of them."""
    found = dict(timing)
    if "eval_strategy" not in found:
        return found
    for one, other in (("save_steps", "eval_steps"), ("save_strategy", "eval_strategy")):
        for given, follows in ((one, other), (other, one)):
            if given in settings and follows not in settings:
                found[follows] = settings[given]
    return found


def _notes(
    dataset: Dataset,
    kind: str,
    preset: Preset,
    config: Mapping[str, Any],
    steps: int,
    devices: int,
    options: Options,
) -> tuple[str, ...]:
    notes = []
    rows, most = dataset.extent.rows, config.get("max_samples")
    used = dataset.extent.limited(most).rows
    if used < rows:
        several = f", at most {most:,} of each data set" if len(dataset.extent.sets) > 1 else ""
        notes.append(
            f"the first {used:,} of {rows:,} rows are used (max_samples{several}); "
            "--set max_samples=N for more, or draw them with `curate select --recipe random`"
        )
    if preset.val_share and not config.get("val_size") and "val_size" not in options.settings:
        tokens = dataset.extent.tokens if config.get("packing") else None
        what = f"{rows:,} rows" if tokens is None else f"{tokens:,} tokens"
        notes.append(f"no rows are held out for evaluation: {what} are too few")
    longer = [
        f"{key} {n:,}"
        for key, n in preset.timing.items()
        if n >= steps and config.get(key) == n and key not in options.settings
    ]
    if longer:
        notes.append(
            f"this run has {steps:,} steps, and the tutorial's {', '.join(longer)} are not less: "
            "the learning rate may never rise, nothing may be logged or evaluated. Give "
            "--set warmup_steps=N --set logging_steps=N …, or --preset quick"
        )
    if options.preset == "tutorial" and config["stage"] in _TUTORIAL and kind not in _TARGETS:
        target = config.get("lora_target", "none")
        notes.append(
            "the tutorial trains BLOOM with template default and lora_target query_key_value; this "
            f"model has template {config.get('template', 'of its own')}, lora_target {target}"
        )
    if preset.max_steps is not None and config.get("max_steps") == preset.max_steps:
        notes.append(_limit(dataset.extent, config, devices))
    return tuple(notes)


def _limit(extent: Extent, config: Mapping[str, Any], devices: int) -> str:
    """Say what a number of steps means in passes over the rows."""
    steps = int(config["max_steps"])
    all_steps = steps_of(extent, {**config, "max_steps": -1, "num_train_epochs": 1}, devices)
    told = f"preset quick: {steps} steps, "
    if steps < all_steps:
        return told + f"{steps / all_steps:.0%} of a pass; --preset tutorial trains on all rows"
    return told + f"{steps / all_steps:.1f} passes over the rows"


def to_yaml(config: Mapping[str, Any]) -> str:
    """Return a config as LLaMA-Factory reads it: one key a line, real Chinese."""
    import yaml

    return str(yaml.safe_dump(dict(config), allow_unicode=True, sort_keys=False, width=1000))


def write(plan: Plan) -> Path:
    """Write a plan's YAML into the folder of its run; return where it is."""
    plan.output.mkdir(parents=True, exist_ok=True)
    plan.config_file.write_text(to_yaml(plan.config), encoding="utf-8", newline="\n")
    return plan.config_file
