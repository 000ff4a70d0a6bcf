"""Completion as bash asks for it, installed into a home of its own; -h of every command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import curate.cli
import deploy.cli
import train.cli
from tests.calling import Caller

BASH = shutil.which("bash")


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("curate pro", "prove"),
        ("curate prove --exa", "--exam"),
        ("curate distill an", "answer"),
        ("train est", "estimate"),
        ("train sft --pres", "--preset"),
        ("deploy quan", "quantize"),
        ("deploy eval --sho", "--shots"),
    ],
)
def test_a_command_and_an_option_are_completed(tmp_path, typed, completed):
    command, *_ = words = typed.split()
    own = Path(sys.executable).parent
    environment = {"HOME": str(tmp_path), "PATH": f"{own}{os.pathsep}{os.environ['PATH']}"}

    def run(*arguments: str) -> str:
        ended = subprocess.run(
            arguments, env=environment, capture_output=True, text=True, check=True, timeout=120
        )
        return ended.stdout

    # The shell is told by the processes above, where a test may have none.
    installing = f"{command} --install-completion; true"
    assert "completion installed" in run(str(BASH), "--norc", "-c", installing)
    asked = (
        f"source ~/.bashrc; complete -p {command} | grep -q _{command}_completion || exit 1;"
        f"COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _{command}_completion {command};"
        'echo "${COMPREPLY[@]}"'
    )
    assert run(str(BASH), "--norc", "-c", asked).split() == [completed]


@pytest.mark.parametrize(
    ("name", "app"),
    [("curate", curate.cli.app), ("train", train.cli.app), ("deploy", deploy.cli.app)],
)
def test_every_command_answers_h(capsys, name, app):
    call, paths = Caller(capsys, app, name), [()]
    groups = [((), typer.main.get_command(app))]
    while groups:
        path, group = groups.pop()
        below = [((*path, word), one) for word, one in getattr(group, "commands", {}).items()]
        paths += [where for where, _ in below]
        groups += below
    assert len(paths) > 8
    for path in paths:
        answer = call(*path, "-h")
        assert answer.code == 0
        assert f"Usage: {' '.join((name, *path))}" in answer.out
