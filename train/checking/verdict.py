"""What LLaMA-Factory will do with the rows: the doctor's verdict for this stage and cutoff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import DataError, UsageError
from train.planning.schedule import Extent

if TYPE_CHECKING:
    from curate.llamafactory.doctor.diagnosis import Diagnosis
    from curate.llamafactory.doctor.truncation import Cutoff

_LOST_PROMPT = {"lost_prompt", "empty_prompt"}
# LLaMA-Factory reads the prompts of ordinary rows for PPO.
_JUDGED_AS = {"ppo": "sft"}


@dataclass(frozen=True)
class Losses:
    """What one data set loses though its rows are usable.

    Attributes:
        name: Of the data set.
        usable: Rows.
        without_prompt: Rows whose prompt is lost or empty.
        cut: Rows that the cutoff shortens; 0 where that was not measured.
        command: That tells more.
    """

    name: str
    usable: int
    without_prompt: int
    cut: int
    command: str


@dataclass(frozen=True)
class Verdict:
    """What can be used of the data sets.

    Attributes:
        extent: Rows and tokens.
        longest: Tokens of the longest row; None where they were not counted.
        lines: One for each data set, for people.
        losses: Of each data set.
    """

    extent: Extent
    longest: int | None
    lines: tuple[str, ...]
    losses: tuple[Losses, ...] = ()

    @property
    def half_cut(self) -> bool:
        """Whether half of the rows of a data set or more are cut."""
        return any(2 * each.cut >= each.usable for each in self.losses)


def judge(
    folder: Path,
    names: Sequence[str],
    stage: str,
    counting: Cutoff | None,
    why_not: str = "",
    command: str = "curate doctor",
) -> Verdict:
    """Ask the doctor about every data set of a training."""
    from curate.llamafactory.doctor.data_set import of_entry
    from curate.llamafactory.doctor.visit import diagnose

    sets, lines, losses = [], [], []
    for name in names:
        found = diagnose(of_entry(folder, name), _JUDGED_AS.get(stage, stage), counting)
        more = f"`{command} --dataset {name}`"
        _refuse(found, stage, more)
        sets.append(found.usable)
        lines.append(_line(found, counting, why_not, more))
        lost = max((each.count for each in found.found if each.rule in _LOST_PROMPT), default=0)
        cut = counting.cut if counting else 0
        losses.append(
            Losses(name=name, usable=found.usable, without_prompt=lost, cut=cut, command=more)
        )
    tokens, longest = (counting.tokens, counting.longest) if counting else (None, None)
    extent = Extent(sum(sets), tokens, tuple(sets))
    return Verdict(extent, longest, tuple(lines), tuple(losses))


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


def _refuse(found: Diagnosis, stage: str, command: str) -> None:
    if found.usable:
        return
    first = next((each for each in found.found if each.effect in ("stops", "dropped")), None)
    why = f" {first.rule}: {first.says} To do: {first.do}" if first else ""
    raise DataError(
        f"nothing of '{found.name}' ({found.rows:,} rows) can be used for stage {stage}.{why} "
        f"{command} tells more, --fix writes what can be used"
    )


def _line(found: Diagnosis, counting: Cutoff | None, why_not: str, command: str) -> str:
    text = f"{found.usable:,} of {found.rows:,} rows usable"
    counts = [
        f"{each.rule} {each.count:,}" if each.count else each.rule
        for each in found.found
        if each.effect != "note"
    ]
    if counts:
        text += f" ({', '.join(counts)}; {command} explains)"
    if counting is None:
        return f"{text}; what the cutoff leaves was not measured: {why_not}"
    return f"{text}; longest row {counting.longest:,} tokens, {counting.about}"
