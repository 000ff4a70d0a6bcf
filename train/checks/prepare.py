"""From what was typed to a plan that has been looked at from all sides, and nothing started."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curate.errors import CuratrainError, ModelError, UsageError, check_one_of
from curate.llamafactory.release import VERSION
from curate.system.files import at_home
from curate.system.hardware import Hardware, detect
from curate.system.model_folder import chat_template, is_adapter, refuse_reward_model
from curate.system.run_record import RunRecord, read_run
from train import setup
from train.checks import data_set, limits, precision
from train.checks import settings as checks
from train.checks.data_set import Verdict
from train.config import keys
from train.config.model import Model, find, newest_run, reward_model, template_of
from train.config.plan import PRECISIONS, Dataset, Plan, Request, make, read_config
from train.config.presets import PRESETS, QUICK_CUTOFFS, WRITTEN, preset_of, steps_of
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
    _check_request(request)
    begun = begun_run(request.output, stage, SAVES) if request.resume else None
    if begun is not None:
        say(f"going on with {begun.folder}")
        request = _as_begun(request, begun)
    hardware = _processes(request.variables, bool(settings.get("use_cpu")))
    method = _method(request.method, settings)
    limits.check_settings(settings, method, hardware)
    names, why = data_set.choose(request.dataset_dir, stage, ",".join(request.dataset) or None)
    output = request.output or SAVES / f"{'_'.join(names)}_{stage}"
    if begun is None:
        _or_say(request, say, lambda: limits.check_output(output, request.overwrite))
    say(f"data set: {','.join(names)}{f' ({why})' if why else ''}")
    template = settings.pop("template", None) or request.template
    model = _model(request, template, say)
    if request.preset == WRITTEN and (adapter := settings.pop("adapter_name_or_path", None)):
        model = _with_adapter(model, str(adapter))
        kept = [settings.pop(key) and key for key in list(settings) if key in limits.OF_ADAPTERS]
        notes += [f"the adapter keeps its own {', '.join(kept)}"] if kept else []
    limits.check_adapter(model, method, settings)
    preset = request.preset
    if preset == "auto":
        preset = "quick" if hardware.kind == "cpu" else "tutorial"
        say(f"preset: {preset}, since this machine trains on its {hardware.name}")
    typed = request.pairs or request.preset != "auto" or request.template or request.seed
    # Absolute where LLaMA-Factory reads them: a run is gone on with, and served, from anywhere.
    folder = Path(os.path.abspath(request.dataset_dir))
    request = replace(request, output=output, preset=preset, method=method)
    reward = reward_model(request.reward, model, SAVES) if stage == "ppo" else None
    if reward is not None:
        say(f"reward model: {reward.name}")
    typed_cutoff = settings.get("cutoff_len")
    judged = begun.config if begun is not None and not typed else settings
    verdict, cutoff = _judged(request, names, model, judged)
    if cutoff is not None:
        settings = {**settings, "cutoff_len": cutoff}
        notes.append(f"cutoff_len {cutoff:,}: less would cut half of the rows")
    for usable in verdict.sets:
        say(f"doctor: {usable.name}: {usable.line}")
    if begun is None and not request.yes:
        _or_say(request, say, lambda: data_set.check_losses(verdict, typed_cutoff))
    seconds: Mapping[str, float] = begun.record.precision if begun is not None else {}
    if hardware.kind == "cpu" and preset != WRITTEN and not PRECISIONS & set(settings):
        bf16, seconds = _precision(request, model, hardware, begun, say)
        hardware = replace(hardware, bf16=bf16)
    dataset = Dataset(",".join(names), folder, verdict.extent)
    plan = make(request, dataset, model, hardware, settings, reward)
    if begun is not None and not typed:  # that is the config which the run began with
        config = {**begun.config, "output_dir": os.path.abspath(output)}
        steps = steps_of(verdict.extent, config, hardware.count)
        plan = replace(plan, config=config, steps=steps, notes=())
    limits.check_targets(plan.config, model)
    _or_say(request, say, lambda: checks.check(plan, verdict.longest))
    if hardware.count > 1 or _by_torchrun({**os.environ, **plan.launching, **plan.variables}):
        _or_say(request, say, lambda: limits.check_words(output, Path(sys.executable)))
    doubt = checks.doubts(plan, verdict.longest)
    _check_room(request, plan, hardware, verdict.longest, say)
    plan = replace(
        plan, notes=(*notes, *plan.notes, *filter(None, (doubt,))), step_seconds=dict(seconds)
    )
    for note in plan.notes:
        say(f"note: {note}")
    return plan


def _check_request(request: Request) -> None:
    if request.preset != WRITTEN:
        check_one_of("--preset", request.preset, ("auto", *PRESETS))
    check_one_of("--method", request.method, METHODS)
    if request.resume and request.overwrite:
        raise UsageError(
            "--resume goes on with a run and --overwrite replaces it: give one of them"
        )


def _method(method: str, settings: Mapping[str, Any]) -> str:
    """Return the method; beside the default, --set may name another."""
    if method != "lora":
        return method
    is_full, bits = settings.get("finetuning_type") == "full", settings.get("quantization_bit")
    return "full" if is_full else "lora" if bits is None else "qlora"


def _processes(variables: Mapping[str, str], only_cpu: bool) -> Hardware:
    """Return what trains; LLaMA-Factory's launcher starts as many processes as it is told to."""
    told = {**os.environ, **variables}
    hardware = detect(only_cpu, variables.get("CUDA_VISIBLE_DEVICES"))
    number, nodes = told.get("NPROC_PER_NODE", ""), told.get("NNODES", "")
    forced = _by_torchrun(told)
    count = int(number) if number.isdigit() and (forced or hardware.count > 1) else hardware.count
    return replace(hardware, count=count * (int(nodes) if nodes.isdigit() and forced else 1))


