"""What transformers itself answers, computed in a process whose memory is free again afterwards.

Models quantised by GPTQ are loaded in an environment of their own.

python -m deploy.serving.reference TASK.json ANSWERS.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(task: Path, answers: Path) -> None:
    """Answer one question with several models."""
    from curate.models.generate import load_generator
    from deploy.quantizing import gptq, gptq_child

    job = json.loads(task.read_text(encoding="utf-8"))
    question, tokens = job["question"], job["tokens"]
    answer_of = {}
    for name, folder in job["folders"].items():
        if gptq.is_quantised(Path(folder)):
            answer_of[name] = gptq_child.answer(Path(folder), question, tokens, task.parent)
        else:
            asked = [{"role": "user", "content": question}]
            answer_of[name] = load_generator(folder, job["dtype"]).answer([asked], tokens)[0]
    answers.write_text(json.dumps(answer_of), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
