"""GPTQModel in an environment of its own, which runs gptq_job.py and serves what that writes.

It is AutoGPTQ's successor, of the same format, and wants other versions than training does.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from curate.errors import ModelError, UsageError
from curate.llamafactory import release as llamafactory
from curate.llamafactory.release import Backend
from curate.models.quiet import quiet
from curate.models.resolve import ModelFiles
from curate.models.text_tokenizer import HFEncoder, ends, load_tokenizer, prompt_ids
from curate.system import environments, programs
from curate.system.environments import Environment
from curate.system.failure import reason_in
from curate.system.model_folder import CONFIG, chat_template, read_json
from deploy.output import repair
from deploy.quantizing.calibration import Drawn, QuantiseParams

_TORCH = "torch==2.13.0"
_JOB = Path(__file__).parent / "gptq_job.py"
_ANSWER = 40  # tokens
_LOOK_EVERY, _TELL_EVERY = 1.0, 30.0  # seconds
_LAYER = re.compile(r"Quantizing layer (\d+) of (\d+)")
_PROGRESS = re.compile(r"^curatrain: (.*)$", re.MULTILINE)


def environment() -> Environment:
    """Return the environment; the same on CPUs and GPUs, where pip brings torch's CUDA build."""
    return Environment(
        name="gptq",
        purpose="quantising with GPTQModel, and serving what it writes",
        steps=(
            # GPTQModel is built where it is installed, and looks at torch for that.
            (_TORCH, "setuptools", "wheel", "packaging", "ninja", "numpy==2.2.6"),
            (
                "--no-build-isolation",
                *("gptqmodel==5.7.0", "kernels>=0.12,<0.13", "optimum==2.1.0", "torchao==0.14.1"),
                *("transformers==5.5.4", "accelerate==1.11.0", "datasets==4.0.0"),
                "requests",  # GPTQModel imports it and does not ask for it
                _TORCH,
            ),
            (
                *("peft==0.18.1", "trl==0.24.0", "omegaconf>=2.3", "sentencepiece>=0.2"),
                *("tiktoken>=0.9", "fastapi>=0.115", "uvicorn>=0.34", "sse-starlette>=2"),
                *("matplotlib>=3.9", _TORCH),
            ),
            # Its own requirements bring sound, pictures and a web page, some gigabytes.
            ("--no-deps", f"llamafactory=={llamafactory.VERSION}"),
        ),
        imports=("gptqmodel", "optimum.gptq", "peft", "trl", "fastapi", "sse_starlette"),
        # Its CUDA kernels take an hour to compile; Triton's need no compiling.
        variables={"BUILD_CUDA_EXT": "0"},
        gigabytes=3.0,
    )


def python() -> Path:
    interpreter = environments.python(environment())
    if interpreter is None:
        size = f"about {environment().gigabytes:.0f} GB"
        raise UsageError(f"GPTQ needs its own environment, {size}; `deploy setup gptq` builds it")
    return interpreter


def backend() -> Backend:
    return Backend(str(python()), llamafactory.VERSION, stub=True)


def is_quantised(folder: Path) -> bool:
    path = folder / CONFIG
    how = read_json(path).get("quantization_config") if path.is_file() else None
    return isinstance(how, dict) and how.get("quant_method") == "gptq"


def quantise(
    model: Path,
    part: Path,
    tokenizer: Any,
    drawn: Drawn,
    params: QuantiseParams,
    group: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Write the quantised model to a folder; return what gptq_job.py measured."""
    job = _question(model, tokenizer, drawn.held_out[0].question, _ANSWER) | {
        "output": str(part.resolve()),
        "bits": params.bits,
        # In bytes: GPTQModel reads no "0.5GB", and says so only once it has quantised.
        "shard_size": params.shard_size and round(params.shard_size * 10**9),
        "group_size": group,
        "calibration": [row.ids for row in drawn.calibration],
        "held_out": [{"ids": row.ids, "start": row.start} for row in drawn.held_out],
    }
    log = part.with_name(f"{part.name[1:-5]}.gptq.log")
    # It writes to the folder that it is started in.
    with tempfile.TemporaryDirectory(prefix="gptq-", dir=part.parent) as scratch:
        result = _run("quantise", job, Path(scratch).resolve(), log, say)
    log.unlink()
    repair(part, chat_template(model))
    # What GPTQModel notes of the one run that made the model is taken away.
    (part / "quant_log.csv").unlink(missing_ok=True)
    for path in filter(Path.is_file, (part / CONFIG, part / "quantize_config.json")):
        config = read_json(path)
        for holder in (config, config.get("quantization_config") or {}):
            (holder.get("meta") or {}).pop("offload_to_disk_path", None)
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return dict(result)


def answer(model: Path, question: str, tokens: int, scratch: Path) -> str:
    """Return the greedy answer of a GPTQ model, which only GPTQ's environment can load."""
    with quiet():
        tokenizer = load_tokenizer(ModelFiles(model.name, model))
    conversation = [{"role": "user", "content": question}]
    [ids] = prompt_ids(HFEncoder(tokenizer, model.name), [conversation])
    job = _question(model, tokenizer, ids, tokens)
    ids = _run("answer", job, scratch, scratch / "gptq.log", lambda progress: None)
    return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()


def _question(model: Path, tokenizer: Any, ids: Sequence[int], tokens: int) -> dict[str, Any]:
    stops = sorted(ends(HFEncoder(tokenizer, model.name)))
    path = str(model.resolve())
    return {"model": path, "question": ids, "ends": stops, "max_new_tokens": tokens}


def _run(
    verb: str, job: dict[str, Any], scratch: Path, log: Path, say: Callable[[str], None]
) -> Any:
    job_path, result_path = scratch / "job.json", scratch / "result.json"
    job_path.write_text(json.dumps(job), encoding="utf-8")
    log.unlink(missing_ok=True)
    arguments = [str(python()), str(_JOB.resolve()), verb, str(job_path), str(result_path)]
    variables = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    child = programs.start(arguments, log, variables, scratch)
    shown, layer, since = 0, "", time.monotonic()
    code = None
    with programs.stopping(child):
        while code is None:
            code = child.wait(_LOOK_EVERY)
            text = log.read_text("utf-8", "replace").replace("\r", "\n")
            lines, layers = _PROGRESS.findall(text), _LAYER.findall(text)
            for line in lines[shown:]:
                say(line)
            shown = len(lines)
            if layers and layers[-1][0] != layer and time.monotonic() - since >= _TELL_EVERY:
                layer, since = layers[-1][0], time.monotonic()
                say(f"layer {layer} of {layers[-1][1]}")
    if code or not result_path.is_file():
        why = f"ended with {code}: {reason_in(log)}"
        raise ModelError(f"GPTQModel {why}. Nothing was kept; all it said: {log}")
    return json.loads(result_path.read_text(encoding="utf-8"))
