"""Runs gptq_job.py in its own environment, and puts right what it writes."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curate.backend import process
from curate.errors import ModelError
from curate.system.model_folder import chat_template
from deploy.output import last_error, set_chat_template
from deploy.quantizing.calibration import Drawn

_JOB = Path(__file__).parent / "gptq_job.py"
_ANSWER = 40  # tokens
_LOOK_EVERY = 1.0
_TELL_EVERY = 30.0
_LAYER = re.compile(r"Quantizing layer (\d+) of (\d+)")
_SAID = re.compile(r"^curatrain: (.*)$", re.MULTILINE)
# Notes of its own run, and where it kept weights meanwhile.
_CLUTTER = ("quant_log.csv",)


def run(
    python: Path,
    model: Path,
    part: Path,
    tokenizer: Any,
    drawn: Drawn,
    bits: int,
    group: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Write the quantised model to a folder; return what gptq_job.py measured.

    Args:
        python: Interpreter of the environment.
        model: The model's folder.
        part: Takes the result.
        tokenizer: The model's.
        drawn: Rows to quantise with and to measure on.
        bits: For each weight.
        group: Weights that share a scale.
        say: Is told how far it is.

    Raises:
        ModelError: It failed; says where its output lies.
    """
    job = _job(model, part, tokenizer, drawn, bits, group)
    log = part.with_name(f"{part.name[1:-5]}.gptq.log")
    log.unlink(missing_ok=True)
    # It writes to the folder that it is started in.
    with tempfile.TemporaryDirectory(prefix="gptq-", dir=part.parent) as scratch:
        given, answer = Path(scratch) / "job.json", Path(scratch) / "result.json"
        given.write_text(json.dumps(job), encoding="utf-8")
        arguments = [str(python), str(_JOB.resolve()), str(given.resolve()), str(answer.resolve())]
        variables = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        child = process.start(arguments, log, variables, Path(scratch))
        with process.stopping(child):
            code = _followed(child, log, say)
        if code or not answer.is_file():
            raise ModelError(
                f"GPTQModel ended with {code}: {last_error(log)}. Nothing was kept; all it said: "
                f"{log}"
            )
        result: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    log.unlink()
    _tidy(model, part)
    return result


def _job(
    model: Path, part: Path, tokenizer: Any, drawn: Drawn, bits: int, group: int
) -> dict[str, Any]:
    from curate.models.encoder import HFEncoder
    from curate.models.generation.prompt import ends

    return {
        "model": str(model.resolve()),
        "output": str(part.resolve()),
        "bits": bits,
        "group_size": group,
        "calibration": [each.ids for each in drawn.calibration],
        "held_out": [{"ids": each.ids, "start": each.start} for each in drawn.held_out],
        "question": drawn.held_out[0].question,
        "ends": sorted(ends(tokenizer, HFEncoder(tokenizer, model.name))),
        "max_new_tokens": _ANSWER,
    }


def _followed(child: process.Child, log: Path, say: Callable[[str], None]) -> int:
    """Say how far it is until it ends; return its exit code."""
    told, last, layer = 0, time.monotonic(), ""
    while True:
        code = child.wait(_LOOK_EVERY)
        text = _tail(log)
        said = _SAID.findall(text)
        for each in said[told:]:
            say(each)
        told = max(told, len(said))
        layers = _LAYER.findall(text)
        if layers and layers[-1][0] != layer and time.monotonic() - last >= _TELL_EVERY:
            layer, last = layers[-1][0], time.monotonic()
            say(f"layer {layer} of {layers[-1][1]}")
        if code is not None:
            return code


def _tail(log: Path) -> str:
    return log.read_text("utf-8", "replace").replace("\r", "\n")


def _tidy(model: Path, part: Path) -> None:
    """Say names as older readers do, keep the chat template, and nothing of this one run."""
    from curate.backend.older_readers import for_older_readers

    for_older_readers(part)
    if (kept := chat_template(model)) != chat_template(part):
        set_chat_template(part, kept)
    for name in _CLUTTER:
        (part / name).unlink(missing_ok=True)
    for name in ("config.json", "quantize_config.json"):
        path = part / name
        if path.is_file():
            told = json.loads(path.read_text(encoding="utf-8"))
            for meta in (told.get("meta"), (told.get("quantization_config") or {}).get("meta")):
                if isinstance(meta, dict):
                    meta.pop("offload_to_disk_path", None)
            path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    for path in part.glob("*.safetensors"):
        path.chmod((part / "config.json").stat().st_mode)
