"""`curate models`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.commands.options import AsJson, plain

if TYPE_CHECKING:
    from curate.models.inventory import ModelInfo


def models(
    get: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Fetch a model of the list, or a hub id, to this machine."
        ),
    ] = None,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="You have read and accept its licence.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the models that are at hand: use, licence, languages, where they lie.

    Language models are for --model, encoders of sentences for --encoder,
    rankers and reward models for --reward and --ranker. Rankers that were
    trained here are looked for in this folder and in saves.

    Example: curate models

    Example: curate models --get smollm2 --json
    """
    from curate.errors import UsageError
    from curate.models.inventory import at_hand, fetched

    if accept_terms and not get:
        raise UsageError("--accept-terms: of which model? Give --get NAME, too")
    got: dict[str, Any] = {}
    if get:
        folder = fetched(get, accept_terms)
        got = {"name": get, "folder": str(folder)}
    found = at_hand()
    goes_to = console.stderr() if as_json else console.stdout()
    lines = [
        (
            each.name,
            each.option,
            each.parameters or "-",
            _languages(each),
            each.licence or "see its card",
            _state(each),
        )
        for each in found
    ]
    header = ("model", "for", "size", "languages", "licence", "state")
    console.show_table(lines, header, goes_to)
    for each in found:
        goes_to.print(f"{each.name}: {each.note}\n  {each.where}", markup=False, soft_wrap=True)
    if got:
        console.say(f"{got['name']} lies in {got['folder']}")
    if as_json:
        listed = [_as_json(each) for each in found]
        typer.echo(json.dumps({**got, "models": listed}, ensure_ascii=False))


def _languages(model: ModelInfo) -> str:
    known = model.languages
    if len(known) > 3 and {"en", "zh"} <= set(known):
        return f"en, zh, {len(known) - 2} more"
    return ", ".join(known) or "?"


def _state(model: ModelInfo) -> str:
    if not model.ready:
        return "to be fetched" if not model.bytes_on_disk else "not all of it is here"
    size = model.bytes_on_disk
    return f"{size / 1e6:,.0f} MB here" if size >= 1e6 else f"{size / 1e3:,.0f} kB here"


def _as_json(model: ModelInfo) -> dict[str, Any]:
    return {**plain(model), "folder": None if model.folder is None else str(model.folder)}
