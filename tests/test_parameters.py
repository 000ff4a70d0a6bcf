"""Parameters that are declared once: in Python, on the command line, in editors."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields

import pytest
from typer.testing import CliRunner

import curate
from curate.commands.options import Reading
from curate.commands.with_options import with_options
from curate.errors import UsageError
from curate.parameters.car import CarParams
from curate.parameters.dedup import DedupParams
from curate.parameters.doctor import DoctorParams
from curate.parameters.ifd import IFDParams
from curate.parameters.mix import MixParams
from curate.parameters.mods import ModsParams
from curate.parameters.option import filled_in, keywords, option, options_of
from curate.parameters.score import ScoreParams
from curate.parameters.select import SelectParams
from tests import stub

RECIPES = {
    "car": CarParams,
    "dedup": DedupParams,
    "doctor": DoctorParams,
    "ifd": IFDParams,
    "mix": MixParams,
    "mods": ModsParams,
    "score": ScoreParams,
    "select": SelectParams,
}


@pytest.mark.parametrize("name", RECIPES)
def test_functions_show_every_parameter_with_its_type_default_and_help(name):
    function = getattr(curate, name)
    shown = inspect.signature(function).parameters
    for field in fields(RECIPES[name]):
        way = options_of(RECIPES[name])[field.name][2]
        if not way.python:
            assert field.name not in shown or field.name in ("scores", "against", "like")
            continue
        assert str(shown[field.name].annotation) == str(field.type)
        assert way.positional or shown[field.name].default == field.default
        assert f"{field.name}: {way.help}" in function.__doc__
    assert "params" not in shown
    assert function.__module__ == "curate"


def test_what_an_editor_sees_is_what_there_is():
    assert stub.STUB.read_text(encoding="utf-8") == stub.text(), "run: python -m tests.stub"


def test_everything_public_is_listed_and_there():
    assert {"mix", "Mixed"} <= set(curate.__all__) == set(dir(curate))
    assert all(getattr(curate, name) is not None for name in curate.__all__)


@dataclass(frozen=True)
class TeaParams:
    """Tea."""

    cups: int = option(2, "How many.", metavar="N")
    sorts: tuple[str, ...] = option((), "Which; several.")
    share: str | float = option("60%", "Of the pot.", typed="70%")
    hot: bool = option(False, "Not cold.")
    noted: str = filled_in("")


def test_one_line_gives_the_keyword_and_the_option():
    import typer

    seen = []

    @keywords(TeaParams)
    def brew(leaves: str, params: TeaParams) -> TeaParams:
        """Brew.

        Args:
            leaves: What.
            params: See below.
        """
        return params

    @with_options
    def command(reading: Reading, params: TeaParams, lid: bool = False) -> None:
        """Brew."""
        seen.append((reading, params, lid))

    for sorts in (("a",), ["a"], "a"):
        assert brew("assam", cups=3, sorts=sorts) == TeaParams(cups=3, sorts=("a",))
    assert "cups: How many." in inspect.getdoc(brew)
    with pytest.raises(
        UsageError, match="brew has no option 'cup'.*'cups'.*Allowed are leaves, cups, s"
    ):
        brew("assam", cup=3)
    with pytest.raises(UsageError, match="no option 'noted'"):
        brew("assam", noted="x")

    app = typer.Typer()
    app.command()(command)
    line = ["--input", "f", "--sorts", "a", "--sorts", "b", "--hot", "--lid"]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output
    reading, params, lid = seen[0]
    assert [path.name for path in reading.paths()] == ["f"]
    assert params == TeaParams(2, ("a", "b"), "70%", True)
    assert lid
    assert "--noted" not in CliRunner().invoke(app, ["--help"]).output
