"""`curate ls`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from curate import console
from curate.commands.options import AsJson, plain


def list_(
    dataset_dir: Annotated[Path, typer.Option(help="Folder of dataset_info.json.")] = Path("data"),
    as_json: AsJson = False,
) -> None:
    """List the data sets that are registered in a folder, and what made each of them.

    Example: curate ls
    """
    from curate.llamafactory.dataset_info import registered

    entries = registered(dataset_dir)
    if entries:
        lines = [(each.name, each.recipe, each.kept, each.read, each.sources) for each in entries]
        header = ("name", "recipe", "kept", "read", "from")
        console.show_table(lines, header, console.stderr() if as_json else None)
    else:
        console.say(f"no data set is registered in {dataset_dir}; `curate ifd` makes one")
    if as_json:
        typer.echo(json.dumps({"datasets": list(map(plain, entries))}, ensure_ascii=False))
