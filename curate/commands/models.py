"""`curate models`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.commands.options import AsJson

if TYPE_CHECKING:
    from curate.models.inventory import ModelInfo

_KEYS = "name kind option parameters licence languages ready where folder bytes_on_disk note"


def models(
    get: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Fetch a model of the list, a hub id or ms://OWNER/NAME, to this machine.",
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
    fetched_one: dict[str, Any] = {}
    if get:
        fetched_one = {"name": get, "folder": str(fetched(get, accept_terms))}
    listed = at_hand()
    goes_to = console.stderr() if as_json else console.stdout()
    lines = [
        (
            *(model.name, model.option, model.parameters or "-", _languages(model)),
            *(model.licence or "see its card", _state(model)),
        )
        for model in listed
    ]
    header = ("model", "for", "size", "languages", "licence", "state")
    console.show_table(lines, header, goes_to)
    for model in listed:
        goes_to.print(f"{model.name}: {model.note}\n  {model.where}", markup=False, soft_wrap=True)
    if fetched_one:
        console.say(f"{get} lies in {fetched_one['folder']}")
    if as_json:
        answer = {**fetched_one, "models": [_as_json(model) for model in listed]}
        typer.echo(json.dumps(answer, ensure_ascii=False))


def _languages(model: ModelInfo) -> str:
    known = model.languages
    if len(known) > 3 and {"en", "zh"} <= set(known):
        return f"en, zh, {len(known) - 2} more"
    return ", ".join(known) or "?"


def _state(model: ModelInfo) -> str:
    size = model.bytes_on_disk
    if not model.ready:
        return "not all of it is here" if size else "to be fetched"
    return f"{size / 1e6:,.0f} MB here" if size >= 1e6 else f"{size / 1e3:,.0f} kB here"


def _as_json(model: ModelInfo) -> dict[str, Any]:
    values = {key: getattr(model, key) for key in _KEYS.split()}
    return {**values, "folder": model.folder and str(model.folder)}
