"""From a choice to its files and what is said of it: the end of every command that chooses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from curate import console
from curate.commands.options import Reading, Writing
from curate.errors import UsageError, check_one_of
from curate.parameters.controls import CONTROLS

if TYPE_CHECKING:
    from curate.data.rows import Rows
    from curate.selection import Selection


def choose(
    reading: Reading,
    writing: Writing,
    recipe: str,
    run: Callable[[Rows, str], Selection],
    controls: Sequence[str] | None = None,
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
        controls: Kinds of controls to write, too; None does not even compare with one.
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
    kinds = tuple(dict.fromkeys(controls or ()))
    check_targets(writing, name, recipe, kinds)
    check(name)
    selection = run(reading.rows(writing.output), name)
    drawn = None
    if controls is not None:
        from curate.recipes.controls import beside_as_many

        selection, drawn = beside_as_many(selection)
    tell(selection)
    files = emit(selection, writing.output, name, writing.overwrite)
    show_best(selection, writing.show if show is None else show, writing.as_json)
    counts = selection.summary().as_dict()
    console.counts_table(counts, console.stderr() if writing.as_json else None)
    result = {"name": name, **counts, **selection.details, "files": [str(file) for file in files]}
    if drawn is not None:
        result |= _compare(selection, drawn, writing, name, kinds)
    result["not_used"] = not_used(selection.rows.sources)
    for note in selection.notes:
        console.say(f"note: {note}")
    console.say(f"'{name}' is registered for LLaMA-Factory in {writing.output}: {files[0].name}")
    console.say(f"scores of every row: {files[1]}; counts and parameters: {files[-1]}")
    if writing.as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))


def check_targets(writing: Writing, name: str, recipe: str, controls: Sequence[str] = ()) -> None:
    """Refuse what could not be written, before hours are spent on it; controls' names, too."""
    from curate.emission.emit import check_target

    check_target(writing.output, name, recipe, writing.overwrite)
    if not controls:
        return
    from curate.recipes.controls import ENDINGS, made_by

    for kind in controls:
        check_one_of("--with-control", kind, CONTROLS)
        if kind == recipe:
            raise UsageError(f"--with-control {kind}: the choice is by {kind} itself; leave it out")
        check_target(writing.output, name + ENDINGS[kind], made_by(kind), writing.overwrite)


def show_best(selection: Selection, rows: int, as_json: bool) -> None:
    """Print so many kept rows, the highest first."""
    if rows and selection.choice.kept.any():
        best = selection.top(rows).drop(columns=["id", "source"])
        goes_to = console.stderr() if as_json else None
        console.show_table(list(best.itertuples(index=False)), list(best.columns), goes_to)


def _compare(
    selection: Selection, drawn: Selection, writing: Writing, name: str, kinds: Sequence[str]
) -> dict[str, Any]:
    """Say the mean score beside that of as many random rows; write the controls asked for."""
    from curate.recipes.controls import ENDINGS, control, mean_score
    from curate.selection import emit

    own, other = mean_score(selection), mean_score(drawn)
    rows = drawn.params.keep
    console.say(
        f"scores of the {rows:,} kept rows: mean {selection.ranked_by} {own:.4f}; of {rows:,} "
        f"random rows: {other:.4f}"
    )
    written: list[dict[str, Any]] = []
    for kind in kinds:
        beside = drawn if kind == "rows" else control(selection, kind)
        called, counts = name + ENDINGS[kind], beside.summary()
        files = emit(beside, writing.output, called, writing.overwrite)
        what = "the random control" if kind == "rows" else f"the control of {kind}"
        console.say(f"'{called}', {what}, is registered too: {files[0].name}")
        written.append(
            {
                "kind": kind,
                "name": called,
                "kept": counts.kept,
                "tokens": counts.tokens,
                "mean": mean_score(beside),
                "files": [str(file) for file in files],
            }
        )
    result: dict[str, Any] = {"controls": written} if written else {}
    if "rows" in kinds:
        files_of = next(each["files"] for each in written if each["kind"] == "rows")
        of_rows = {"name": name + ENDINGS["rows"], "score": selection.ranked_by, "mean": own}
        result["control"] = {**of_rows, "random_mean": other, "files": files_of}
    return result
