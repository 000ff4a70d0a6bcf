"""How commands end, and what they say meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from curate import console
from curate.errors import DataError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            DataError("a [red]line[/red] :smile:\n  and more"),
            "a [red]line[/red] :smile: and more",
        ),
        (
            OSError(28, os.strerror(28), "/x"),
            "cannot read or write /x: No space left on device",
        ),
        (OSError("odd"), "cannot read or write: odd"),
    ],
)
def test_any_error_is_one_line_as_it_is(capsys, error, line):
    def fail():
        raise error

    with pytest.raises(SystemExit) as ended:
        console.run(fail)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {line}")
    assert said.count("\n") == 1


def test_ctrl_c_says_that_it_can_go_on(capsys):
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        console.run(stop)
    assert ended.value.code == 130
    assert "give the same command again" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_an_output_that_is_full_is_one_line(curate_command):
    with Path("/dev/full").open("w") as full:
        run = curate_command("--version", stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert run.returncode == 2
    assert run.stderr.startswith("error: cannot read or write: No space left on device")
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", ["--help", "ls --dataset-dir {}"])
def test_who_stops_reading_is_no_error(arguments, tmp_path):
    (tmp_path / "dataset_info.json").write_text('{"mine": {"file_name": "x.json"}}')
    arguments = arguments.format(tmp_path)
    # Nobody reads at all, so the first write fails.
    call = f"{sys.executable} -m curate {arguments}"
    command = f"exec 3>&1; {{ sleep 0.1; {call}; echo $? >&3; }} | true"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (run.stdout.strip(), run.stderr) == ("0", "")


def test_bad_input_in_a_process_of_its_own(curate_command, tmp_path):
    run = curate_command("ifd", "--input", "nowhere.json", "--keep", "-3", cwd=tmp_path)
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.startswith("error: --keep -3: allowed are") or run.stderr.startswith(
        "error: no file 'nowhere.json'"
    )
    assert run.stderr.count("\n") == 1


# Progress


def test_progress_without_a_terminal_comes_as_lines(capsys):
    lines = console.Lines(every=0.0)
    lines.start(rows=10, total=1000, done=500)
    lines.advance(250)
    lines.advance(250)
    lines.stop()
    said = capsys.readouterr().err.splitlines()
    assert [each.split(",")[0] for each in said] == ["scoring: 75%", "scoring: 100%"]
    assert all("rows/s" in each and each.endswith(" s left") for each in said)


def test_lines_come_every_so_often_only(capsys):
    lines = console.Lines(every=3600)
    lines.start(10, 1000, 0)
    lines.advance(500)
    assert capsys.readouterr().err == ""
    assert isinstance(console.progress(), console.Lines)
