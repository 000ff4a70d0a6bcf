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
class Usable:
    """What a stage can use of one data set, told in a line; `command` tells more."""

    name: str
    rows: int
    without_prompt: int
    cut: int  # rows that the cutoff shortens; 0 where that was not measured
    command: str
    line: str


@dataclass(frozen=True)
class Verdict:
    """What can be used of the data sets."""

    sets: tuple[Usable, ...]
    tokens: int | None  # of all usable rows, and of the longest, where they were counted
    longest: int | None

    @property
    def extent(self) -> Extent:
        """How much there is to train on."""
        rows = tuple(usable.rows for usable in self.sets)
        return Extent(sum(rows), self.tokens, rows)

    @property
    def half_cut(self) -> bool:
        """Whether half of the rows of a data set or more are cut."""
        return any(2 * usable.cut >= usable.rows for usable in self.sets)


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
    measure, why_not = measuring(model, cutoff, stage == "pt" and not packing)
    command = f"curate doctor --dataset-dir {folder}"
    command += "" if stage == "ppo" else f" --stage {stage}"
    if measure is not None:
        name = model.name if model.adapter is None else model.path
        command += f" --model {name} --cutoff-len {cutoff}"
    sets = tuple(_usable(folder, name, stage, measure, why_not, command) for name in names)
    counted = (measure.tokens, measure.longest) if measure is not None else (None, None)
    return Verdict(sets, *counted)


def _usable(
    folder: Path, name: str, stage: str, measure: Cutoff | None, why_not: str, command: str
) -> Usable:
    from curate.llamafactory.doctor.data_set import of_entry
    from curate.llamafactory.doctor.diagnose import diagnose

    diagnosis = diagnose(of_entry(folder, name), _JUDGED_AS.get(stage, stage), measure)
    rules, command = diagnosis.found, f"`{command} --dataset {name}`"
    if not diagnosis.usable:
        fatal = [rule for rule in rules if rule.effect in ("stops", "dropped")]
        why = f" {fatal[0].rule}: {fatal[0].says} To do: {fatal[0].do}" if fatal else ""
        raise DataError(
            f"nothing of '{name}' ({diagnosis.rows:,} rows) can be used for stage {stage}.{why} "
            f"{command} tells more, --fix writes what can be used"
        )
    line = f"{diagnosis.usable:,} of {diagnosis.rows:,} rows usable"
    worse = [rule for rule in rules if rule.effect != "note"]
    if worse:
        counts = (f"{rule.rule} {rule.count:,}" if rule.count else rule.rule for rule in worse)
        line += f" ({', '.join(counts)}; {command} explains)"
    if measure is None:
        line += f"; what the cutoff leaves was not measured: {why_not}"
    else:
        line += f"; longest row {measure.longest:,} tokens, {measure.about}"
    return Usable(
        name=name,
        rows=diagnosis.usable,
        without_prompt=max((r.count for r in rules if r.rule in _LOST_PROMPT), default=0),
        cut=measure.cut if measure is not None else 0,
        command=command,
        line=line,
    )


def check_losses(verdict: Verdict, cutoff: int | None) -> None:
    """Refuse to train on rows of which half or more are not what the user thinks."""
    for usable in verdict.sets:
        if 2 * usable.without_prompt >= usable.rows:
            raise UsageError(
                f"{usable.without_prompt:,} of {usable.rows:,} rows of '{usable.name}' have no "
                "prompt as LLaMA-Factory reads them: responses alone would be trained on. Name "
                f"the columns in dataset_info.json as the file has them; {usable.command} tells "
                "which, --fix writes them. --yes trains all the same"
            )
        if cutoff is not None and 2 * usable.cut >= usable.rows:
            raise UsageError(
                f"{usable.cut:,} of {usable.rows:,} rows of '{usable.name}' are longer than "
                f"cutoff_len {cutoff:,} and are cut; the longest row has {verdict.longest:,} "
                "tokens. Give a larger --set cutoff_len=N, or --yes to train all the same"
            )
