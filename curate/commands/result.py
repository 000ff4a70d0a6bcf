"""From a choice to its files and what is said of it: the end of every command that chooses."""

from __future__ import annotations

import json
from collections.abc import Callable
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
        with_control: Write a random choice of the same size, too; None does not even compare.
        check: Refuses what would fail later, by the name of the data set.
        tell: Shows what the recipe has besides.
        show: Kept rows to print; None for as many as asked for.
    """
    from curate.data.describe import not_used
    from curate.emission.emit import default_name
    from curate.models.quiet import set_verbose
    from curate.selection import emit

    set_verbose(writing.verbose)
    name = writing.name or default_name(reading.called(writing.output), recipe)
    check_targets(writing, name, recipe, bool(with_control))
    check(name)
    selection = run(reading.rows(writing.output), name)
    tell(selection)
    files = emit(selection, writing.output, name, writing.overwrite)
    show_best(selection, writing.show if show is None else show, writing.as_json)
    counts = selection.summary().as_dict()
    console.counts_table(counts, console.stderr() if writing.as_json else None)
    result = {"name": name, **counts, **selection.details, "files": [str(file) for file in files]}
    if with_control is not None:
        result |= _compare(selection, writing, name, with_control)
    result["not_used"] = not_used(selection.rows.sources)
    for note in selection.notes:
        console.say(f"note: {note}")
    console.say(f"'{name}' is registered for LLaMA-Factory in {writing.output}: {files[0].name}")
    console.say(f"scores of every row: {files[1]}; counts and parameters: {files[-1]}")
    if writing.as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))


def check_targets(writing: Writing, name: str, recipe: str, with_control: bool = False) -> None:
    """Refuse what could not be written, before hours are spent on it; the control's name, too."""
    from curate.emission.emit import check_target

    check_target(writing.output, name, recipe, writing.overwrite)
    if with_control:
        from curate.recipes import random_control

        control = name + random_control.ENDING
        check_target(writing.output, control, random_control.NAME, writing.overwrite)


def show_best(selection: Selection, rows: int, as_json: bool) -> None:
    """Print so many kept rows, the highest first."""
    if rows and selection.choice.kept.any():
        best = selection.top(rows).drop(columns=["id", "source"])
        goes_to = console.stderr() if as_json else None
        console.show_table(list(best.itertuples(index=False)), list(best.columns), goes_to)


def _compare(selection: Selection, writing: Writing, name: str, write: bool) -> dict[str, Any]:
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
    control = name + random_control.ENDING
    files = emit(drawn, writing.output, control, writing.overwrite)
    console.say(f"'{control}', the random control, is registered too: {files[0].name}")
    result = {"name": control, "score": selection.ranked_by, "mean": own, "random_mean": other}
    return {"control": {**result, "files": [str(file) for file in files]}}
