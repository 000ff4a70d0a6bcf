"""Execute the notebooks and write them back: python -m tests.notebooks [NAME…]."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.calling import share_models
from tests.conftest import ROOT

FOLDER = ROOT / "notebooks"
_ENDED = {"text/html": "", "text/plain": ""}
SECONDS = 900  # of a cell, on a machine that does other things


def executed(path: Path, folder: Path) -> NotebookNode:
    """Return a notebook with what its cells show when they are run in a folder, in order.

    Nothing in it says where or when that was, so that two runs on a machine give the same file.
    """
    notebook = nbformat.read(path, 4)
    path_of_commands = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env={**os.environ, "PATH": path_of_commands})
    notebook.metadata.get("language_info", {}).pop("version", None)
    notebook.metadata.pop("widgets", None)
    for place, cell in enumerate(notebook.cells):
        cell.id = f"cell-{place}"
        if cell.cell_type == "code":
            cell.metadata.clear()
            # A bar that has ended shows nothing, and where all goes fast there was none.
            cell.outputs = [each for each in cell.outputs if each.get("data") != _ENDED]
    return notebook


def names() -> list[str]:
    """Return the notebooks in the order in which they are read."""
    return sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def main(wanted: list[str]) -> None:
    """Write notebooks anew; one works with the files of those before it."""
    folder = Path(tempfile.mkdtemp())
    # What an earlier run has left in the cache would be told.
    os.environ["CURATRAIN_CACHE"] = str(share_models(folder / "cache"))
    try:
        for name in wanted or names():
            path = FOLDER / f"{name}.ipynb"
            print(f"executing {path.name}", flush=True)
            notebook = executed(path, folder)
            path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
