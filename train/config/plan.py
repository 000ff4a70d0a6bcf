"""From what is typed for a training to what LLaMA-Factory is given, and its YAML."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from curate.errors import DataError
from curate.parameters.option import option
from curate.system.hardware import Hardware
from train.config.model import Model
from train.config.presets import WRITTEN, Extent, Preset, held_out, intervals, preset_of, steps_of

CONFIG = "train.yaml"
# Architectures whose adapters the recipe puts on one projection; all linear layers elsewhere.
_TARGETS = {"bloom": "query_key_value"}
# Stages that compare with what the model was before.
_COMPARING = ("dpo", "kto", "ppo")
_TUTORIAL = ("pt", "sft", "dpo")
# Keys by which the user chooses the precision himself.
PRECISIONS = {"bf16", "fp16", "pure_bf16", "fp8"}
_SET = (
    "A key of LLaMA-Factory 0.9.5 and its value, such as lora_rank=16; again for more. It wins "
    "over preset and options."
)


@dataclass(frozen=True)
class Request:
    """What was typed; a field is an option, but stage and variables."""

    stage: str = ""
    dataset: tuple[str, ...] = option(
        (), "Registered data set; several: A,B; else the newest that fits.", metavar="NAME…"
    )
    dataset_dir: Path = option(Path("data"), "Folder of dataset_info.json.")
    model: str | None = option(
        None,
        "A name of `curate models`, a directory, a run, a hub id, ms://OWNER/NAME; else smollm2.",
        metavar="M",
    )
    reward: Path | None = option(
        None, "Run of `train rm`; else the newest in saves.", metavar="DIR"
    )
    output: Path | None = option(
        None, "Folder of the run; else saves/DATASET_STAGE.", metavar="DIR"
    )
    pairs: Annotated[list[str] | None, Option("--set", metavar="KEY=VALUE", help=_SET)] = None
    preset: str = option(
        "auto",
        "tutorial: the medical recipe, all rows and epochs. quick: 30 steps of 512 tokens, minutes "
        "on a CPU. auto: by what trains.",
        metavar="auto|tutorial|quick",
    )
    method: str = option(
        "lora", "An adapter, one on 4 bits, or all weights.", metavar="lora|qlora|full"
    )
    template: str | None = option(
        None, "LLaMA-Factory's; own: the tokenizer's; else the model's.", metavar="NAME"
    )
    seed: Annotated[int, Option(min=0, max=2**32 - 1, help="For everything that is drawn.")] = 0
    dry_run: bool = option(False, "Show the YAML and the command, start nothing.")
    resume: bool = option(False, "Go on from the last checkpoint.")
    overwrite: bool = option(False, "Replace the run in the folder.")
    force: bool = option(False, "Try it though the memory seems to be too little.")
    yes: bool = option(False, "Train though half of the rows lose their prompt or are cut.")
    variables: Mapping[str, str] = field(default_factory=dict)  # of the environment, of a paste


@dataclass(frozen=True)
class Dataset:
    """A registered data set, the folder of its dataset_info.json as typed, and what is usable."""

    name: str
    folder: Path
    extent: Extent


@dataclass(frozen=True)
class Plan:
    """A training that is all decided, and nothing of it started."""

    stage: str
    output: Path
    config: Mapping[str, Any]
    model: Model
    dataset: Dataset
    method: str
    steps: int  # as planned; rows that are too long for packing can make it less
    notes: tuple[str, ...] = ()
    step_seconds: Mapping[str, float] = field(default_factory=dict)  # by precision, if measured
    variables: Mapping[str, str] = field(default_factory=dict)  # of the environment, besides ours
    processes: int = 1  # that train together

    @property
    def config_file(self) -> Path:
        return self.output / CONFIG

    @property
    def launching(self) -> dict[str, str]:
        """Variables that LLaMA-Factory's launcher needs; several GPUs it finds by itself."""
        return {"FORCE_TORCHRUN": "1"} if self.config.get("deepspeed") else {}


def make(
    request: Request,
    dataset: Dataset,
    model: Model,
    hardware: Hardware,
    settings: Mapping[str, Any],
    reward: Model | None = None,
) -> Plan:
    """Return the plan of a training of which preset, method and output folder are decided.

    Settings are LLaMA-Factory's keys, checked, that override all. Nothing is read or written.
    """
    preset = preset_of(request.preset, request.stage)
    written = request.preset == WRITTEN
    config = {**_keys(request, dataset, model, hardware, settings, reward), **settings}
    extent = dataset.extent.used(config)
    held = held_out(extent, preset, config)
    # The tutorial's share stays as it is, unless there is too little to hold anything out.
    config.setdefault("val_size", preset.val_share if held and preset.timing else held)
    evaluates = bool(config["val_size"]) or "eval_dataset" in config
    if not config["val_size"]:
        del config["val_size"]
    steps = steps_of(dataset.extent, config, hardware.count)
    timing = {} if written else intervals(steps, preset.warmup, evaluates, preset.best_at_end)
    timing |= {key: n for key, n in preset.timing.items() if key in timing}
    # Evaluation and saving go together where the user set one of them.
    for one, other in (("save_steps", "eval_steps"), ("save_strategy", "eval_strategy")):
        for key, follows in ((one, other), (other, one)):
            if evaluates and not written and key in settings and follows not in settings:
                timing[follows] = settings[key]
    config = {**config, **timing, **settings}
    plan = Plan(
        stage=request.stage,
        output=request.output or Path(config["output_dir"]),
        config=config,
        model=model,
        dataset=dataset,
        method=request.method,
        steps=steps,
        variables=request.variables,
        processes=hardware.count,
    )
    return replace(plan, notes=_notes(plan, preset, settings, hardware.count))


