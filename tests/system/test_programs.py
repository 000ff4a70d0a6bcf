"""Children end as whole groups, whatever ends the block."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from curate.errors import UsageError
from curate.system import programs

# Starts a child of its own, names it, and takes no notice of SIGTERM if it is told so.
FAMILY = """
import signal, subprocess, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
if "leave" in sys.argv:
    sys.exit(3)
time.sleep(60)
"""


def family(tmp_path: Path, *arguments: str) -> tuple[programs.Child, int]:
    child = programs.start([sys.executable, "-c", FAMILY, *arguments], tmp_path / "log")
    return child, int(first_line(child.log))


def first_line(log: Path) -> str:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        lines, _ = programs.new_lines(log)
        if lines:
            return lines[0]
        time.sleep(0.02)
    raise AssertionError("it said nothing")


def is_there(pid: int) -> bool:
    try:
        told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return told[0] not in "ZX"


def test_output_and_code(tmp_path):
    code = (
        "import sys, os; print(os.environ['WORD'], os.getcwd()); print('x', file=sys.stderr); 3/0"
    )
    arguments = [sys.executable, "-c", code]
    child = programs.start(arguments, tmp_path / "log", {"WORD": "你好"}, tmp_path)
    assert child.wait(20) == 1
    lines, _ = programs.new_lines(child.log)
    assert f"你好 {tmp_path}" in lines
    assert "x" in lines
    assert lines[-1] == "ZeroDivisionError: division by zero"


def test_no_such_program(tmp_path):
    with pytest.raises(UsageError, match="no program nothing-of-this-name"):
        programs.start(["nothing-of-this-name"], tmp_path / "log")


def test_stop_ends_the_group_politely(tmp_path):
    child, below = family(tmp_path)
    child.stop(20)
    assert child.code() == -signal.SIGTERM
    assert not is_there(below)


def test_stop_kills_who_takes_no_notice(tmp_path):
    child, below = family(tmp_path, "stubborn")
    began = time.monotonic()
    child.stop(0.5)
    assert time.monotonic() - began < 10
    assert child.code() == -signal.SIGKILL
    assert not is_there(below)


def test_stop_ends_what_a_gone_leader_left_behind(tmp_path):
    child, below = family(tmp_path, "leave")
    assert child.wait(20) == 3
    assert child.alive()
    assert is_there(below)
    child.stop(20)
    assert not is_there(below)


def test_stopping_ends_the_group_on_an_error(tmp_path):
    child, below = family(tmp_path)
    with pytest.raises(ZeroDivisionError), programs.stopping(child, 20):
        raise ZeroDivisionError
    assert not is_there(child.pid)
    assert not is_there(below)


OURS = """
import sys
from pathlib import Path
from curate.system import programs
child = programs.start([sys.executable, "-c", sys.argv[1]], Path(sys.argv[2]))
with programs.stopping(child, 20):
    child.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_signal_to_us_leaves_nothing_behind(tmp_path, number):
    log = tmp_path / "log"
    ours = subprocess.Popen([sys.executable, "-c", OURS, FAMILY, str(log)], stderr=subprocess.PIPE)
    below = int(first_line(log))
    # SIGKILL leaves us no moment: the kernel tells the program itself, and not what that started.
    leader = int(Path(f"/proc/{below}/stat").read_text().rpartition(")")[2].split()[1])
    ours.send_signal(number)
    _, told = ours.communicate(timeout=20)
    assert ours.returncode != 0
    until = time.monotonic() + 10
    while is_there(leader) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_there(leader)
    if number == signal.SIGKILL:
        os.kill(below, signal.SIGKILL)
    else:
        assert b"KeyboardInterrupt" in told
        assert not is_there(below)


def test_new_lines_are_whole_lines(tmp_path):
    log = tmp_path / "log"
    assert programs.new_lines(log) == ([], 0)
    log.write_bytes("一\n二".encode())
    lines, at = programs.new_lines(log)
    assert lines == ["一"]
    with log.open("ab") as stream:
        stream.write(textwrap.dedent("\n三\n").encode())
    assert programs.new_lines(log, at)[0] == ["二", "三"]


WAITS = 'import os; print(os.environ["OMP_WAIT_POLICY"])'


def test_threads_of_a_child_wait_without_spinning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def policy(name: str, variables: dict[str, str] | None = None) -> str:
        child = programs.start([sys.executable, "-c", WAITS], tmp_path / name, variables)
        child.wait(20)
        return child.log.read_text().strip()

    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert policy("ours") == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert policy("the user's") == "ACTIVE"
    assert policy("the caller's", {"OMP_WAIT_POLICY": "PASSIVE"}) == "PASSIVE"
