"""From a choice to its files and what is said of it: the end of every command that chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from curate import console
from curate.commands.options import Choosing, Emitting, Reading
from curate.errors import UsageError, check_one_of
from curate.parameters.controls import CONTROLS, ENDINGS
from curate.parameters.engine import EngineParams

if TYPE_CHECKING:
    from curate.choices.selection import Selection
    from curate.data.rows import Rows


def choose(
    reading: Reading,
    writing: Emitting,
    recipe: str,
    run: Callable[[Rows, str], Selection],
    params: object = None,
    *,
    check: Callable[[str], None] = lambda _: None,
    tell: Callable[[Selection], None] = lambda _: None,
    show: int | None = None,
    compare: bool = True,
) -> None:
    """Read rows, choose, write what is kept and show it, with the controls asked for beside it.

    `check` refuses what would fail later, by the name of the data set; `tell` shows what the recipe
    has besides; `compare` with a random choice, where controls can be asked for.
    """
    from curate.data.describe import not_used
    from curate.engine import using
    from curate.parameters.option import ending_of

    name = writing.called(reading, ending_of(recipe, params))
    controls = writing.with_control if isinstance(writing, Choosing) else None
    kinds = tuple(dict.fromkeys(controls or ()))
    writing.check(name, recipe)
    if kinds:
        _check_controls(writing, name, recipe, kinds)
    check(name)
    rows = reading.rows(writing.output)
    with using(writing if isinstance(writing, Choosing) else EngineParams()):
        selection = run(rows, name)
    drawn = None
    if compare and isinstance(writing, Choosing):
        from curate.recipes.controls import beside_as_many

        selection, drawn = beside_as_many(selection)
    tell(selection)
    files = writing.emit(selection, name)
    show_best(selection, writing.show if show is None else show)
    counts = selection.summary().as_dict()
    console.show_table(console.count_lines(counts))
    result = {"name": name, **counts, **selection.details, "files": files}
    if drawn is not None:
        result |= _compare(selection, drawn, writing, name, kinds)
    say_notes(selection.notes)
    console.say(f"'{name}' is registered for LLaMA-Factory in {writing.output}: {files[0].name}")
    console.say(f"scores of every row: {files[1]}; counts and parameters: {files[-1]}")
    console.answer({**result, "not_used": not_used(selection.rows.sources)})


def _check_controls(writing: Emitting, name: str, recipe: str, kinds: Sequence[str]) -> None:
    from curate.recipes.controls import made_by

    for kind in kinds:
        check_one_of("--with-control", kind, CONTROLS)
        if kind == recipe:
            raise UsageError(f"--with-control {kind}: the choice is by {kind} itself; leave it out")
        writing.check(name + ENDINGS[kind], made_by(kind))


def say_notes(notes: Sequence[str]) -> None:
    """Say what a user should be told, a line each."""
    for note in notes:
        console.say(f"note: {note}")


def show_best(selection: Selection, rows: int) -> None:
    """Print so many kept rows, the highest first."""
    if rows and selection.choice.kept.any():
        best = selection.top(rows).drop(columns=["id", "source"])
        console.show_table(list(best.itertuples(index=False)), list(best.columns))


def _compare(
    selection: Selection, drawn: Selection, writing: Emitting, name: str, kinds: Sequence[str]
) -> dict[str, Any]:
    from curate.recipes.controls import control, mean_score

    own, other = mean_score(selection), mean_score(drawn)
    rows = drawn.params.keep
    console.say(
        f"scores of the {rows:,} kept rows: mean {selection.ranked_by} {own:.4f}; of {rows:,} "
        f"random rows: {other:.4f}"
    )
    written: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        beside = drawn if kind == "rows" else control(selection, kind)
        called, counts = name + ENDINGS[kind], beside.summary()
        files = writing.emit(beside, called)
        what = "the random control" if kind == "rows" else f"the control of {kind}"
        console.say(f"'{called}', {what}, is registered too: {files[0].name}")
        written[kind] = {
            "kind": kind,
            "name": called,
            "kept": counts.kept,
            "tokens": counts.tokens,
            "mean": mean_score(beside),
            "files": files,
        }
    result: dict[str, Any] = {"controls": list(written.values())} if written else {}
    if of_rows := written.get("rows"):
        names = {"name": of_rows["name"], "score": selection.ranked_by, "mean": own}
        result["control"] = {**names, "random_mean": other, "files": of_rows["files"]}
    return result
