"""What is refused before a training starts, so that it fails in seconds and not in hours."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curate.errors import ModelError, OutputError, UsageError, did_you_mean
from curate.system.hardware import Hardware
from curate.system.run_record import RUN
from train.config.model import Model
from train.config.plan import CONFIG, Plan
from train.config.presets import EVERY
from train.memory.estimate import COMPARED, GIB, Job, saved, total, trainable
from train.memory.model_shape import ModelShape, config_of, known_shape, shape_of, stored_bytes

_OF_RUNS = (RUN, CONFIG, "trainer_state.json", "trainer_log.jsonl")
_LOCK = ".lock"
_GB = 1e9
_SMALL = "smollm2"
# Tokenizer, logs and figures that lie beside the weights of each checkpoint.
_BESIDE = 20e6
OF_ADAPTERS = ("lora_rank", "lora_alpha", "lora_target", "lora_dropout")
_OPTIMIZERS = {"adafactor": "adafactor", "sgd": "sgd"}


def check_settings(settings: Mapping[str, Any], method: str, hardware: Hardware) -> None:
    on_gpus = [key for key in ("pure_bf16", "fp16", "fp8") if settings.get(key)]
    if hardware.kind == "cpu" and on_gpus:
        raise UsageError(
            f"--set {on_gpus[0]}=true: LLaMA-Factory does that on GPUs alone, and training is on "
            "the CPU here; leave it out, or --set bf16=true"
        )
    if hardware.kind == "cpu" and method == "qlora":
        raise UsageError(
            "4-bit training (QLoRA) needs a GPU, and training is on the CPU here; give "
            "--method lora"
        )
    if settings.get("finetuning_type") not in (None, "full") and method == "full":
        raise UsageError(
            f"--method full and --set finetuning_type={settings['finetuning_type']} do not go "
            "together; leave one of them out"
        )


def check_adapter(model: Model, method: str, settings: Mapping[str, Any]) -> None:
    """Refuse what an adapter that is trained on cannot become."""
    if model.adapter is None:
        return
    merge = f"`deploy merge {model.adapter}` makes a model of it to begin anew on"
    if method == "full":
        raise UsageError(f"--method full: {model.name} is an adapter, not a whole model; {merge}")
    own = [key for key in OF_ADAPTERS if key in settings]
    if own:
        raise UsageError(
            f"--set {own[0]}: the adapter of {model.name} is trained on and keeps its own; leave "
            f"it out, or {merge}"
        )


def check_targets(config: Mapping[str, Any], model: Model) -> None:
    """Refuse LoRA targets of which the model has no layer."""
    targets = str(config.get("lora_target", "all"))
    if config["finetuning_type"] != "lora" or targets == "all" or model.modules is None:
        return
    for target in (name.strip() for name in targets.split(",")):
        if not any(name == target or name.endswith(f".{target}") for name in model.modules):
            has = sorted({name.rsplit(".", 1)[-1] for name in model.modules})
            raise ModelError(
                f"lora_target {target}: {model.name} has no layer of this name."
                f"{did_you_mean(target, has)} It has {', '.join(has)}; `all` takes every linear one"
            )


@dataclass(frozen=True)
class Need:
    """What a run takes on one device; and what would take less, the most effective first."""

    job: Job
    bytes: float
    trainable: int
    saved: int  # bytes of weights
    hardware: Hardware
    ways_out: tuple[tuple[str, float], ...]

    @property
    def fits(self) -> bool:
        return self.bytes <= self.hardware.memory

    @property
    def sentence(self) -> str:
        """One line with the numbers, and three ways out if it does not fit."""
        where = "this machine" if self.hardware.kind == "cpu" else "a GPU of this machine"
        has = _gib(self.hardware.memory)
        needed = f"about {_gib(self.bytes)} are needed and {where} has {has}"
        if self.fits or not self.ways_out:
            return needed
        ways = "; ".join(f"{way} ({_gib(takes)})" for way, takes in self.ways_out[:3])
        return f"{needed}. It would take less with: {ways}"


def memory_need(plan: Plan, hardware: Hardware, longest: int | None) -> Need:
    config, model = plan.config, plan.model
    cutoff = int(config["cutoff_len"])
    if longest and not config.get("packing"):
        cutoff = min(cutoff, longest)
    method = "qlora" if config.get("quantization_bit") is not None else plan.method
    kind = config["finetuning_type"]
    more = config.get("freeze_extra_modules" if kind == "freeze" else "additional_target")
    # What LoRA is compared with is its own base, unless another is named; a reward may be whole.
    compared = plan.stage != "dpo" or config.get("pref_loss") not in ("orpo", "simpo")
    own = kind == "oft" or ("ref_model" in config and kind == "lora")
    beside = [compared and plan.stage in COMPARED and own]
    beside += [plan.stage == "sft" and bool(config.get("use_asft_loss"))]
    beside += [config.get("reward_model_type") == "full"]
    optimizer = str(config.get("optim", "adamw"))
    source = str(model.folder) if model.folder is not None else model.path
    of_model = config_of(source)
    shape = shape_of(of_model, model.name)
    target = str(config.get("lora_target", "all"))
    job = Job(
        stage=plan.stage,
        method="full" if kind in ("full", "freeze") else method,
        layers=int(config.get("freeze_trainable_layers", 2)) if kind == "freeze" else None,
        embeddings=sum("norm" not in name for name in str(more or "norm").split(",")),
        others=sum(beside),
        compared=compared,
        precision=next((p for p in ("pure_bf16", "bf16", "fp16") if config.get(p)), "fp32"),
        stored=stored_bytes(of_model, model.folder),
        cutoff_len=cutoff,
        batch=int(config["per_device_train_batch_size"]),
        bits=int(config.get("quantization_bit") or 4),
        lora_rank=int(config.get("lora_rank", 8)),
        lora_target=target if set(target.split(",")) <= set(shape.modules) else "all",
        optimizer="adamw_8bit" if "8bit" in optimizer else _OPTIMIZERS.get(optimizer, "adamw"),
        checkpointing=not config.get("disable_gradient_checkpointing", False),
        zero=0 if method == "qlora" else zero_stage(config),
        gpus=hardware.count,
    )
    return need(shape, job, hardware)


def zero_stage(config: Mapping[str, Any]) -> int:
    """Return the stage of ZeRO in DeepSpeed's configuration, or in the file with it; else 0."""
    deepspeed: Any = config.get("deepspeed")
    try:
        if not isinstance(deepspeed, dict):
            deepspeed = json.loads(Path(deepspeed).read_text(encoding="utf-8"))
        stage = deepspeed["zero_optimization"]["stage"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return stage if stage in (1, 2, 3) else 0


def need(shape: ModelShape, job: Job, hardware: Hardware) -> Need:
    job = replace(job, device="cpu" if hardware.kind == "cpu" else "gpu")
    takes = total(shape, job)
    full, gpu, half = job.method == "full", job.device == "gpu", job.cutoff_len // 2
    # What does the same with less, as a user would type it.
    smaller: list[tuple[bool, str, dict[str, Any]]] = [
        (full, "finetuning_type=lora", {"method": "lora", "layers": None, "embeddings": 0}),
        (not full and gpu, "quantization_bit=4", {"method": "qlora", "bits": 4, "zero": 0}),
        (job.batch > 1, "per_device_train_batch_size=1", {"batch": 1}),
        (job.cutoff_len >= 256, f"cutoff_len={half}", {"cutoff_len": half}),
        (job.precision == "fp32", "bf16=true", {"precision": "bf16"}),
    ]
    ways = [
        (f"--set {way}", total(shape, replace(job, **less)))
        for possible, way, less in smaller
        if possible
    ]
    ways.append((f"--model {_SMALL}", total(known_shape(_SMALL), replace(job, lora_target="auto"))))
    better = sorted((way for way in ways if way[1] < takes), key=lambda way: way[1])
    return Need(job, takes, trainable(shape, job), saved(shape, job), hardware, tuple(better))


def _gib(number: float) -> str:
    return f"{number / GIB:,.1f} GiB"


def check_memory(need: Need, force: bool) -> None:
    if not need.fits and not force and need.hardware.memory:
        raise UsageError(f"too little memory: {need.sentence}. --force tries it all the same")


def check_disk(plan: Plan, need: Need) -> None:
    config, weights = plan.config, need.saved
    # AdamW's two moments in fp32 lie beside the weights of a checkpoint, not beside the result.
    checkpoint = weights + (0 if config.get("save_only_model") else need.trainable * 8) + _BESIDE
    # The oldest is deleted when the next is written.
    limit, number = int(config.get("save_total_limit") or 0), _checkpoints(config, plan.steps)
    kept = min(number, limit + 1) if limit > 0 else number
    wanted = kept * checkpoint + weights + _BESIDE
    parents = (plan.output, *plan.output.absolute().parents)
    place = next(folder for folder in parents if folder.exists())
    free = shutil.disk_usage(place).free
    if free < wanted:
        raise OutputError(
            f"too little room on the disk: checkpoints take about {wanted / _GB:,.2f} GB, and "
            f"{place} has {free / _GB:,.2f} GB free; make room, give another --output, or fewer "
            "checkpoints with --set save_total_limit=1"
        )


def _checkpoints(config: Mapping[str, Any], steps: int) -> int:
    """Return how many checkpoints a run saves; with a strategy, one at its end."""
    strategy = config.get("save_strategy", "steps")
    if strategy == "epoch":
        return math.ceil(float(config.get("num_train_epochs") or 1))
    every = float(config.get("save_steps") or EVERY)
    number = steps / every if every >= 1 else 1 / every
    return 0 if strategy == "no" else max(1, math.ceil(number))


def check_words(*paths: Path) -> None:
    """Refuse paths that LLaMA-Factory's launcher of several processes would take for several."""
    for path in paths:
        if len(str(path).split()) > 1:
            raise UsageError(
                f"{path}: with several processes LLaMA-Factory splits its command at spaces, and "
                "this path has one; give --output, or an environment, in a folder without"
            )


def check_output(output: Path, overwrite: bool) -> None:
    """Refuse a folder that holds another run, or anything else."""
    here = Path.cwd().resolve()
    is_file = output.exists() and not output.is_dir()
    if is_file or output.resolve() in (here, *here.parents):
        what = "a file" if is_file else "where you are"
        raise OutputError(f"--output {output} is {what}; give a folder such as saves/NAME")
    if not output.is_dir() or all(path.name == _LOCK for path in output.iterdir()):
        return
    if not any((output / name).is_file() for name in _OF_RUNS) and not any(
        output.glob("checkpoint-*")
    ):
        raise OutputError(
            f"--output {output} holds something that is no run of training; give another folder, "
            "such as saves/NAME. It is not touched, with --overwrite either"
        )
    if not overwrite:
        raise OutputError(
            f"{output} holds a run already; --resume continues it, --overwrite replaces it, "
            "--output FOLDER puts this one elsewhere"
        )
