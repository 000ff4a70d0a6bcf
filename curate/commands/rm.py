"""`curate rm`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from curate import console
from curate.commands.options import AsJson, plain


def rm(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="As `curate ls` has them.")],
    dataset_dir: Annotated[Path, typer.Option(help="Folder of dataset_info.json.")] = Path("data"),
    as_json: AsJson = False,
) -> None:
    """Take data sets away: the entry, and the files that the manifest says curate wrote.

    What you wrote or changed yourself stays, and is named.

    Example: curate rm huatuo_ifd
    """
    from curate.emission.remove import remove

    results = [remove(dataset_dir, name) for name in names]
    for result in results:
        entry = "its entry and " if result.entry else ""
        files = ", ".join(result.removed) or "no file"
        console.say(f"'{result.name}': {entry}{files} taken away")
        if result.gone:
            console.say(f"  gone before: {', '.join(result.gone)}")
        for file, why in result.stays.items():
            console.say(f"  stays: {file} ({why})")
    if as_json:
        typer.echo(json.dumps({"removed": [plain(each) for each in results]}, ensure_ascii=False))
