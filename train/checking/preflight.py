"""What is looked at before a training starts, so that it fails in seconds and not in hours."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curate.errors import ModelError, OutputError, UsageError, did_you_mean
from train.memory.preflight import Need
from train.planning.hardware import Hardware
from train.planning.model import Model
from train.planning.plan import CONFIG, Plan

_RUN = ("run.json", CONFIG, "trainer_state.json", "trainer_log.jsonl")
_LOCK = ".lock"
_GB = 1e9
# Tokenizer, logs and figures that lie beside the weights of each checkpoint.
_BESIDE = 20e6
_OTHER_PRECISION = "leave it out, or --set bf16=true"
_OF_ADAPTERS = ("lora_rank", "lora_alpha", "lora_target", "lora_dropout")
_OPTIMIZERS = {"adafactor": "adafactor", "sgd": "sgd"}


def check_settings(settings: Mapping[str, Any], method: str, hardware: Hardware) -> None:
    """Refuse what cannot be trained on this machine, or does not go together."""
    if hardware.kind == "cpu":
        for key in ("pure_bf16", "fp16", "fp8"):
            if settings.get(key):
                raise UsageError(
                    f"--set {key}=true: LLaMA-Factory does that on GPUs alone, and training is on "
                    f"the CPU here; {_OTHER_PRECISION}"
                )
        if method == "qlora" or settings.get("quantization_bit") is not None:
            raise UsageError(
                "4-bit training (QLoRA) needs a GPU, and training is on the CPU here; give "
                "--method lora"
            )
    if settings.get("finetuning_type") not in (None, "full") and method == "full":
        raise UsageError(
            f"--method full and --set finetuning_type={settings['finetuning_type']} do not go "
            "together; leave one of them out"
        )
    if settings.get("bf16") and settings.get("fp16"):
        raise UsageError("--set bf16=true and --set fp16=true: give one of them")


def check_adapter(model: Model, method: str, settings: Mapping[str, Any]) -> None:
    """Refuse what an adapter that is trained on cannot become."""
    if model.adapter is None:
        return
    merge = f"`deploy merge {model.adapter}` makes a model of it to begin anew on"
    if method == "full":
        raise UsageError(f"--method full: {model.name} is an adapter, not a whole model; {merge}")
    own = [key for key in _OF_ADAPTERS if key in settings]
    if own:
        raise UsageError(
            f"--set {own[0]}: the adapter of {model.name} is trained on and keeps its own; leave "
            f"it out, or {merge}"
        )


def check_config(stage: str, config: Mapping[str, Any]) -> None:
    """Refuse pairs of keys on which LLaMA-Factory ends after it has loaded the model."""
    best = config.get("load_best_model_at_end")
    if best and stage in ("rm", "ppo"):
        raise UsageError(
            f"--set load_best_model_at_end=true: stage {stage} has it not; leave it out, the last "
            "checkpoints are kept"
        )
    save, evaluate = (config.get(f"{each}_strategy", "steps") for each in ("save", "eval"))
    if best and save not in ("best", evaluate):
        raise UsageError(
            f"load_best_model_at_end wants to save when it evaluates, and save_strategy is {save}, "
            f"eval_strategy {evaluate}; make them the same, or --set load_best_model_at_end=false"
        )
    every = config.get("eval_steps"), config.get("save_steps")
    if best and evaluate == "steps" and every[0] and every[1] and every[1] % every[0]:
        raise UsageError(
            f"load_best_model_at_end wants save_steps ({every[1]}) to be a multiple of eval_steps "
            f"({every[0]}); set both, or --set load_best_model_at_end=false"
        )


def check_targets(config: Mapping[str, Any], model: Model) -> None:
    """Refuse LoRA targets of which the model has no layer."""
    targets = str(config.get("lora_target", "all"))
    if config["finetuning_type"] != "lora" or targets == "all" or model.modules is None:
        return
    for target in (each.strip() for each in targets.split(",")):
        if not any(name == target or name.endswith(f".{target}") for name in model.modules):
            has = sorted({name.rsplit(".", 1)[-1] for name in model.modules})
            raise ModelError(
                f"lora_target {target}: {model.name} has no layer of this name."
                f"{did_you_mean(target, has)} It has {', '.join(has)}; `all` takes every linear one"
            )


def memory(plan: Plan, hardware: Hardware, longest: int | None) -> Need:
    """Return what a plan takes beside what this machine has."""
    from train.memory.estimate import Job
    from train.memory.model_shape import config_of, shape_of
    from train.memory.preflight import need

    config = plan.config
    cutoff = int(config["cutoff_len"])
    if longest and not config.get("packing"):
        cutoff = min(cutoff, longest)
    method = plan.method
    if config.get("quantization_bit") is not None:
        method = "qlora"
    optimizer = str(config.get("optim", "adamw"))
    job = Job(
        stage=plan.stage,
        method=method if config["finetuning_type"] != "full" else "full",
        precision=_precision(config),
        cutoff_len=cutoff,
        batch=int(config["per_device_train_batch_size"]),
        bits=int(config.get("quantization_bit") or 4),
        rank=int(config.get("lora_rank", 8)),
        target=_target(config, plan.model),
        optimizer="adamw_8bit" if "8bit" in optimizer else _OPTIMIZERS.get(optimizer, "adamw"),
        checkpointing=not config.get("disable_gradient_checkpointing", False),
        gpus=hardware.count,
    )
    source = str(plan.model.folder) if plan.model.folder is not None else plan.model.path
    return need(shape_of(config_of(source), plan.model.name), job, hardware)


def _precision(config: Mapping[str, Any]) -> str:
    return next((each for each in ("pure_bf16", "bf16", "fp16") if config.get(each)), "fp32")


def _target(config: Mapping[str, Any], model: Model) -> str:
    """Return the target if the estimate has a formula for it: it knows the layers that repeat."""
    target = str(config.get("lora_target", "all"))
    last = {name.rsplit(".", 1)[-1] for name in model.modules or () if ".layers." in f".{name}."}
    known = last or {name.rsplit(".", 1)[-1] for name in model.modules or () if ".h." in f".{name}"}
    return target if set(target.split(",")) <= known else "all"


def check_memory(found: Need, force: bool) -> None:
    """Refuse a training that this machine cannot hold."""
    if not found.fits and not force and found.hardware.memory:
        raise UsageError(f"too little memory: {found.sentence}. --force tries it all the same")


def check_disk(plan: Plan, found: Need | None) -> None:
    """Refuse a folder whose disk has no room for the checkpoints."""
    if found is None:
        return
    trained = found.trainable
    full = plan.config["finetuning_type"] == "full"
    weights = trained * (found.job.wide if full else 4)
    # AdamW's two moments in fp32 lie beside the weights of a checkpoint, not beside the result.
    each = weights + (0 if plan.config.get("save_only_model") else trained * 8) + _BESIDE
    saved = plan.config.get("save_total_limit")
    kept = int(saved) + 1 if saved else max(1, plan.steps // int(plan.config.get("save_steps", 1)))
    wanted = kept * each + weights + _BESIDE
    place = next(each for each in (plan.output, *plan.output.absolute().parents) if each.exists())
    free = shutil.disk_usage(place).free
    if free < wanted:
        raise OutputError(
            f"too little room on the disk: checkpoints take about {wanted / _GB:.1f} GB, and "
            f"{place} has {free / _GB:.1f} GB free; make room, give another --output, or fewer "
            "checkpoints with --set save_total_limit=1"
        )


def check_output(output: Path, overwrite: bool) -> None:
    """Refuse a folder that holds another run, or anything else."""
    if output.exists() and not output.is_dir():
        raise OutputError(f"--output {output} is a file; give a folder such as saves/NAME")
    here = Path.cwd().resolve()
    if output.resolve() in (here, *here.parents):
        raise OutputError(f"--output {output} is where you are; give a folder such as saves/NAME")
    if not output.is_dir() or all(each.name == _LOCK for each in output.iterdir()):
        return
    if not holds_run(output):
        raise OutputError(
            f"--output {output} holds something that is no run of training; give another folder, "
            "such as saves/NAME. It is not touched, with --overwrite either"
        )
    if not overwrite:
        raise OutputError(
            f"{output} holds a run already; --resume continues it, --overwrite replaces it, "
            "--output FOLDER puts this one elsewhere"
        )


def holds_run(output: Path) -> bool:
    """Return whether a folder is that of a run, ours or LLaMA-Factory's own."""
    return any((output / each).is_file() for each in _RUN) or any(output.glob("checkpoint-*"))


def clear(output: Path) -> None:
    """Take away a run that --overwrite replaces; check_output() has looked at the folder."""
    from train.running.run import is_running

    if is_running(output):
        raise OutputError(f"{output} is being trained right now; wait for it, or end it first")
    if output.is_dir() and holds_run(output):
        shutil.rmtree(output)
