"""Who may import whom, and what costs nothing to import."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

import pytest

ROOT = Path(__file__).parent.parent
_ROW = re.compile(r"\| `([\w/.]+)` \| .+ \| (.+) \|")


def _table() -> dict[str, set[str]]:
    """Return what CONTRIBUTING.md says: a part, and what of the project it may import."""
    lines = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
    rows = filter(None, map(_ROW.fullmatch, lines))
    return {row[1]: set(re.findall(r"`([\w.]+)`", row[2])) for row in rows}


MAY_IMPORT = _table()
# Between scorers and selectors there is no way, and contracts import no one method.
ALONE = (
    "curate/scorers/contract.py",
    "curate/selectors/kept_and_dropped.py",
    "curate/models/protocols.py",
)


def modules_in(part: str) -> list[Path]:
    path = ROOT / part
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Return what a file imports, at any place, unless only for the type checker."""
    return {name for name in _imports(ast.parse(path.read_text(encoding="utf-8")))}


def _imports(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        for each in node.orelse:
            yield from _imports(each)
        return
    if isinstance(node, ast.Import):
        yield from (each.name for each in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, "imports are absolute here"
        assert node.module
        # `from curate.scorers import ifd` imports a module, `from curate.errors import X` does not.
        for each in node.names:
            whole = f"{node.module}.{each.name}"
            yield whole if _is_module(whole) else node.module
    for each in ast.iter_child_nodes(node):
        yield from _imports(each)


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.split(".")[0] in ("curate", "train", "deploy", "tests")}


def within(name: str, allowed: set[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in allowed)


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_direction_of_imports(part):
    own = part.removesuffix(".py").replace("/", ".")
    allowed = {own, *MAY_IMPORT[part]}
    files = modules_in(part)
    assert files
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in ours(imported(path))
        if not within(name, allowed)
    }
    assert not wrong


@pytest.mark.parametrize("file", ALONE)
def test_contracts_stand_alone(file):
    assert ours(imported(ROOT / file)) <= {"curate.models.protocols", "curate.errors"}


def test_only_the_command_line_and_the_console_print_or_exit():
    wrong = set()
    for path in modules_in("curate"):
        if path.name in ("cli.py", "console.py", "__main__.py") or path.parent.name == "commands":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if name in ("print", "exit", "quit", "sys.exit", "os._exit", "typer.echo"):
                wrong.add(f"{path.relative_to(ROOT)}:{node.lineno} {name}")
    assert not wrong


def test_every_part_of_curate_has_a_rule():
    parts = {f"curate/{each.name}" for each in (ROOT / "curate").iterdir()}
    parts -= {
        "curate/__pycache__",
        "curate/__init__.py",
        "curate/__main__.py",
        "curate/api.py",
        "curate/cli.py",
    }
    # What joins the layers for people may import all of them; the guide is pages.
    parts -= {"curate/commands", "curate/guide"}
    assert {part for part in parts if part.endswith(".py") or (ROOT / part).is_dir()} <= set(
        MAY_IMPORT
    )


def test_the_check_itself_sees_imports_inside_functions_and_skips_those_for_types(tmp_path):
    path = tmp_path / "x.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import curate.hidden\nelse:\n    import curate.seen\n"
        "def f():\n    from curate.scorers import ifd\n    from curate.errors import DataError\n"
    )
    assert ours(imported(path)) == {"curate.seen", "curate.scorers.ifd", "curate.errors"}


# What it costs


def loaded_by(code: str) -> set[str]:
    script = f"{code}\nimport json, sys\njson.dump(sorted(sys.modules), sys.__stdout__)"
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(json.loads(run.stdout[run.stdout.index("[") :]))


def test_import_curate_loads_nothing_heavy():
    heavy = {"torch", "transformers", "numpy", "pyarrow", "pandas", "matplotlib", "rich", "typer"}
    assert not loaded_by("import curate") & heavy


COMMANDS = (
    *("car", "datasets", "dedup", "distill", "distill answer", "doctor", "ifd", "ls", "mix"),
    *("models", "mods", "ranker", "score", "select"),
)


@pytest.mark.parametrize(
    "command",
    ["curate", *(f"curate {each}" for each in COMMANDS), "train", "deploy", "deploy compare"],
)
def test_help_loads_no_torch(command):
    program, *arguments = command.split()
    code = (
        "import sys, io, contextlib\n"
        f"sys.argv = [{program!r}, *{arguments!r}, '--help']\n"
        f"from {program}.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):\n"
        "    main()\n"
        "assert 'Usage' in out.getvalue()"
    )
    assert not loaded_by(code) & {"torch", "transformers", "numpy", "pyarrow", "pandas"}


def test_reading_data_loads_no_torch():
    code = "import curate\ncurate.read('mixtures/samples/huatuo.json')[0].prompt"
    assert not loaded_by(code) & {"torch", "transformers", "matplotlib", "datasets", "chardet"}


def test_import_curate_takes_less_than_a_third_of_a_second():
    def seconds(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
        return time.perf_counter() - began

    # What Python itself takes to start is no cost of ours, and the best of five is least disturbed.
    bare = min(seconds("pass") for _ in range(5))
    assert min(seconds("import curate") for _ in range(5)) - bare < 0.3


def test_the_public_names_are_there():
    import curate

    assert dir(curate) == sorted(curate.__all__)
    functions = {name for name, value in vars(curate).items() if isinstance(value, FunctionType)}
    assert {name for name in functions if name[0] != "_"} < set(curate.__all__)
    assert {"mix", "Mixed", "read", "emit", "Selection"} < set(curate.__all__)
    assert not {"Any", "annotations", "TYPE_CHECKING"} & set(curate.__all__)
    for name in curate.__all__:
        assert callable(getattr(curate, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        curate.nothing  # noqa: B018
