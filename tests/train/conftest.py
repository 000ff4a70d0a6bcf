"""The command line of `train`, in a folder with something to train on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.calling import Caller
from tests.train.making import CHATML, data_in, model_in
from train.cli import typed


@pytest.fixture
def train(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Caller:
    """Type `train …` in a folder with data sets of all kinds and a model of one layer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    data_in(Path("data"))
    model_in(Path("mine"), chat=CHATML)
    return Caller(capsys, typed, "train")
