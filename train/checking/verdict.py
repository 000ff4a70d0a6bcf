"""What LLaMA-Factory will do with the rows: the doctor's verdict for this stage and cutoff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import DataError
from train.planning.schedule import Extent

if TYPE_CHECKING:
    from curate.data.doctor.diagnosis import Diagnosis
    from train.checking.measuring import Counting

# LLaMA-Factory reads the prompts of ordinary rows for PPO.
_JUDGED_AS = {"ppo": "sft"}


@dataclass(frozen=True)
class Verdict:
    """What can be used of the data sets.

    Attributes:
        extent: Rows and tokens.
        longest: Tokens of the longest row; None where they were not counted.
        lines: One for each data set, for people.
    """

    extent: Extent
    longest: int | None
    lines: tuple[str, ...]


def judge(
    folder: Path,
    names: Sequence[str],
    stage: str,
    counting: Counting | None,
    why_not: str = "",
    command: str = "curate doctor",
) -> Verdict:
    """Ask the doctor about every data set of a training.

    Args:
        folder: Of dataset_info.json.
        names: In it.
        stage: pt, sft, rm, ppo, dpo or kto.
        counting: Measures rows; None where that cannot be done.
        why_not: Why it cannot.
        command: That explains more; the data set is added.

    Raises:
        DataError: LLaMA-Factory would end on the data, or nothing of it can be used.
    """
    from curate.data.doctor.subject import of_entry
    from curate.data.doctor.visit import diagnose

    sets, lines = [], []
    for name in names:
        found = diagnose(of_entry(folder, name), _JUDGED_AS.get(stage, stage), counting)
        more = f"`{command} --dataset {name}`"
        _refuse(found, stage, more)
        sets.append(found.usable)
        lines.append(_line(found, counting, why_not, more))
    if counting is None:
        return Verdict(Extent(sum(sets), None, tuple(sets)), None, tuple(lines))
    extent = Extent(sum(sets), counting.tokens, tuple(sets))
    return Verdict(extent, counting.longest, tuple(lines))


def _refuse(found: Diagnosis, stage: str, command: str) -> None:
    if found.usable:
        return
    first = next((each for each in found.found if each.effect in ("stops", "dropped")), None)
    why = f" {first.rule}: {first.says} To do: {first.do}" if first else ""
    raise DataError(
        f"nothing of '{found.name}' ({found.rows:,} rows) can be used for stage {stage}.{why} "
        f"{command} tells more, --fix writes what can be used"
    )


def _line(found: Diagnosis, counting: Counting | None, why_not: str, command: str) -> str:
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