def _by_torchrun(told: Mapping[str, str]) -> bool:
    return told.get("FORCE_TORCHRUN", "").lower() in ("1", "true", "y")


def begun_run(output: Path | None, stage: str, saves: Path) -> Begun:
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
    dataset = begun.record.dataset
    return replace(
        request,
        output=begun.folder,
        dataset=request.dataset or ((name,) if (name := dataset.get("name")) else ()),
        dataset_dir=request.dataset_dir
        if request.dataset
        else Path(dataset.get("dataset_dir", "data")),
        model=request.model or begun.record.model,
        method=begun.record.method if request.method == "lora" else request.method,
        variables=request.variables or begun.record.variables,
    )


def _model(request: Request, template: str | None, say: Say) -> Model:
    """Return the model, with the template it is trained with; going on with another undoes that."""
    model = find(request.model or DEFAULT_MODEL)
    if model.adapter and request.stage != "rm":
        refuse_reward_model(model.adapter)
    if model.missing:
        fault = ModelError(f"hub model '{model.name}' could not be fetched: {model.missing}")
        if not request.dry_run:
            raise fault
        say(f"would be refused: {fault}")
    if request.preset == WRITTEN and not template:
        # What LLaMA-Factory takes where a config names none.
        is_own = model.folder is None or chat_template(model.folder)
        template = "own" if is_own else "empty"
    record = read_run(model.adapter) if model.adapter is not None and not template else None
    name, why = template_of(model, template or (record.template if record else None))
    if record is not None and record.template:
        why = "that of the run"
    bundled = "" if request.model else ", the bundled one"
    say(f"model: {model.name}{bundled}; template: {name or 'own'} ({why})")
    return replace(model, template=name)


def _with_adapter(model: Model, name: str) -> Model:
    folder = at_home(name)
    if not is_adapter(folder):
        raise ModelError(
            f"adapter_name_or_path {name}: there is no adapter; give a run that `train ls` lists"
        )
    return replace(model, adapter=folder, base=model.name, name=name)


def _judged(
    request: Request, names: Sequence[str], model: Model, settings: Mapping[str, Any]
) -> tuple[Verdict, int | None]:
    """Return the doctor's verdict, and a cutoff where quick's own would cut half of the rows."""
    config = {**preset_of(request.preset, request.stage).keys, **settings}
    first = int(config["cutoff_len"])
    longer = QUICK_CUTOFFS if request.preset == "quick" and "cutoff_len" not in settings else ()
    for cutoff in (first, *longer):
        config["cutoff_len"] = cutoff
        verdict = data_set.judge(request.dataset_dir, names, request.stage, model, config)
        if not any(2 * usable.cut >= usable.rows for usable in verdict.sets):
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


def _or_say(request: Request, say: Say, check: Callable[[], None]) -> None:
    """Check; where nothing will be started, say what would be refused instead."""
    try:
        check()
    except CuratrainError as error:
        if not request.dry_run:
            raise
        say(f"would be refused: {error}")
