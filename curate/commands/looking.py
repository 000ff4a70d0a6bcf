"""Commands that look at data: `advise`, `show`, `report`, `doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.commands.options import LIKE, AsJson, Overwrite, Reading, sets_of
from curate.commands.result import say_notes
from curate.commands.with_options import with_options
from curate.errors import UsageError
from curate.parameters.doctor import DoctorParams
from curate.parameters.option import flag, option
from curate.parameters.report import ReportParams

_DESCRIBED = ("flaw", "language", "where", "responses", "prompt_characters", "response_characters")

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.data.rows import Rows
    from curate.emission.score_files import Joined
    from curate.llamafactory.doctor.data_set import DataSet
    from curate.llamafactory.doctor.findings import Diagnosis


@with_options
def advise(
    reading: Reading,
    like: list[str] | None = option(**LIKE),
    as_json: AsJson = False,
) -> None:
    """Say which commands fit these rows, ready to paste, and what the evidence for each is.

    Looks at rows, tokens, languages, duplicates and lengths; no model is asked, and nothing is
    written. What is printed is a shell script: the commands, and why, as its comments.

    Example: curate advise --input huatuo.json --like questions.txt
    """
    from curate.data.describe import not_used
    from curate.recipes import advise as recipe

    reading = reading.with_names()
    rows = reading.rows()
    again: list[str] = []  # the options that read the same rows
    for name in ("dataset", "input", "dataset_dir", "format", "fill", "columns", "roles"):
        values = getattr(reading, name) or []
        values = values if isinstance(values, list) else [values]
        values = [*values, *(reading.more or ())] if name == "input" else values
        again += [flag(name), *map(str, values)] if values else []
    advice = recipe.advise(rows, sets_of(like), again, reading.folder())
    console.show_table(advice.lines(), on=console.stderr())
    console.stdout().print(advice.script(), markup=False, emoji=False, soft_wrap=True)
    say_notes(advice.notes)
    console.answer({**asdict(advice), "not_used": not_used(rows.sources)})


@with_options
def show(
    reading: Reading,
    id: list[str] | None = option(
        None, "These rows; the first digits of an id are enough.", metavar="ID…"
    ),
    where: str | None = option(
        None, f"Rows for which this holds: {', '.join(_DESCRIBED)}, and --scores'."
    ),
    number: Annotated[int, typer.Option("-n", "--number", help="So many rows.", min=1)] = 3,
    scores: list[Path] | None = option(
        None, "NAME.scores.parquet; default: the one beside a file of that name.", metavar="F…"
    ),
    as_json: AsJson = False,
) -> None:
    """Show whole rows, from any file or registered data set: tables print no more than ids.

    Example: curate show huatuo.json --where "response_characters < 20" -n 5
    """
    import numpy as np

    from curate.data.cards import as_json as card_as_json
    from curate.data.cards import card_lines
    from curate.emission.score_files import ENDING, Joined

    reading = reading.with_names()
    rows = reading.rows()
    beside = (path.with_name(path.stem + ENDING) for path in reading.paths())
    files = scores or [file for file in beside if file.is_file()]
    joined = Joined(files, rows.ids)
    mask = np.ones(len(rows), dtype=bool)
    if where is not None:
        mask &= _holds(where, rows, joined)
    if id:
        mask &= _named(id, rows)
    places = np.flatnonzero(mask)
    shown = places if id else places[:number]
    cards = list(zip((rows[int(place)] for place in shown), joined.lines(shown), strict=True))
    for row, values in () if as_json else cards:
        for at, line in enumerate((*card_lines(row, values), "")):
            style = "" if at else "bold"
            console.stdout().print(line, style=style, markup=False, emoji=False, soft_wrap=True)
    if len(shown) < len(places):
        console.say(f"{len(shown):,} of {len(places):,} rows; -n {len(places)} shows all of them")
    elif not len(places):
        console.say("no row is like that")
    found = [card_as_json(row, values) for row, values in cards] if as_json else []
    console.answer({"rows": found, "matching": len(places)})


def _holds(where: str, rows: Rows, joined: Joined) -> NDArray[np.bool_]:
    """Return for which rows an expression over descriptions and scores holds, (n,)."""
    from curate.data.expression import SHORT, parse_expression, unknown_column

    expression = parse_expression(where, "--where")
    names = [*_DESCRIBED, *joined.names()]
    columns: dict[str, NDArray[Any]] = {}
    for name in expression.columns():
        if name in _DESCRIBED:
            columns[name] = rows.table.column(name).to_numpy()
        elif joined.files and ("." in name or SHORT.get(name, name) in names):
            columns[name] = joined.column(name, "--where")
        else:
            raise unknown_column(name, names, "--where", "the rows and their scores")
    return expression.truths(columns, len(rows))


def _named(ids: list[str], rows: Rows) -> NDArray[np.bool_]:
    """Return which rows have one of the ids, (n,); the start of an id names all that begin so."""
    import numpy as np

    mask = np.zeros(len(rows), dtype=bool)
    for wanted in ids:
        exact = rows.ids == wanted
        begins = exact if exact.any() else np.array([each.startswith(wanted) for each in rows.ids])
        if not wanted or not begins.any():
            raise UsageError(
                f"--id {wanted}: no row has it; ids are 16 of 0-9 and a-f, as tables and scores "
                "files have them, and those of the rows of another file are not here"
            )
        mask |= begins
    return mask


@with_options
def report(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `curate ls` has it.")],
    params: ReportParams,
    output: Path | None = option(
        None, "The page.", metavar="FILE", shown="NAME.report.html beside the data"
    ),
    as_json: AsJson = False,
) -> None:
    """Write one page that shows a choice: numbers, map, rows, beside a random choice of its size.

    The page loads nothing from anywhere; it can be sent to who is to judge the rows.

    Example: curate report huatuo_ifd
    """
    from curate.reports import page

    written = page.report(name, output, params=params)
    table = page.beside(written)
    console.say(f"open {written} in a browser ({console.size(written.stat().st_size)})")
    if params.table:
        console.say(f"embedding-atlas {table} --text text --x x --y y opens its map")
    files = [written, table] if params.table else [written]
    console.answer({"name": name, "files": files})


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
