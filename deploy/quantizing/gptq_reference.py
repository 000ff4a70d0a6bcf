"""What transformers answers with a quantised model, which only GPTQ's environment can load."""

from __future__ import annotations

import json
from pathlib import Path

from curate.backend import process
from curate.errors import ModelError
from deploy.output import last_error
from deploy.quantizing import gptq

_JOB = Path(__file__).parent / "gptq_answer.py"


def answer(model: Path, question: str, tokens: int, scratch: Path) -> str:
    """Return the greedy answer of a GPTQ model.

    Args:
        model: Its folder.
        question: As a user asks it.
        tokens: Of the longest answer.
        scratch: A folder for files on the way.

    Raises:
        UsageError: GPTQ's environment is not built.
        ModelError: The model cannot be loaded.
    """
    from curate.models.encoder import HFEncoder
    from curate.models.generation.prompt import ends, first_token, render
    from curate.models.quiet import quiet
    from curate.models.resolve import ModelFiles
    from curate.models.tokenizer import load_tokenizer

    python = gptq.python()
    with quiet():
        tokenizer = load_tokenizer(ModelFiles(model.name, model))
    encoder = HFEncoder(tokenizer, model.name)
    text = render(encoder, [{"role": "user", "content": question}])
    task, told, log = (scratch / f"gptq.{each}" for each in ("task", "answer", "log"))
    asked = {
        "model": str(model.resolve()),
        "question": [*first_token(tokenizer, encoder, text), *encoder.encode([text])[0]],
        "ends": sorted(ends(tokenizer, encoder)),
        "tokens": tokens,
    }
    task.write_text(json.dumps(asked), encoding="utf-8")
    arguments = [str(python), str(_JOB.resolve()), str(task), str(told)]
    child = process.start(arguments, log, {"HF_HUB_OFFLINE": "1"}, scratch)
    with process.stopping(child, 5.0):
        code = child.wait()
    if code or not told.is_file():
        raise ModelError(f"transformers cannot answer with {model.name}: {last_error(log)}")
    ids = json.loads(told.read_text(encoding="utf-8"))
    return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()
