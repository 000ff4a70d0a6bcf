"""What is written down of LLaMA-Factory is what it says itself, and it takes every plan."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from curate.llamafactory import release as llamafactory
from curate.system.hardware import Hardware
from tests.train import recording
from train.config.model import Model
from train.config.plan import Dataset, Request, make, to_yaml
from train.config.presets import PRESETS, STAGES, Extent

pytestmark = pytest.mark.skipif(bool(llamafactory.missing()), reason="no LLaMA-Factory here")
BF16 = Hardware("cpu", 1, 16 << 30, True)
FP32 = Hardware("cpu", 1, 16 << 30, False)


@pytest.fixture(autouse=True, scope="module")
def stub() -> Iterator[None]:
    """Stand in for torchaudio where it is not installed, as the children of `train` do."""
    sys.path.append(str(llamafactory.STUB))
    yield
    sys.path.remove(str(llamafactory.STUB))


def test_it_is_recorded_as_it_is() -> None:
    told, known = json.loads(recording.FILE.read_text(encoding="utf-8")), recording.recorded()
    for part in known:
        assert told[part] == known[part], f"python -m tests.train.recording: {part} has changed"


def parsed(config: dict[str, Any]) -> Any:
    from llamafactory.hparams import get_train_args

    return get_train_args(config)


def config_of(stage: str, preset: str, rows: int, tmp_path: Path, **more: Any) -> dict[str, Any]:
    judge = Model(name="saves/rm", path="somewhere", adapter=Path("saves/rm"))
    request = Request(stage=stage, output=tmp_path / "out", preset=preset, **more)
    dataset = Dataset("a", Path("data"), Extent(rows, rows * 90 if stage == "pt" else None))
    model = Model(name="smollm2", path="somewhere", template="chatml", kind="bloom")
    on = FP32 if rows == 12 else BF16
    plan = make(request, dataset, model, on, {}, judge if stage == "ppo" else None)
    found: dict[str, Any] = yaml.safe_load(to_yaml(plan.config))
    return found


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("rows", [12, 5000])
def test_every_plan_is_taken(stage: str, preset: str, rows: int, tmp_path: Path) -> None:
    config = config_of(stage, preset, rows, tmp_path)
    model, data, training, finetuning, _ = parsed(dict(config))
    assert (finetuning.stage, model.model_name_or_path, data.dataset) == (stage, "somewhere", ["a"])
    assert training.learning_rate == config["learning_rate"]
    assert training.use_cpu
    assert training.bf16 == (rows == 5000)
    assert finetuning.lora_target == ["query_key_value"]
    assert (training.eval_strategy == "steps") == ("val_size" in config)
    if stage == "pt":
        assert data.packing


def test_the_old_flags_are_still_refused(tmp_path: Path) -> None:
    config = config_of("sft", "tutorial", 5000, tmp_path)
    for key in ("evaluation_strategy", "dpo_beta", "no_cuda", "save_safetensors", "lr"):
        with pytest.raises(ValueError, match=key):
            parsed({**config, key: True})


def test_methods_are_taken(tmp_path: Path) -> None:
    full = parsed(config_of("sft", "tutorial", 5000, tmp_path, method="full"))[3]
    assert full.finetuning_type == "full"
