"""Runs gptq_job.py in its own environment, and puts right what it writes."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curate.errors import ModelError
from curate.system import process
from curate.system.failure import reason_in
from curate.system.model_folder import chat_template
from deploy.output import set_chat_template
from deploy.quantizing import gptq
from deploy.quantizing.calibration import Drawn

_JOB = Path(__file__).parent / "gptq_job.py"
_ANSWER = 40  # tokens
_LOOK_EVERY = 1.0
_TELL_EVERY = 30.0
_LAYER = re.compile(r"Quantizing layer (\d+) of (\d+)")
_PROGRESS = re.compile(r"^curatrain: (.*)$", re.MULTILINE)
# Notes of GPTQModel's own run.
_CLUTTER = "quant_log.csv"


def quantise(
    model: Path,
    part: Path,
    tokenizer: Any,
    drawn: Drawn,
    bits: int,
    group: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Write the quantised model to a folder; return what gptq_job.py measured."""
    from curate.models.text_tokenizer import HFEncoder, ends

    job = {
        "model": str(model.resolve()),
        "output": str(part.resolve()),
        "bits": bits,
        "group_size": group,
        "calibration": [row.ids for row in drawn.calibration],
        "held_out": [{"ids": row.ids, "start": row.start} for row in drawn.held_out],
        "question": drawn.held_out[0].question,
        "ends": sorted(ends(HFEncoder(tokenizer, model.name))),
        "max_new_tokens": _ANSWER,
    }
    log = part.with_name(f"{part.name[1:-5]}.gptq.log")
    # It writes to the folder that it is started in.
    with tempfile.TemporaryDirectory(prefix="gptq-", dir=part.parent) as scratch:
        result, code = _run("quantise", job, Path(scratch).resolve(), log, say)
    if result is None:
        raise ModelError(
            f"GPTQModel ended with {code}: {reason_in(log)}. Nothing was kept; all it said: {log}"
        )
    log.unlink()
    _tidy(model, part)
    return dict(result)


def answer(model: Path, question: str, tokens: int, scratch: Path) -> str:
    """Return the greedy answer of a GPTQ model, which only GPTQ's environment can load."""
    from curate.models.quiet import quiet
    from curate.models.resolve import ModelFiles
    from curate.models.text_tokenizer import HFEncoder, ends, load_tokenizer, prompt_ids

    with quiet():
        tokenizer = load_tokenizer(ModelFiles(model.name, model))
    encoder = HFEncoder(tokenizer, model.name)
    job = {
        "model": str(model.resolve()),
        "question": prompt_ids(encoder, [[{"role": "user", "content": question}]])[0],
        "ends": sorted(ends(encoder)),
        "max_new_tokens": tokens,
    }
    log = scratch / "gptq.log"
    ids, _ = _run("answer", job, scratch, log, lambda progress: None)
    if ids is None:
        raise ModelError(f"transformers cannot answer with {model.name}: {reason_in(log)}")
    return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()


def _run(
    verb: str, job: dict[str, Any], scratch: Path, log: Path, say: Callable[[str], None]
) -> tuple[Any, int]:
    """Return the result of a job, None if it failed, and the child's exit code."""
    job_path, result_path = scratch / "job.json", scratch / "result.json"
    job_path.write_text(json.dumps(job), encoding="utf-8")
    log.unlink(missing_ok=True)
    arguments = [str(gptq.python()), str(_JOB.resolve()), verb, str(job_path), str(result_path)]
    variables = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    child = process.start(arguments, log, variables, scratch)
    with process.stopping(child):
        code = _followed(child, log, say)
    if code or not result_path.is_file():
        return None, code
    return json.loads(result_path.read_text(encoding="utf-8")), code


def _followed(child: process.Child, log: Path, say: Callable[[str], None]) -> int:
    """Say how far it is until it ends; return its exit code."""
    lines_told, last, layer = 0, time.monotonic(), ""
    while True:
        code = child.wait(_LOOK_EVERY)
        text = log.read_text("utf-8", "replace").replace("\r", "\n")
        lines = _PROGRESS.findall(text)
        for line in lines[lines_told:]:
            say(line)
        lines_told = max(lines_told, len(lines))
        layers = _LAYER.findall(text)
        if layers and layers[-1][0] != layer and time.monotonic() - last >= _TELL_EVERY:
            layer, last = layers[-1][0], time.monotonic()
            say(f"layer {layer} of {layers[-1][1]}")
        if code is not None:
            return code


def _tidy(model: Path, part: Path) -> None:
    """Say names as older readers do, keep the chat template, and nothing of this one run."""
    from curate.llamafactory.older_readers import for_older_readers

    for_older_readers(part)
    if (template := chat_template(model)) != chat_template(part):
        set_chat_template(part, template)
    (part / _CLUTTER).unlink(missing_ok=True)
    for name in ("config.json", "quantize_config.json"):
        path = part / name
        if path.is_file():
            config = json.loads(path.read_text(encoding="utf-8"))
            for meta in (config.get("meta"), (config.get("quantization_config") or {}).get("meta")):
                if isinstance(meta, dict):
                    meta.pop("offload_to_disk_path", None)
            path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for path in part.glob("*.safetensors"):
        path.chmod((part / "config.json").stat().st_mode)
