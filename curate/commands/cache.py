"""`curate cache`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from curate import console
from curate.commands.options import AsJson, plain


def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete what can be made again at little cost.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List what lies in the cache folder ($CURATRAIN_CACHE), and what --clear would delete of it.

    Models, environments, answers that were asked for and journals of runs that have not ended
    stay; delete them by hand.

    Example: curate cache --clear
    """
    from curate.engine.cache_contents import clear as delete
    from curate.engine.cache_contents import contents
    from curate.system.cache import cache_dir

    found = contents()
    lines = [
        (e.name, e.files, console.size(e.size), console.size(e.clears), e.about) for e in found
    ]
    goes_to = console.stderr() if as_json else None
    console.say(f"cache folder: {cache_dir()}")
    if lines:
        console.show_table(lines, ("part", "files", "size", "--clear", "what it is"), goes_to)
    freed = delete() if clear else 0
    if clear:
        console.say(f"{console.size(freed)} deleted")
    elif lines:
        console.say("`curate cache --clear` deletes what stands under --clear")
    if as_json:
        result = {"folder": str(cache_dir()), "parts": [plain(e) for e in found], "freed": freed}
        typer.echo(json.dumps(result, ensure_ascii=False))
