"""Runs inside the environment that `deploy setup gptq` builds; nothing of curate is there.

`python gptq_answer.py TASK.json ANSWER.json`: what transformers answers with a quantised model.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path


def main() -> None:
    """Write the ids of the greedy answer to the ids of a question."""
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch, transformers = (importlib.import_module(name) for name in ("torch", "transformers"))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = transformers.AutoModelForCausalLM.from_pretrained(
        task["model"], dtype="auto", device_map={"": device}
    )
    question = torch.tensor([task["question"]], device=model.device)
    answer = model.generate(
        input_ids=question,
        attention_mask=torch.ones_like(question),
        max_new_tokens=task["tokens"],
        do_sample=False,
        eos_token_id=task["ends"],
        pad_token_id=task["ends"][0],
    )[0, question.shape[1] :]
    Path(sys.argv[2]).write_text(json.dumps(answer.tolist()), encoding="utf-8")


if __name__ == "__main__":
    main()
