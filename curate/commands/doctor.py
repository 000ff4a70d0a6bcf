"""`curate doctor`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from curate import console
from curate.commands.options import AsJson, Overwrite, Reading
from curate.commands.result import say_notes
from curate.commands.with_options import with_options
from curate.errors import UsageError
from curate.parameters.doctor import DoctorParams

if TYPE_CHECKING:
    from curate.llamafactory.doctor.data_set import DataSet
    from curate.llamafactory.doctor.findings import Diagnosis


@with_options
def doctor(
    *, reading: Reading, params: DoctorParams, overwrite: Overwrite = False, as_json: AsJson = False
) -> None:
    """Tell what LLaMA-Factory 0.9.5 will do with a data set: what it uses, drops, loses in silence.

    A file is judged under the entry that most people would write for it; a registered data set
    under its own. With --content it tells instead what the rows say: identifiers of people, and
    answers gone wrong. Ends with 1 if anything is lost or found, and with 0 if all is well.

    Example: curate doctor --input dpo_zh.jsonl --fix
    """
    from curate.llamafactory.doctor.data_set import data_sets
    from curate.llamafactory.doctor.diagnose import diagnose
    from curate.llamafactory.doctor.findings import as_json as json_of
    from curate.llamafactory.doctor.repair import repair
    from curate.llamafactory.doctor.stages import ANYTHING
    from curate.llamafactory.doctor.truncation import cutoff_of

    measure, stage = cutoff_of(params), params.stage
    takes = measure.takes if measure else ANYTHING
    how = reading.how() if reading.input or reading.more or reading.dataset else {}
    texts = how.pop("fill", {})
    if texts and not params.fix:
        raise UsageError("--fill puts text where rows have placeholders, and goes with --fix")
    diagnoses: list[Diagnosis] = []
    repaired: list[dict[str, Any]] = []
    lost = False
    how |= {"paths": how.get("paths"), "dataset_dir": reading.dataset_dir}
    for data_set in data_sets(**{"dataset": reading.dataset, **how}):
        if params.content:
            lost = _content(data_set, params, overwrite, diagnoses, repaired) or lost
            continue
        before = diagnose(data_set, stage, measure)
        _show(before)
        diagnoses.append(before)
        lost = lost or not (before.well or params.fix)
        if params.fix and before.well:
            console.say("nothing to repair, nothing was written")
        elif params.fix:
            written = repair(data_set, params.output, overwrite, texts, takes)
            after = diagnose(written.data_set, stage, measure)
            lines = [("usable before", before.usable), ("written", written.written)]
            lines += [(f"left out: {reason}", rows) for reason, rows in written.dropped.items()]
            console.show_table([*lines, ("usable after", after.usable)])
            _print(after.explained())
            console.say(
                f"'{after.name}' is registered for LLaMA-Factory; {data_set.name} is as it was"
            )
            lost = lost or bool(written.dropped) or not after.well
            repaired.append({**after.as_dict(), "dropped": written.dropped, "files": written.files})
    written_as = "fixed" if params.fix else "written"
    console.answer(json_of(diagnoses) | ({written_as: repaired} if repaired or params.fix else {}))
    if lost:
        raise typer.Exit(1)


def _content(
    data_set: DataSet,
    params: DoctorParams,
    overwrite: bool,
    diagnoses: list[Diagnosis],
    written: list[dict[str, Any]],
) -> bool:
    """Show what rows say, write them if asked to; tell whether something is found, or left."""
    from curate.llamafactory.doctor.findings import HEADER
    from curate.recipes.content import content_of

    selection, (before, *copies), files = content_of(data_set, params, overwrite)
    diagnoses.append(before)
    say_notes(selection.notes)
    if lines := before.lines():
        console.show_table(lines, HEADER)
    _print([*before.explained(), before.summary()])
    for after in copies:
        counts = selection.summary().as_dict()
        console.show_table(console.count_lines(counts))
        _print([f"left in {after.summary()}"])
        console.say(f"'{after.name}' is registered for LLaMA-Factory: {files[0]}")
        more = {**selection.details, "dropped": counts["dropped"]}
        written.append({**after.as_dict(), **more, "files": files})
    return not [before, *copies][-1].well


def _show(diagnosis: Diagnosis) -> None:
    from curate.llamafactory.doctor.findings import HEADER

    how = "judged as most people would register it" if diagnosis.assumed else "entry"
    console.say(f"{diagnosis.name}: {how}: {json.dumps(diagnosis.entry, ensure_ascii=False)}")
    if diagnosis.better is not None and not diagnosis.well:
        console.say(f"  curate registers: {json.dumps(diagnosis.better, ensure_ascii=False)}")
    if lines := diagnosis.lines():
        console.show_table(lines, HEADER)
    _print([*diagnosis.explained(), diagnosis.summary()])


def _print(lines: list[str]) -> None:
    for line in lines:
        console.stdout().print(line, markup=False, emoji=False, soft_wrap=True)
