"""`curate distill`: rows made by asking a language model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from curate import console
from curate.commands.options import FILES, Answers, More, Reading, inputs, say_what_was_read
from curate.commands.with_options import add, with_options
from curate.errors import CuratrainError, UsageError
from curate.parameters.distill import QUESTIONS, VERBS, Asking
from curate.parameters.option import option

if TYPE_CHECKING:
    from curate.data.rows import Rows
    from curate.distill.emission import Made

app = typer.Typer(
    help="Make rows by asking a model behind a server: answers, rewritten answers, questions about "
    "texts, tasks, dialogues, pairs, points. What was answered is kept beside the data, and is "
    "never asked for again: the same command goes on from there.",
    no_args_is_help=True,
)


def _add(params_class: type[Asking]) -> None:
    verb = params_class.verb

    def of_rows(reading: Reading, params: Any, writing: Answers) -> None:
        def rows() -> Rows:
            from curate.distill.making import read_questions

            if verb not in QUESTIONS:
                return reading.rows(writing.output)
            how = reading.how(writing.output)
            read = read_questions(how.pop("paths"), **how)
            say_what_was_read(read)
            return read

        if getattr(params, "n", 1) > 1 and params.temperature == 0:
            equal = f"--n {params.n} with --temperature 0 asks for {params.n} equal answers"
            console.say(f"note: {equal}")
        _distill(reading.called(writing.output), params, writing, rows)

    def of_texts(
        *,
        input: list[Path] | None = option(**FILES),
        more: More = None,
        params: Any,
        writing: Answers,
    ) -> None:
        paths = inputs(input, more)
        _distill(paths[0], params, writing, lambda: paths)

    def of_examples(*, params: Any, writing: Answers) -> None:
        if not params.examples:
            raise UsageError("--examples is not given; give rows that show what is wanted")
        of_rows(Reading(input=list(params.examples)), params, writing)

    command: Any = {"document": of_texts, "instruct": of_examples}.get(verb, of_rows)
    command.__annotations__["params"], command.__doc__ = params_class, params_class.__doc__
    add(app, verb, with_options(command))


for _params in VERBS:
    _add(_params)


def _distill(
    called: Path, params: Asking, writing: Answers, what: Callable[[], Rows | list[Path]]
) -> None:
    """Ask, write what was answered, and say what became of every question, and what it cost."""
    from curate.data.describe import counted
    from curate.distill.making import make
    from curate.emission.emit import default_name

    name, bar = writing.name or default_name(called, params.verb), console.progress("asking")

    def asking(places: int) -> Callable[[int], None]:
        bar.start(places, places, 0)
        return bar.advance

    try:
        made = make(what, params, writing.output, name, writing.overwrite, asking)
    finally:
        bar.stop()
    if made.estimate:
        told = asdict(made.estimate)
        by = f"by the tokenizer of {params.tokenizer}" if params.tokenizer else "about"
        responses = "as many as --max-tokens allows, each"
        if made.estimate.response_tokens is not None:
            responses = f"{made.estimate.response_tokens:,}, as long as answers were until now"
        console.say(f"nothing is sent. To ask: {counted(made.estimate.requests, 'request')}")
        prompts = f"{made.estimate.prompt_tokens:,} ({by})"
        console.say(f"tokens of prompts: {prompts}; of answers: {responses}")
        if (most := made.estimate.most_cost) is not None:
            cost = made.estimate.cost
            about = "" if cost is None else f"about {cost:.6g}, and "
            console.say(f"cost: {about}at most {most:.6g}, each request sent once")
    else:
        console.show_table(console.count_lines(made.counts))
        files = [writing.output / file for file in made.files]
        told = {"name": name, **made.counts, **_told(made, params), "files": files}
        console.say(f"'{name}' is in {writing.output}: {made.files[0]}")
        console.say(f"{made.answers:,} answers, of other settings too, are kept in {made.ledger}")
    console.answer(told)
    if isinstance(made.stopped, CuratrainError):
        raise made.stopped


def _told(made: Made, params: Asking) -> dict[str, Any]:
    """Say what was asked, what it cost, and what is left; return it."""
    from curate.data.describe import counted
    from curate.distill.emission import NOTES
    from curate.distill.run import BUDGET

    for base, settings in made.left_out.items():
        for setting, words in settings.items():
            console.say(f"note: {base} does not take {setting} ({words})")
    tokens = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in made.tokens.items())
    told = {
        **{"asked": made.asked, "failed": made.failed, "sent_without_outcome": made.lost},
        **{"answers_kept": made.answers, "tokens": dict(made.tokens)},
    }
    console.say(f"{counted(made.asked, 'request')} sent; the rows took {tokens or 'no tokens'}")
    if params.price:
        told |= {"cost": made.cost, "spent": made.spent, "max_cost": params.max_cost}
        most = "" if params.max_cost is None else f" of {params.max_cost:g}"
        lost = f", {made.lost:,} requests without an outcome at their most" if made.lost else ""
        console.say(f"cost: {made.cost:.6g}; spent in all: {made.spent:.6g}{most}{lost}")
    if made.stopped == BUDGET:
        told["stopped"] = BUDGET
        console.say(
            f"stopped at the budget: {made.scored:,} of {made.counts['read']:,}; a higher "
            "--max-cost goes on from here"
        )
    if made.failed:
        console.say(
            f"{counted(made.failed, 'request')} failed, named in *.failed.jsonl; the same command "
            "asks again for what failed, and for nothing else"
        )
    if made.removed:
        told |= {"removed": made.removed.removed, "stays": made.removed.stays}
        console.say(
            f"removed: {made.removed.name} of an earlier --hold-out, whose pieces are trained on "
            f"now ({', '.join(made.removed.removed)})"
        )
        for file, why in made.removed.stays.items():
            console.say(f"stays: {file} ({why})")
    for note in NOTES:
        console.say(f"note: {note}")
    return told
