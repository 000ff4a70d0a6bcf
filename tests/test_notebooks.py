"""The notebooks: what stands in them, and that their cells still show what they say."""

from __future__ import annotations

import re

import nbformat
import pytest

from tests.calling import share_models
from tests.conftest import ROOT
from tests.notebooks import FOLDER, executed, names

SLOW = ("01_first_look", "02_choose")
# Folders of a machine, and a time of a day.
_MACHINE = re.compile(r"/(?:home|root|tmp|Users|mnt)/|\d\d:\d\d:\d\d")


def committed(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", 4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell):
    """What a cell shows: kinds of data, and whether it says something."""
    return [sorted(each.get("data", [each.output_type])) for each in cell.outputs]


def check(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    shown = [output for cell in cells for output in cell.outputs]
    assert not [each for each in shown if each.output_type == "error"]
    assert not [
        kind for cell in cells for kinds_ in kinds(cell) for kind in kinds_ if "widget" in kind
    ]
    assert "widgets" not in notebook.metadata
    assert "version" not in notebook.metadata.language_info
    for each in shown:
        texts = [
            each.get("text", ""),
            *(t for k, t in each.get("data", {}).items() if "png" not in k),
        ]
        for text in texts:
            assert not _MACHINE.search(text), text
            assert str(ROOT) not in text


def test_there_are_five_and_the_readme_names_them():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [name for name in names() if f"({name}.ipynb)" in text] == names()
    assert len(names()) == 5


@pytest.mark.parametrize("name", names())
def test_what_is_committed(name):
    notebook = committed(name)
    nbformat.validate(notebook)
    check(notebook)
    assert [cell.id for cell in notebook.cells] == [f"cell-{n}" for n in range(len(notebook.cells))]
    shown = [kind for cell in code_cells(notebook) for kinds_ in kinds(cell) for kind in kinds_]
    assert "text/html" in shown
    assert "image/png" in shown or "compare" in name
    for linked in re.findall(r"\((\w+\.ipynb)\)", "".join(cell.source for cell in notebook.cells)):
        assert (FOLDER / linked).is_file()
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 250_000  # more is refused by pre-commit


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder to work in, one for all, and an empty cache with the converted models."""
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("cache")
        patch.setenv("CURATRAIN_CACHE", str(cache))
        share_models(cache)
        yield tmp_path_factory.mktemp("notebooks")


@pytest.mark.model
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n in SLOW else pytest.mark.long) for n in names()],
)
def test_it_runs_and_shows_the_same_kinds(name, folder):
    fresh = executed(FOLDER / f"{name}.ipynb", folder)
    check(fresh)
    known = committed(name)
    assert [kinds(cell) for cell in code_cells(fresh)] == [
        kinds(cell) for cell in code_cells(known)
    ]
