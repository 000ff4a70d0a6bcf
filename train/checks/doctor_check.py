"""What LLaMA-Factory will do with the rows: the doctor's verdict for this stage and cutoff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import DataError, UsageError
from train.config.model import Model
from train.config.schedule import Extent

if TYPE_CHECKING:
    from curate.llamafactory.doctor.diagnosis import Diagnosis
    from curate.llamafactory.doctor.truncation import Cutoff

_LOST_PROMPT = {"lost_prompt", "empty_prompt"}
# LLaMA-Factory reads the prompts of ordinary rows for PPO.
_JUDGED_AS = {"ppo": "sft"}
# Templates that differ from chatml in their system prompt alone, as far as lengths go.
_LIKE_CHATML = {
    "qwen": "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    "qwen3_nothink": "",
    "smollm2": "You are a helpful AI assistant named SmolLM, trained by Hugging Face.",
}


@dataclass(frozen=True)
class Losses:
    """What one data set loses though its rows are usable; `command` tells more."""

    name: str
    usable: int
    without_prompt: int
    cut: int  # rows that the cutoff shortens; 0 where that was not measured
    command: str


@dataclass(frozen=True)
class Verdict:
    """What can be used of the data sets, and a line of each for people."""

    extent: Extent
    longest: int | None  # tokens of the longest row, where they were counted
    lines: tuple[str, ...]
    losses: tuple[Losses, ...]

    @property
    def half_cut(self) -> bool:
        """Whether half of the rows of a data set or more are cut."""
        return any(2 * losses.cut >= losses.usable for losses in self.losses)


def measuring(model: Model, cutoff: int, unpacked: bool) -> tuple[Cutoff | None, str]:
    """Return what measures rows with a model's tokenizer, or None and why there is no measuring."""
    from curate.llamafactory.doctor.templates import TEMPLATES, template_in
    from curate.llamafactory.doctor.truncation import cutoff_in

    if model.folder is None or not (model.folder / "tokenizer.json").is_file():
        return None, "the model's tokenizer.json is not here"
    name = model.template or "own"
    if name in _LIKE_CHATML:
        template = replace(TEMPLATES["chatml"], name=name, default_system=_LIKE_CHATML[name])
    elif name in TEMPLATES or name == "own":
        template = template_in(model.folder, name)
    else:
        return None, f"template {name} is not one that is measured"
    return cutoff_in(model.folder, cutoff, template, unpacked), ""


def judge(
    folder: Path, names: Sequence[str], stage: str, model: Model, cutoff: int, packing: bool
) -> Verdict:
    """Ask the doctor about every data set of a training."""
    from curate.llamafactory.doctor.data_set import of_entry
    from curate.llamafactory.doctor.diagnose import diagnose

    measure, why_not = measuring(model, cutoff, stage == "pt" and not packing)
    command = f"curate doctor --dataset-dir {folder}"
    command += "" if stage == "ppo" else f" --stage {stage}"
    if measure is not None:
        name = model.name if model.adapter is None else model.path
        command += f" --model {name} --cutoff-len {cutoff}"
    lines, all_losses = [], []
    for name in names:
        diagnosis = diagnose(of_entry(folder, name), _JUDGED_AS.get(stage, stage), measure)
        more = f"`{command} --dataset {name}`"
        _refuse_unusable(diagnosis, stage, more)
        lines.append(_line(diagnosis, measure, why_not, more))
        lost = [rule.count for rule in diagnosis.found if rule.rule in _LOST_PROMPT]
        losses = Losses(
            name=name,
            usable=diagnosis.usable,
            without_prompt=max(lost, default=0),
            cut=measure.cut if measure else 0,
            command=more,
        )
        all_losses.append(losses)
    sets = tuple(losses.usable for losses in all_losses)
    extent = Extent(sum(sets), measure.tokens if measure else None, sets)
    return Verdict(
        extent=extent,
        longest=measure.longest if measure else None,
        lines=tuple(lines),
        losses=tuple(all_losses),
    )


def check_losses(verdict: Verdict, cutoff: int | None) -> None:
    """Refuse to train on rows of which half or more are not what the user thinks."""
    for losses in verdict.losses:
        if 2 * losses.without_prompt >= losses.usable:
            raise UsageError(
                f"{losses.without_prompt:,} of {losses.usable:,} rows of '{losses.name}' have no "
                "prompt as LLaMA-Factory reads them: responses alone would be trained on. Name "
                f"the columns in dataset_info.json as the file has them; {losses.command} tells "
                "which, --fix writes them. --yes trains all the same"
            )
        if cutoff is not None and 2 * losses.cut >= losses.usable:
            raise UsageError(
                f"{losses.cut:,} of {losses.usable:,} rows of '{losses.name}' are longer than "
                f"cutoff_len {cutoff:,} and are cut; the longest row has {verdict.longest:,} "
                "tokens. Give a larger --set cutoff_len=N, or --yes to train all the same"
            )


def _refuse_unusable(diagnosis: Diagnosis, stage: str, command: str) -> None:
    if diagnosis.usable:
        return
    rules = [rule for rule in diagnosis.found if rule.effect in ("stops", "dropped")]
    why = f" {rules[0].rule}: {rules[0].says} To do: {rules[0].do}" if rules else ""
    raise DataError(
        f"nothing of '{diagnosis.name}' ({diagnosis.rows:,} rows) can be used for stage {stage}."
        f"{why} {command} tells more, --fix writes what can be used"
    )


def _line(diagnosis: Diagnosis, measure: Cutoff | None, why_not: str, command: str) -> str:
    text = f"{diagnosis.usable:,} of {diagnosis.rows:,} rows usable"
    counts = [
        f"{rule.rule} {rule.count:,}" if rule.count else rule.rule
        for rule in diagnosis.found
        if rule.effect != "note"
    ]
    if counts:
        text += f" ({', '.join(counts)}; {command} explains)"
    if measure is None:
        return f"{text}; what the cutoff leaves was not measured: {why_not}"
    return f"{text}; longest row {measure.longest:,} tokens, {measure.about}"
