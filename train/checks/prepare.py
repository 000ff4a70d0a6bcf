"""From what was typed to a plan that has been looked at from all sides, and nothing started."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curate.errors import CuratrainError, ModelError, UsageError, check_one_of
from curate.llamafactory.release import VERSION
from curate.system.hardware import Hardware, detect
from curate.system.run_record import RunRecord, read_run
from train import setup
from train.checks import data_set, limits, precision
from train.checks.data_set import Verdict
from train.config import keys
from train.config.model import Model, find, newest_run, reward_model, template_of
from train.config.plan import PRECISIONS, Dataset, Plan, Request, make, read_config
from train.config.presets import PRESETS, QUICK_CUTOFFS, preset_of, steps_of
from train.memory.estimate import METHODS

DEFAULT_MODEL = "smollm2"
SAVES = Path("saves")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Begun:
    """A run that was begun, and what LLaMA-Factory was given for it."""

    folder: Path
    record: RunRecord
    config: Mapping[str, Any]


def prepare(request: Request, say: Say) -> Plan:
    """Return the plan of what was typed, after everything that could stop it was looked at."""
    stage = request.stage
    release = setup.PPO_VERSION if stage == "ppo" else VERSION
    settings, notes = keys.settings(request.pairs or (), release)
    _check_words(request)
    begun = begun_run(request.output, stage, SAVES) if request.resume else None
    if begun is not None:
        say(f"going on with {begun.folder}")
        request = _as_begun(request, begun)
    hardware = detect(only_cpu=bool(settings.get("use_cpu")))
    method = _method(request, settings)
    limits.check_settings(settings, method, hardware)
    names, why = data_set.choose(request.dataset_dir, stage, request.dataset)
    output = request.output or SAVES / f"{'_'.join(names)}_{stage}"
    if begun is None:
        _or_say(request, say, lambda: limits.check_output(output, request.overwrite))
    say(f"data set: {','.join(names)}{f' ({why})' if why else ''}")
    model = _model(request, settings.pop("template", None) or request.template, say)
    limits.check_adapter(model, method, settings)
    preset = request.preset
    if preset == "auto":
        preset = "quick" if hardware.kind == "cpu" else "tutorial"
        say(f"preset: {preset}, since this machine trains on its {hardware.name}")
    typed = request.pairs or request.preset != "auto" or request.template or request.seed
    request = replace(request, output=output, preset=preset, method=method)
    reward = reward_model(request.reward, model, SAVES) if stage == "ppo" else None
    if reward is not None:
        say(f"reward model: {reward.name}")
    typed_cutoff = settings.get("cutoff_len")
    verdict, cutoff = _judged(request, names, model, settings)
    if cutoff is not None:
        settings = {**settings, "cutoff_len": cutoff}
        notes.append(f"cutoff_len {cutoff:,}: less would cut half of the rows")
    for usable in verdict.sets:
        say(f"doctor: {usable.name}: {usable.line}")
    if begun is None and not request.yes:
        _or_say(request, say, lambda: data_set.check_losses(verdict, typed_cutoff))
    seconds: Mapping[str, float] = begun.record.precision if begun is not None else {}
    if hardware.kind == "cpu" and not PRECISIONS & set(settings):
        bf16, seconds = _precision(request, model, hardware, begun, say)
        hardware = replace(hardware, bf16=bf16)
    dataset = Dataset(",".join(names), request.dataset_dir, verdict.extent)
    plan = make(request, dataset, model, hardware, settings, reward)
    if begun is not None and not typed:
        # Nothing was typed that decides the config: it is the one that the run began with.
        steps = steps_of(verdict.extent, begun.config, 1)
        plan = replace(plan, config=begun.config, steps=steps, notes=())
    limits.check_targets(plan.config, model)
    _check_room(request, plan, hardware, verdict.longest, say)
    plan = replace(plan, notes=(*notes, *plan.notes), step_seconds=dict(seconds))
    for note in plan.notes:
        say(f"note: {note}")
    return plan


def _check_words(request: Request) -> None:
    check_one_of("--preset", request.preset, ("auto", *PRESETS))
    check_one_of("--method", request.method, METHODS)
    if request.resume and request.overwrite:
        raise UsageError(
            "--resume goes on with a run and --overwrite replaces it: give one of them"
        )


def begun_run(output: Path | None, stage: str, saves: Path) -> Begun:
    """Return the run that --resume goes on with."""
    folder = output or newest_run(saves, lambda run: run.stage == stage and run.state != "done")
    if folder is None:
        raise UsageError(
            f"--resume: no run of stage {stage} in {saves} is unfinished; `train ls` lists those "
            "that are there, --output FOLDER names one elsewhere"
        )
    record = read_run(folder)
    if record is None:
        raise UsageError(
            f"--resume: {folder} holds no run; `train ls` lists those that are there. Without "
            "--resume a new one begins"
        )
    if record.stage != stage:
        raise UsageError(
            f"--resume: {folder} is a run of stage {record.stage}; go on with it by "
            f"`train {record.stage} --resume --output {folder}`"
        )
    return Begun(folder, record, read_config(folder))


def _as_begun(request: Request, begun: Begun) -> Request:
    """Fill in what was not typed from what the run was begun with."""
    dataset = begun.record.dataset
    return replace(
        request,
        output=begun.folder,
        dataset=request.dataset or dataset.get("name"),
        dataset_dir=request.dataset_dir
        if request.dataset
        else Path(dataset.get("dataset_dir", "data")),
        model=request.model or begun.record.model,
        method=begun.record.method if request.method == "lora" else request.method,
    )


def _method(request: Request, settings: Mapping[str, Any]) -> str:
    """Return the method, which --set may name, too."""
    if settings.get("finetuning_type") == "full" and request.method == "lora":
        return "full"
    if settings.get("quantization_bit") is not None and request.method == "lora":
        return "qlora"
    return request.method


def _model(request: Request, template: str | None, say: Say) -> Model:
    """Return the model, with the template it is trained with; going on with another undoes that."""
    model = find(request.model or DEFAULT_MODEL)
    _or_say(request, say, lambda: _check_fetched(model))
    record = read_run(model.adapter) if model.adapter is not None and not template else None
    name, why = template_of(model, template or (record.template if record else None))
    if record is not None and record.template:
        why = "that of the run"
    bundled = "" if request.model else ", the bundled one"
    say(f"model: {model.name}{bundled}; template: {name or 'own'} ({why})")
    return replace(model, template=name)


def _judged(
    request: Request, names: Sequence[str], model: Model, settings: Mapping[str, Any]
) -> tuple[Verdict, int | None]:
    """Return the doctor's verdict, and a cutoff where quick's own would cut half of the rows."""
    config = {**preset_of(request.preset, request.stage).keys, **settings}
    packing, first = bool(config.get("packing")), int(config["cutoff_len"])
    longer = QUICK_CUTOFFS if request.preset == "quick" and "cutoff_len" not in settings else ()
    for cutoff in (first, *longer):
        verdict = data_set.judge(request.dataset_dir, names, request.stage, model, cutoff, packing)
        if not verdict.half_cut:
            break
    return verdict, cutoff if cutoff != first else None


def _precision(
    request: Request, model: Model, hardware: Hardware, begun: Begun | None, say: Say
) -> tuple[bool, Mapping[str, float]]:
    """Return whether the CPU computes in bfloat16, and why: a run goes on as it began."""
    if begun is not None:
        return bool(begun.config.get("bf16")), begun.record.precision
    find_backend = None if request.dry_run else lambda: setup.backend_of(request.stage)
    chosen = precision.choose(model, request.method != "full", hardware, find_backend, say)
    later = "; training measures two steps of each first" if request.dry_run else ""
    say(f"precision: {chosen.sentence}{'' if chosen.seconds else later}")
    return chosen.bf16, chosen.seconds


def _check_room(
    request: Request, plan: Plan, hardware: Hardware, longest: int | None, say: Say
) -> None:
    try:
        need = limits.memory_need(plan, hardware, longest)
    except ModelError as error:
        say(f"memory: not estimated: {error}")
        return
    say(f"memory: {need.sentence}")
    _or_say(request, say, lambda: limits.check_memory(need, request.force))
    _or_say(request, say, lambda: limits.check_disk(plan, need))


def _check_fetched(model: Model) -> None:
    if model.missing:
        raise ModelError(f"hub model '{model.name}' could not be fetched: {model.missing}")


def _or_say(request: Request, say: Say, check: Callable[[], None]) -> None:
    """Check; where nothing will be started, say what would be refused instead."""
    try:
        check()
    except CuratrainError as error:
        if not request.dry_run:
            raise
        say(f"would be refused: {error}")