def _keys(
    request: Request,
    dataset: Dataset,
    model: Model,
    hardware: Hardware,
    settings: Mapping[str, Any],
    reward: Model | None,
) -> dict[str, Any]:
    """Return LLaMA-Factory's keys but those that hang on the number of steps."""
    stage, method, written = request.stage, request.method, request.preset == WRITTEN
    keys: dict[str, Any] = {"model_name_or_path": model.path}
    if model.adapter is not None:
        keys["adapter_name_or_path"] = adapter = os.path.abspath(model.adapter)
        if stage in _COMPARING and not written:
            # Without it the comparison is with the base model, as it was before the first run.
            keys |= {"ref_model": model.path, "ref_model_adapters": adapter}
    keys |= {"stage": stage, "do_train": True}
    keys["finetuning_type"] = "full" if method == "full" else "lora"
    if method == "qlora":
        keys |= {"quantization_bit": 4, "quantization_method": "bnb"}
    if reward is not None:
        kind = "full" if reward.adapter is None else "lora"
        whole = os.path.abspath(reward.adapter) if reward.adapter else reward.path
        keys |= {"reward_model": whole, "reward_model_type": kind}
    keys |= {"dataset": dataset.name, "dataset_dir": str(dataset.folder)}
    if model.template is not None:
        keys["template"] = model.template
    keys["output_dir"] = os.path.abspath(str(request.output))
    if not written:
        keys |= {"plot_loss": True, "report_to": "none"}
        keys |= {"save_total_limit": 3, "seed": request.seed}
    # Without it the log tells no tokens, and the progress no tokens a second.
    keys |= {"include_num_input_tokens_seen": True, **preset_of(request.preset, stage).keys}
    if not written and method != "full" and model.adapter is None:
        keys["lora_target"] = _TARGETS.get(model.kind, "all")
    else:
        keys = {key: value for key, value in keys.items() if not key.startswith("lora_")}
    if (
        not written
        and not PRECISIONS & set(settings)
        and (hardware.bf16 or hardware.kind == "cuda")
    ):
        keys["bf16" if hardware.bf16 else "fp16"] = True
    if hardware.kind == "cpu":
        keys["use_cpu"] = True
    if "num_train_epochs" in settings:
        keys.pop("max_steps", None)
    return keys


def _notes(
    plan: Plan, preset: Preset, settings: Mapping[str, Any], devices: int
) -> tuple[str, ...]:
    """Return what the user should know of how it was decided."""
    config, extent, steps = plan.config, plan.dataset.extent, plan.steps
    notes, is_tutorial = [], preset == preset_of("tutorial", config["stage"])
    used = extent.used(config).rows
    if preset.val_share and not config.get("val_size") and "val_size" not in settings:
        tokens = extent.tokens if config.get("packing") else None
        amount = f"{used:,} rows" if tokens is None else f"{tokens:,} tokens"
        notes.append(f"no rows are held out for evaluation: {amount} are too few")
    if is_tutorial and config["stage"] in _TUTORIAL and plan.model.kind not in _TARGETS:
        notes.append(
            "the tutorial trains BLOOM with template default and lora_target query_key_value; this "
            f"model has template {config.get('template', 'of its own')}, lora_target "
            f"{config.get('lora_target', 'none')}"
        )
    if "max_steps" in preset.keys and config.get("max_steps") == preset.keys["max_steps"]:
        whole = {**config, "max_steps": -1, "num_train_epochs": 1}
        passes = steps / steps_of(extent, whole, devices)
        share = f"{passes:.0%} of a pass; --preset tutorial trains on all rows"
        many = f"{passes:.1f} passes over the rows"
        notes.append(f"preset quick: {steps} steps, {share if passes < 1 else many}")
    return tuple(notes)


def to_yaml(config: Mapping[str, Any]) -> str:
    """Return a config as LLaMA-Factory reads it: one key a line, real Chinese."""
    import yaml

    return str(yaml.safe_dump(dict(config), allow_unicode=True, sort_keys=False, width=1000))


def read_config(folder: Path) -> dict[str, Any]:
    import yaml

    path = folder / CONFIG
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read ({error}); put it back as it was") from error
    if not isinstance(config, dict):
        raise DataError(f"{path} was edited and is no list of keys any more; put it back")
    return config
