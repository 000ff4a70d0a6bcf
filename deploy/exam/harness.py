"""lm-evaluation-harness on the same questions: its likelihoods of letters beside ours.

It sees what this environment has and adds what is missing, in an environment of its own.
"""

from __future__ import annotations

import json
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

from curate.errors import ModelError, UsageError
from curate.models.resolve import base_of, files_of
from curate.system import environments, programs
from curate.system.environments import Environment
from curate.system.failure import reason_in
from curate.system.model_folder import TOKENIZER_CONFIG, is_adapter
from deploy.exam.questions import Exam
from deploy.exam.sitting import behind, letter_model

VERSION = "0.4.13"
_TASK = "exam"


def environment() -> Environment:
    """Return the environment; torch and the like are this one's, found by PYTHONPATH."""
    return Environment(
        name="eval",
        purpose="lm-evaluation-harness, to check `deploy eval` with",
        steps=((f"lm_eval[hf]=={VERSION}",),),
        imports=("lm_eval", "transformers", "peft"),
        variables={"PYTHONPATH": sysconfig.get_path("purelib")},
        gigabytes=0.3,
    )


def python() -> Path:
    interpreter = environments.python(environment())
    if interpreter is None:
        raise UsageError("--harness needs lm-evaluation-harness; `deploy setup eval` brings it")
    return interpreter


def likeliest(name: str, exam: Exam, say: Callable[[str], None]) -> tuple[str, ...]:
    """Return the letters that the harness finds likeliest, by the same text before the answer."""
    model = letter_model(name)
    files = files_of(name)
    base = base_of(files) if is_adapter(files.folder) else files
    own = files if (files.folder / TOKENIZER_CONFIG).is_file() else base
    arguments = {"pretrained": str(base.folder.resolve()), "tokenizer": str(own.folder.resolve())}
    arguments |= {"peft": str(files.folder.resolve())} if base is not files else {}
    arguments["dtype"] = model.dtype
    rows = []
    for question in exam.questions:
        prompt = model.encoder.render(question.conversation(exam.shots), True)
        options = [behind(prompt) + letter for letter in question.letters]
        gold = question.letters.index(question.answer)
        rows.append({"prompt": prompt, "options": options, "gold": gold})
    task: dict[str, object] = {
        "task": _TASK,
        "dataset_path": "json",
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{prompt}}",
        "doc_to_choice": "{{options}}",
        "doc_to_target": "gold",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    with tempfile.TemporaryDirectory(prefix="curatrain-eval-") as scratch:
        folder = Path(scratch)
        data, log = folder / "rows.jsonl", folder / "harness.log"
        data.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        task["dataset_kwargs"] = {"data_files": {"test": str(data)}}
        (folder / f"{_TASK}.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
        say(f"lm-evaluation-harness {VERSION} computes {model.name} …")
        command = [
            *(str(python()), "-m", "lm_eval", "--model", "hf", "--tasks", _TASK),
            *("--model_args", json.dumps(arguments), "--device", model.device),
            *("--include_path", scratch, "--output_path", str(folder / "out"), "--log_samples"),
        ]
        variables = {**environment().variables, "HF_HUB_OFFLINE": "1", "HF_HOME": scratch}
        child = programs.start(command, log, variables)
        with programs.stopping(child):
            code = child.wait()
        samples = next(folder.glob("out/**/samples_*.jsonl"), None)
        if code or samples is None:
            raise ModelError(f"lm-evaluation-harness ended with {code}: {reason_in(log)}")
        lines = map(json.loads, samples.read_text(encoding="utf-8").splitlines())
        values = {line["doc_id"]: [float(r[0]) for r in line["filtered_resps"]] for line in lines}
    # In the order of the questions; each value is the log-likelihood of a letter.
    best = (values[place].index(max(values[place])) for place in range(len(exam.questions)))
    return tuple(q.letters[at] for q, at in zip(exam.questions, best, strict=True))
