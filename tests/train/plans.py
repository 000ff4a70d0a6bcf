"""Plans and runs made by hand, for tests that train nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from curate.system.run_record import RunRecord, write_run
from train.config.model import Model
from train.config.plan import Dataset, Plan, to_yaml
from train.config.presets import Extent
from train.run.progress import STEPS

ROWS = '{"instruction": "Say hello.", "input": "", "output": "Hello."}\n'


def plan_in(folder: Path, stage: str = "sft", **config: Any) -> Plan:
    """Return a plan whose data set lies in the folder, too."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    (data / "rows.jsonl").write_text(ROWS)
    (data / "rows.manifest.json").write_text("{}")
    registry = {"rows": {"file_name": "rows.jsonl"}}
    (data / "dataset_info.json").write_text(json.dumps(registry))
    output = folder / "saves" / "a"
    return Plan(
        stage=stage,
        output=output,
        config={
            **{"stage": stage, "output_dir": str(output), "template": "chatml"},
            **{"learning_rate": 1e-4, **config},
        },
        model=Model(name="smollm2", path="nowhere", template="chatml"),
        dataset=Dataset("rows", data, Extent(1, 10)),
        method="lora",
        steps=6,
    )


def line(step: int, total: int = 6, **more: Any) -> str:
    """Return a line as LLaMA-Factory writes it."""
    told = {"current_steps": step, "total_steps": total, "elapsed_time": f"0:00:{step:02}"}
    return json.dumps({**told, **more})


def tell(folder: Path, *lines: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / STEPS).open("a") as stream:
        stream.writelines(f"{each}\n" for each in lines)


def checkpoint(run: Path, step: int, *, value_head: bool = False) -> Path:
    """Write a checkpoint with all that makes it whole."""
    folder = run / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    save_file({"x": np.zeros(100, np.float32)}, folder / "adapter_model.safetensors")
    if value_head:
        save_file({"v_head.summary.bias": np.zeros(1)}, folder / "value_head.safetensors")
    (folder / "optimizer.pt").write_bytes(b"states")
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return folder


def stood(plan: Plan, **changes: Any) -> RunRecord:
    """Write the folder of a run that has stopped, and return its record."""
    from dataclasses import replace

    from train.run.run import begun_record

    plan.output.mkdir(parents=True, exist_ok=True)
    made = replace(begun_record(plan), **{"state": "stopped", **changes})
    write_run(plan.output, made)
    plan.config_file.write_text(to_yaml(plan.config))
    return made
