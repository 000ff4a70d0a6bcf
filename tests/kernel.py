"""A real Jupyter kernel, and what its cells show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient


class _Client(NotebookClient):
    """Keeps what cells put in the place of what they had shown."""

    updates: list[dict[str, str]]

    def process_message(self, message: Any, cell: Any, place: int) -> Any:
        if message["header"]["msg_type"] == "update_display_data":
            self.updates.append(message["content"]["data"])
        return super().process_message(message, cell, place)


class Kernel:
    """A kernel with a notebook that grows cell by cell.

    `updates` is what was shown in the place of something shown before, in order.
    """

    def __init__(self, folder: Path, timeout: int = 300) -> None:
        self.notebook = nbformat.v4.new_notebook()
        self._client = _Client(
            self.notebook,
            timeout=timeout,
            kernel_name="python3",
            allow_errors=True,
            record_timing=False,
            resources={"metadata": {"path": str(folder)}},
        )
        self.updates = self._client.updates = []

    @contextmanager
    def running(self) -> Iterator[Kernel]:
        """Start it, and end it in any case."""
        with self._client.setup_kernel():
            yield self

    def run(self, code: str) -> list[dict[str, Any]]:
        """Run a cell; return its outputs, as a notebook keeps them."""
        place = len(self.notebook.cells)
        cell = nbformat.v4.new_code_cell(code, id=f"cell-{place}")
        self.notebook.cells.append(cell)
        self._client.execute_cell(cell, place)
        return list(cell.outputs)

    def shown(self, code: str, kind: str = "text/html") -> str:
        """Run a cell that ends in a value; return how it is shown as one kind of data."""
        *_, last = self.run(code)
        return str(last["data"][kind])

    def text(self) -> str:
        """Return the notebook as its file, without the version of Python that ran it."""
        self.notebook.metadata.get("language_info", {}).pop("version", None)
        return str(nbformat.writes(self.notebook))


@contextmanager
def kernel(folder: Path, timeout: int = 300) -> Iterator[Kernel]:
    """A fresh kernel that works in a folder; it has the environment of the tests."""
    with Kernel(folder, timeout).running() as running:
        yield running
