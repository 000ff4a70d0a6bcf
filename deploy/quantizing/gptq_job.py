"""Runs inside the environment that `deploy setup gptq` builds; nothing of curate is there.

`python gptq_job.py quantise JOB.json RESULT.json`: the perplexity and an answer of a model, its
GPTQ version written to a folder, and the same of that version as transformers loads it.
`python gptq_job.py answer JOB.json RESULT.json`: what transformers answers with a quantised model.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main() -> None:
    verb, job_path, result_path = sys.argv[1:]
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    torch, transformers = map(importlib.import_module, ("torch", "transformers"))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if verb == "answer":
        result: Any = _answer(torch, _loaded(transformers, job["model"], device), job)
    else:
        result = _quantise(torch, transformers, device, job)
    Path(result_path).write_text(json.dumps(result), encoding="utf-8")


def _quantise(torch: Any, transformers: Any, device: str, job: dict[str, Any]) -> dict[str, Any]:
    gptqmodel = importlib.import_module("gptqmodel")
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        job["model"], dtype="auto", output_loading_info=True
    )
    if missing := sorted(info["missing_keys"]):  # transformers has drawn them at random
        raise ValueError(
            f"{len(missing)} of the model's weights are not in its files ({missing[0]} …)"
        )
    before = _measured(torch, model.to(device).eval(), job, "before")
    del model
    began = time.monotonic()
    config = gptqmodel.QuantizeConfig(
        bits=job["bits"], group_size=job["group_size"], desc_act=False, sym=True
    )
    model = gptqmodel.GPTQModel.load(job["model"], config, device=device)
    rows = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in job["calibration"]]
    _say(f"quantising with {len(rows)} rows")
    model.quantize(rows, batch_size=1)
    model.save(job["output"], **({"max_shard_size": size} if (size := job["shard_size"]) else {}))
    seconds = time.monotonic() - began
    model = _loaded(transformers, job["output"], device)
    names = ("gptqmodel", "optimum", "torch", "transformers")
    return {
        "before": before,
        "after": _measured(torch, model.eval(), job, "after"),
        "device": device,
        "seconds": round(seconds, 1),
        "versions": {name: version(name) for name in names},
    }


def _loaded(transformers: Any, folder: str, device: str) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype="auto", device_map={"": device}
    )


def _measured(torch: Any, model: Any, job: dict[str, Any], when: str) -> dict[str, Any]:
    _say(f"perplexity {when}: {len(job['held_out'])} rows")
    total, tokens = 0.0, 0
    with torch.inference_mode():
        for row in job["held_out"]:
            ids = torch.tensor([row["ids"]], device=model.device)
            logits = model(input_ids=ids).logits[0, row["start"] - 1 : -1].float()
            nll = torch.nn.functional.cross_entropy(logits, ids[0, row["start"] :], reduction="sum")
            total, tokens = total + float(nll), tokens + len(logits)
    return {
        "perplexity": math.exp(total / tokens),
        "tokens": tokens,
        "answer": _answer(torch, model, job),
        "dtype": str(model.dtype).removeprefix("torch."),
    }


def _answer(torch: Any, model: Any, job: dict[str, Any]) -> Any:
    question = torch.tensor([job["question"]], device=model.device)
    answer = model.generate(
        input_ids=question,
        attention_mask=torch.ones_like(question),
        max_new_tokens=job["max_new_tokens"],
        do_sample=False,
        eos_token_id=job["ends"],
        pad_token_id=job["ends"][0],
    )
    return answer[0, question.shape[1] :].tolist()


def _say(text: str) -> None:
    sys.stdout.write(f"curatrain: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
