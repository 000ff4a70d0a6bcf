"""From a choice to its files and what is said of it: the end of every command that chooses."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from curate import console
from curate.commands.options import Reading, Writing

if TYPE_CHECKING:
    from curate.data.rows import Rows
    from curate.selection import Selection


def choose(
    reading: Reading,
    writing: Writing,
    recipe: str,
    run: Callable[[Rows, str], Selection],
    with_control: bool | None = None,
    check: Callable[[str], None] = lambda _: None,
    tell: Callable[[Selection], None] = lambda _: None,
    show: int | None = None,
) -> None:
    """Read rows, choose, write what is kept and show it.

    Args:
        reading: What is read.
        writing: Where it goes.
        recipe: Its name, which a data set without one ends in.
        run: Takes the rows and the name of the data set.
        with_control: As emit_and_show() has it.
        check: Refuses what would fail later, by the name of the data set.
        tell: Shows what the recipe has besides.
        show: Kept rows to print; None for as many as asked for.
    """
    from curate.emission.emit import default_name
    from curate.models.quiet import set_verbose

    set_verbose(writing.verbose)
    name = writing.name or default_name(reading.paths()[0], recipe)
    check_targets(writing.output, name, recipe, writing.overwrite, bool(with_control))
    check(name)
    selection = run(reading.rows(), name)
    tell(selection)
    emit_and_show(
        selection,
        writing.output,
        name,
        writing.overwrite,
        writing.show if show is None else show,
        writing.as_json,
        with_control,
    )


def check_targets(
    output: Path, name: str, recipe: str, overwrite: bool, with_control: bool
) -> None:
    """Refuse what could not be written, before hours are spent on it; the control's name, too."""
    from curate.emission.emit import check_target

    check_target(output, name, recipe, overwrite)
    if with_control:
        from curate.recipes import random_control

        check_target(output, name + random_control.ENDING, random_control.NAME, overwrite)


def emit_and_show(
    selection: Selection,
    output: Path,
    name: str,
    overwrite: bool,
    show: int,
    as_json: bool,
    control: bool | None = None,
) -> None:
    """Write a selection, then show what was kept and dropped, and where it lies."""
    from curate.selection import emit

    files = emit(selection, output, name, overwrite)
    counts = dataclasses.asdict(selection.summary())
    table_goes = console.stderr() if as_json else None
    if show:
        best = selection.top(show).drop(columns=["id", "source"])
        console.show_table(list(best.itertuples(index=False)), list(best.columns), table_goes)
    console.counts_table(counts, table_goes)
    result = {"name": name, **counts, **selection.details, "files": [str(file) for file in files]}
    if control is not None:
        result |= _compare(selection, output, name, overwrite, control)
    for note in selection.notes:
        console.say(f"note: {note}")
    console.say(f"'{name}' is registered for LLaMA-Factory in {output}: {files[0].name}")
    console.say(f"scores of every row: {files[1]}; counts and parameters: {files[-1]}")
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))


def _compare(
    selection: Selection, output: Path, name: str, overwrite: bool, write: bool
) -> dict[str, Any]:
    """Say the mean score beside that of a random choice of the same size; write that, if asked."""
    from curate.recipes import random_control
    from curate.selection import emit

    drawn = random_control.control(selection)
    own, other = random_control.mean_score(selection), random_control.mean_score(drawn)
    rows = drawn.params.keep
    console.say(
        f"scores of the {rows:,} kept rows: mean {selection.ranked_by} {own:.4f}; of {rows:,} "
        f"random rows: {other:.4f}"
    )
    if not write:
        return {}
    called = name + random_control.ENDING
    files = emit(drawn, output, called, overwrite)
    console.say(f"'{called}', the random control, is registered too: {files[0].name}")
    result = {"name": called, "score": selection.ranked_by, "mean": own, "random_mean": other}
    return {"control": {**result, "files": [str(file) for file in files]}}
