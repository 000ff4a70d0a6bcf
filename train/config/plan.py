"""From what is typed for a training to what LLaMA-Factory is given, and its YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from curate.errors import DataError
from curate.system.hardware import Hardware
from train.config.model import Model
from train.config.presets import Extent, Preset, held_out, intervals, preset_of, steps_of

CONFIG = "train.yaml"
# Architectures whose adapters the recipe puts on one projection; all linear layers elsewhere.
_TARGETS = {"bloom": "query_key_value"}
# Stages that compare with what the model was before.
_COMPARING = ("dpo", "kto", "ppo")
_TUTORIAL = ("pt", "sft", "dpo")
# Keys by which the user chooses the precision himself.
PRECISIONS = {"bf16", "fp16", "pure_bf16", "fp8"}
_DATASET = "Registered data set; several: A,B; else the newest that fits."
_MODEL = "A name of `curate models`, a directory, a run, a hub id, ms://OWNER/NAME; else smollm2."
_PRESET = "The medical recipe, or one of minutes on a CPU; auto: by what trains."
_METHOD = "An adapter, one on 4 bits, or all weights."
_TEMPLATE = "LLaMA-Factory's; own: the tokenizer's; else the model's."
_YES = "Train though half of the rows lose their prompt or are cut."


@dataclass(frozen=True)
class Request:
    """What was typed; a field is an option, but the stage, which is the command."""

    stage: str
    dataset: Annotated[str | None, Option(metavar="NAME", help=_DATASET)] = None
    dataset_dir: Annotated[Path, Option(help="Folder of dataset_info.json.")] = Path("data")
    model: Annotated[str | None, Option(metavar="M", help=_MODEL)] = None
    reward: Annotated[
        Path | None, Option(metavar="DIR", help="Run of `train rm`; else the newest in saves.")
    ] = None
    output: Annotated[
        Path | None, Option(metavar="DIR", help="Folder of the run; else saves/DATASET_STAGE.")
    ] = None
    pairs: Annotated[
        list[str] | None,
        Option("--set", metavar="KEY=VALUE", help="Any key of LLaMA-Factory 0.9.5; wins."),
    ] = None
    preset: Annotated[str, Option(metavar="auto|tutorial|quick", help=_PRESET)] = "auto"
    method: Annotated[str, Option(metavar="lora|qlora|full", help=_METHOD)] = "lora"
    template: Annotated[str | None, Option(metavar="NAME", help=_TEMPLATE)] = None
    seed: Annotated[int, Option(help="For everything that is drawn.")] = 0
    dry_run: Annotated[
        bool, Option("--dry-run", help="Show the YAML and the command, start nothing.")
    ] = False
    resume: Annotated[bool, Option("--resume", help="Go on from the last checkpoint.")] = False
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the run in the folder.")] = False
    force: Annotated[
        bool, Option("--force", help="Try it though the memory seems to be too little.")
    ] = False
    yes: Annotated[bool, Option("--yes", help=_YES)] = False


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

    @property
    def config_file(self) -> Path:
        return self.output / CONFIG


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
    config = {**_keys(request, dataset, model, hardware, settings, reward), **settings}
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
    # Evaluation and saving go together where the user set one of them.
    for one, other in (("save_steps", "eval_steps"), ("save_strategy", "eval_strategy")):
        for key, follows in ((one, other), (other, one)):
            if evaluates and key in settings and follows not in settings:
                timing[follows] = settings[key]
    config = {**config, **timing, **settings}
    return Plan(
        stage=request.stage,
        output=Path(config["output_dir"]),
        config=config,
        model=model,
        dataset=dataset,
        method=request.method,
        steps=steps,
        notes=_notes(dataset.extent, model.kind, config, steps, hardware.count, preset, settings),
    )


def _keys(
    request: Request,
    dataset: Dataset,
    model: Model,
    hardware: Hardware,
    settings: Mapping[str, Any],
    reward: Model | None,
) -> dict[str, Any]:
    """Return LLaMA-Factory's keys but those that hang on the number of steps."""
    stage, method = request.stage, request.method
    keys: dict[str, Any] = {"model_name_or_path": model.path}
    if model.adapter is not None:
        keys["adapter_name_or_path"] = str(model.adapter)
        if stage in _COMPARING:
            # Without it the comparison is with the base model, as it was before the first run.
            keys |= {"ref_model": model.path, "ref_model_adapters": str(model.adapter)}
    keys |= {"stage": stage, "do_train": True}
    keys["finetuning_type"] = "full" if method == "full" else "lora"
    if method == "qlora":
        keys |= {"quantization_bit": 4, "quantization_method": "bnb"}
    if reward is not None:
        kind = "full" if reward.adapter is None else "lora"
        keys |= {"reward_model": str(reward.adapter or reward.path), "reward_model_type": kind}
    keys |= {"dataset": dataset.name, "dataset_dir": str(dataset.folder)}
    if model.template is not None:
        keys["template"] = model.template
    keys |= {
        "output_dir": str(request.output),
        "plot_loss": True,
        # Without it the log tells no tokens, and the progress no tokens a second.
        "include_num_input_tokens_seen": True,
        "report_to": "none",
        "save_total_limit": 3,
        "seed": request.seed,
        **preset_of(request.preset, stage).keys,
    }
    if method != "full" and model.adapter is None:
        keys["lora_target"] = _TARGETS.get(model.kind, "all")
    else:
        keys = {key: value for key, value in keys.items() if not key.startswith("lora_")}
    if not PRECISIONS & set(settings) and (hardware.bf16 or hardware.kind == "cuda"):
        keys["bf16" if hardware.bf16 else "fp16"] = True
    if hardware.kind == "cpu":
        keys["use_cpu"] = True
    if "num_train_epochs" in settings:
        keys.pop("max_steps", None)
    return keys


def _notes(
    extent: Extent,
    kind: str,
    config: Mapping[str, Any],
    steps: int,
    devices: int,
    preset: Preset,
    settings: Mapping[str, Any],
) -> tuple[str, ...]:
    """Return what the user should know of how it was decided."""
    notes, is_tutorial = [], preset == preset_of("tutorial", config["stage"])
    most = config.get("max_samples")
    used = extent.limited(most).rows
    if used < extent.rows:
        several = f", at most {most:,} of each data set" if len(extent.sets) > 1 else ""
        notes.append(
            f"the first {used:,} of {extent.rows:,} rows are used (max_samples{several}); "
            "--set max_samples=N for more, or draw them with `curate select --recipe random`"
        )
    if preset.val_share and not config.get("val_size") and "val_size" not in settings:
        tokens = extent.tokens if config.get("packing") else None
        amount = f"{extent.rows:,} rows" if tokens is None else f"{tokens:,} tokens"
        notes.append(f"no rows are held out for evaluation: {amount} are too few")
    longer = [
        f"{key} {n:,}"
        for key, n in preset.timing.items()
        if n >= steps and config.get(key) == n and key not in settings
    ]
    if longer:
        notes.append(
            f"this run has {steps:,} steps, and the tutorial's {', '.join(longer)} are not less: "
            "the learning rate may never rise, nothing may be logged or evaluated. Give "
            "--set warmup_steps=N --set logging_steps=N …, or --preset quick"
        )
    if is_tutorial and config["stage"] in _TUTORIAL and kind not in _TARGETS:
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
    """Return what LLaMA-Factory was given for the run in a folder."""
    import yaml

    path = folder / CONFIG
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read ({error}); put it back as it was") from error
    if not isinstance(config, dict):
        raise DataError(f"{path} was edited and is no list of keys any more; put it back")
    return config
