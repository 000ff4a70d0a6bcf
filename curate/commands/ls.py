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

    found = registered(dataset_dir)
    if not found:
        console.say(f"no data set is registered in {dataset_dir}; `curate ifd` makes one")
    lines = [(each.name, each.recipe, each.kept, each.read, each.sources) for each in found]
    header = ("name", "recipe", "kept", "read", "from")
    if lines:
        console.show_table(lines, header, console.stderr() if as_json else None)
    if as_json:
        typer.echo(json.dumps({"datasets": [plain(each) for each in found]}, ensure_ascii=False))
