"""What transformers itself answers, computed in a process whose memory is free again afterwards.

python -m deploy.serving.reference TASK.json ANSWERS.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(task: Path, answers: Path) -> None:
    """Answer one question with several models.

    Args:
        task: {"folders": {name: folder}, "dtype", "question", "tokens"}.
        answers: Becomes {name: answer}.
    """
    from curate.models.generate import load_generator

    told = json.loads(task.read_text(encoding="utf-8"))
    asked = [{"role": "user", "content": told["question"]}]
    found = {
        name: load_generator(folder, told["dtype"]).answer([asked], told["tokens"])[0]
        for name, folder in told["folders"].items()
    }
    answers.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
