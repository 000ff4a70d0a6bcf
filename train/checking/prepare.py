"""From what was typed to a plan that has been looked at from all sides, and nothing started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curate.errors import CuratrainError, ModelError, UsageError, did_you_mean
from curate.llamafactory.backend import VERSION
from curate.system.run_record import read_run
from train import backends
from train.backends import PPO_VERSION
from train.checking import earlier, precision, preflight, verdict
from train.checking.measuring import measure
from train.memory.preflight import Need
from train.planning import datasets, keys, models, rewards, templates
from train.planning.hardware import Hardware, as_cpu, detect
from train.planning.model import Model
from train.planning.plan import PRECISIONS, Dataset, Options, Plan, make
from train.planning.presets import PRESETS, QUICK_CUTOFFS
from train.planning.schedule import steps_of

AUTO = "auto"
METHODS = ("lora", "qlora", "full")
DEFAULT_MODEL = "smollm2"
SAVES = Path("saves")


@dataclass(frozen=True)
class Request:
    """What was typed.

    Attributes:
        stage: pt, sft, rm, ppo, dpo or kto.
        dataset: Name in dataset_info.json, several by commas; None for the newest that fits.
        dataset_dir: Folder of dataset_info.json.
        model: A name, a directory or a hub id; None for the bundled one.
        output: Folder of the run; None for one named after data set and stage.
        pairs: key=value.
        preset: `auto`, `tutorial` or `quick`.
        method: `lora`, `qlora` or `full`.
        template: LLaMA-Factory's, `own`, or None for the model's.
        reward_model: Run of stage rm, for ppo.
        seed: Of everything that is drawn.
        resume: Go on with the run in the folder.
        overwrite: Replace a run that is in the folder.
        force: Go on where the memory seems too little.
        yes: Go on where half of the rows or more lose their prompt or are cut.
        dry: Only show: what would be refused for want of room is said.
    """

    stage: str
    dataset: str | None = None
    dataset_dir: Path = Path("data")
    model: str | None = None
    output: Path | None = None
    pairs: tuple[str, ...] = ()
    preset: str = AUTO
    method: str = "lora"
    template: str | None = None
    reward_model: Path | None = None
    seed: int = 0
    resume: bool = False
    overwrite: bool = False
    force: bool = False
    yes: bool = False
    dry: bool = False


def prepare(request: Request, say: Callable[[str], None]) -> Plan:
    """Return the plan of what was typed, after everything that could stop it was looked at.

    Example:
        >>> prepare(Request("sft", "huatuo_ifd"), print).steps
        30
    """
    settings, notes = keys.settings(request.pairs, _release(request.stage))
    _check_words(request)
    begun = earlier.find(request.output, request.stage, SAVES) if request.resume else None
    if begun is not None:
        say(f"going on with {begun.folder}")
        request = _as_begun(request, begun)
    hardware = as_cpu(detect()) if settings.get("use_cpu") else detect()
    method = _method(request, settings)
    preflight.check_settings(settings, method, hardware)
    chosen = datasets.choose(request.dataset_dir, request.stage, request.dataset)
    output = request.output or SAVES / f"{'_'.join(chosen.names)}_{request.stage}"
    if begun is None:
        _or_say(request, say, lambda: preflight.check_output(output, request.overwrite))
    say(f"data set: {chosen.name}{f' ({chosen.why})' if chosen.why else ''}")
    given = settings.pop("template", None) or request.template
    model, choice = _model(request.model or DEFAULT_MODEL, given)
    how = "" if request.model else ", the bundled one"
    say(f"model: {model.name}{how}; template: {choice.name or 'own'} ({choice.why})")
    preflight.check_adapter(model, method, settings)
    preset = _preset(request, hardware, say)
    reward = _reward(request, say)
    whole = reward is not None and not rewards.is_adapter(reward)
    cutoff = settings.get("cutoff_len")
    found = _verdict(request, chosen, model, choice, {**_of(preset, request), **settings})
    for longer in QUICK_CUTOFFS if preset == "quick" and cutoff is None else ():
        if not found.half_cut:
            break
        settings = {**settings, "cutoff_len": longer}
        found = _verdict(request, chosen, model, choice, {**_of(preset, request), **settings})
    if "cutoff_len" in settings and cutoff is None:
        notes = [*notes, f"cutoff_len {settings['cutoff_len']:,}: less would cut half of the rows"]
    options = Options(output, preset, method, request.seed, settings, reward, whole)
    for name, line in zip(chosen.names, found.lines, strict=True):
        say(f"doctor: {name}: {line}")
    if begun is None and not request.yes:
        _or_say(request, say, lambda: verdict.check_losses(found, cutoff))
    dataset = Dataset(chosen.name, request.dataset_dir, found.extent)
    measured: Mapping[str, float] = begun.record.precision if begun is not None else {}
    if hardware.kind == "cpu" and not PRECISIONS & set(settings):
        hardware, measured = _precision(request, model, method, hardware, begun, say)
    plan = replace(
        make(request.stage, dataset, model, options, hardware), step_seconds=dict(measured)
    )
    if begun is not None and not _decides(request):
        plan = _with(plan, begun)
    preflight.check_config(request.stage, plan.config)
    preflight.check_targets(plan.config, model)
    _check_room(request, plan, hardware, found.longest, say)
    plan = replace(plan, notes=(*notes, *plan.notes))
    for note in plan.notes:
        say(f"note: {note}")
    return plan


def _precision(
    request: Request,
    model: Model,
    method: str,
    hardware: Hardware,
    begun: earlier.Begun | None,
    say: Callable[[str], None],
) -> tuple[Hardware, Mapping[str, float]]:
    """Return the CPU with what it computes in: of a run that goes on, what that began with."""
    if begun is not None:
        return replace(hardware, bf16=bool(begun.config.get("bf16"))), begun.record.precision
    find_backend = None if request.dry else lambda: backends.find(request.stage)
    chosen = precision.choose(model, method != "full", hardware, find_backend, say)
    later = "; training measures two steps of each first" if request.dry else ""
    say(f"precision: {chosen.sentence}{'' if chosen.seconds else later}")
    return replace(hardware, bf16=chosen.bf16), chosen.seconds


def _as_begun(request: Request, begun: earlier.Begun) -> Request:
    """Fill in what was not typed from what the run was begun with."""
    told = begun.record.dataset
    return replace(
        request,
        output=begun.folder,
        dataset=request.dataset or str(told["name"]),
        dataset_dir=request.dataset_dir if request.dataset else Path(str(told["dataset_dir"])),
        model=request.model or begun.record.model,
        method=begun.record.method if request.method == METHODS[0] else request.method,
    )


def _decides(request: Request) -> bool:
    """Return whether options were typed that decide the config: they must be the same again."""
    return bool(request.pairs or request.preset != AUTO or request.template or request.seed)


def _with(plan: Plan, begun: earlier.Begun) -> Plan:
    config = begun.config
    steps = steps_of(plan.dataset.extent, config, 1)
    return replace(plan, config=config, template=config.get("template"), steps=steps, notes=())


def _reward(request: Request, say: Callable[[str], None]) -> Path | None:
    if request.stage != "ppo":
        return None
    folder = rewards.choose(request.reward_model, request.model or DEFAULT_MODEL, SAVES)
    say(f"reward model: {folder}")
    return folder


def _preset(request: Request, hardware: Hardware, say: Callable[[str], None]) -> str:
    if request.preset != AUTO:
        return request.preset
    preset = "quick" if hardware.kind == "cpu" else "tutorial"
    say(f"preset: {preset}, since this machine trains on its {hardware.name}")
    return preset


def _release(stage: str) -> str:
    return PPO_VERSION if stage == "ppo" else VERSION


def _check_words(request: Request) -> None:
    for option, given, allowed in (
        ("--preset", request.preset, (AUTO, *PRESETS)),
        ("--method", request.method, METHODS),
    ):
        if given not in allowed:
            raise UsageError(
                f"{option} {given}: allowed are {', '.join(allowed)}.{did_you_mean(given, allowed)}"
            )


def _method(request: Request, settings: Mapping[str, Any]) -> str:
    """Return the method, which --set may name, too."""
    if settings.get("finetuning_type") == "full" and request.method == "lora":
        return "full"
    if settings.get("quantization_bit") is not None and request.method == "lora":
        return "qlora"
    return request.method


def _model(name: str, given: str | None) -> tuple[Model, templates.Choice]:
    found = models.find(name)
    kind = models.kind_of(found.folder) if found.folder else _kind_by_name(name)
    before = None if given else _template_of_run(found)
    choice = templates.choose(found.base or name, found.folder, kind, given or before)
    if before:
        choice = replace(choice, why="that of the run")
    layers = models.layers_of(found.folder) if found.folder else None
    model = Model(
        *(name, found.path, choice.name, found.folder, kind, layers, found.adapter, choice.why)
    )
    return model, choice


def _template_of_run(found: models.Found) -> str | None:
    """Return the template that an adapter was trained with: going on with another undoes that."""
    record = read_run(found.adapter) if found.adapter is not None else None
    return record.template if record is not None else None


def _kind_by_name(name: str) -> str:
    from train.memory.model_shape import config_of

    try:
        return str(config_of(name).get("model_type", ""))
    except ModelError:
        return ""


def _of(preset: str, request: Request) -> dict[str, Any]:
    """Return what the doctor has to know of a preset."""
    found = PRESETS[preset][request.stage]
    return {"cutoff_len": found.cutoff_len, **found.more}


def _verdict(
    request: Request,
    chosen: datasets.Chosen,
    model: Model,
    choice: templates.Choice,
    config: Mapping[str, Any],
) -> verdict.Verdict:
    unpacked = request.stage == "pt" and not config.get("packing")
    cutoff = int(config["cutoff_len"])
    counting, why = measure(model.folder, choice, cutoff, unpacked)
    command = f"curate doctor --dataset-dir {request.dataset_dir}"
    if request.stage != "ppo":
        command += f" --stage {request.stage}"
    if counting is not None:
        measured = model.name if model.adapter is None else model.path
        command += f" --model {measured} --cutoff-len {cutoff}"
    return verdict.judge(
        *(request.dataset_dir, chosen.names, request.stage, counting, why, command)
    )


def _check_room(
    request: Request,
    plan: Plan,
    hardware: Hardware,
    longest: int | None,
    say: Callable[[str], None],
) -> None:
    need: Need | None = None
    try:
        need = preflight.memory(plan, hardware, longest)
    except ModelError as error:
        say(f"memory: not estimated: {error}")
    if need is not None:
        say(f"memory: {need.sentence}")
        fits = need
        _or_say(request, say, lambda: preflight.check_memory(fits, request.force))
    _or_say(request, say, lambda: preflight.check_disk(plan, need))


def _or_say(request: Request, say: Callable[[str], None], check: Callable[[], None]) -> None:
    """Check; where nothing will be started, say what would be refused instead."""
    try:
        check()
    except CuratrainError as error:
        if not request.dry:
            raise
        say(f"would be refused: {error}")
