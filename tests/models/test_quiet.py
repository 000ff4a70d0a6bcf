from __future__ import annotations

import logging
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

from curate.models.quiet import quiet
from tests.models.tiny import make, save

LOAD = """
import sys
from curate.models.causal_lm import load_causal_lm
from curate.models.quiet import set_verbose
set_verbose(sys.argv[2] == "aloud")
load_causal_lm(sys.argv[1], "float32").prepare()
"""


@pytest.mark.parametrize("how", ["quietly", "aloud"])
def test_loading_says_nothing_unless_it_may(tmp_path: Path, scratch_cache: Path, how: str) -> None:
    folder = save(make("Llama"), tmp_path / "tiny")
    run = subprocess.run(
        [sys.executable, "-c", LOAD, str(folder), how],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert run.stdout == ""
    assert bool(run.stderr) == (how == "aloud")


def speak(_: object = None) -> None:
    sys.stdout.write("out")
    sys.stderr.write("err")
    logging.getLogger("other").warning("log")
    warnings.warn("warning", stacklevel=1)


def test_everything_is_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr, logging.root.manager.disable
    with quiet():
        with pytest.raises(ZeroDivisionError), quiet():
            speak(1 // 0)
        speak()
    assert (sys.stdout, sys.stderr, logging.root.manager.disable) == before
    assert capsys.readouterr() == ("", "")


def test_threads_may_be_inside_together(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    first_in, second_in, first_out = (threading.Event() for _ in range(3))

    def first() -> None:
        with quiet():
            first_in.set()
            second_in.wait(10)
        first_out.set()

    thread = threading.Thread(target=first)
    thread.start()
    first_in.wait(10)
    with quiet():
        second_in.set()
        first_out.wait(10)
        speak()
    thread.join()
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == ("", "")


def test_bars_of_other_libraries_are_off_and_back_again() -> None:
    from huggingface_hub.utils import are_progress_bars_disabled
    from transformers.utils import logging as bars

    assert bars.is_progress_bar_enabled()
    with quiet():
        # A notebook draws them without stderr, so that silence there is not enough.
        assert not bars.is_progress_bar_enabled()
        assert are_progress_bars_disabled()
    assert bars.is_progress_bar_enabled()
    assert not are_progress_bars_disabled()
