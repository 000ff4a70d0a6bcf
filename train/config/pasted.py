"""From a YAML or a command line that was written for LLaMA-Factory to what is typed here."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.errors import DataError, UsageError, check_one_of
from curate.system.files import at_home
from train.config.keys import hints, recorded
from train.config.plan import Request
from train.config.presets import STAGES, WRITTEN

_VARIABLE = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)", re.DOTALL)
# What may stand before a command, and what joins it with others or leads its output elsewhere.
_BEFORE = ("$", "env", "export", "nohup")
_OF_SHELLS = re.compile(r"&&?|\|\|?|;|\d?>>?(&\d)?|&>|<")
# Keys of an export, and the options of `deploy` for them.
_EXPORTING = {
    "merge": {"export_dir": "--output"},
    "quantize": {
        **{"export_quantization_bit": "--bits", "export_quantization_nsamples": "--rows"},
        **{"export_quantization_maxlen": "--max-length", "export_size": "--shard-size"},
        **{"dataset": "--dataset", "dataset_dir": "--dataset-dir", "export_dir": "--output"},
    },
}
_FILES = (".yaml", ".yml", ".json")
# Variables that say where and by how many processes is trained. No others: a secret in one would
# be recorded with the run.
_TAKEN = {
    *("CUDA_VISIBLE_DEVICES", "FORCE_TORCHRUN", "NPROC_PER_NODE", "NNODES", "NODE_RANK"),
    *("MASTER_ADDR", "MASTER_PORT", "DISABLE_VERSION_CHECK"),
}


def request_of(words: Sequence[str], pairs: Sequence[str]) -> tuple[Request, list[str]]:
    words, variables = _split(words)
    verb, arguments = _arguments(words)
    values = _values(arguments) | _of_pairs(pairs)
    for key, value in values.items():
        if "${" in str(value) or str(value).startswith("$"):
            raise UsageError(f"{key}: {value} is not replaced here; write the value itself")
    for key, why in hints()["kinds"].items():
        if values.get(key) and not (key == "infer_backend" and "stage" in values):
            raise UsageError(f"{key}: {why}")
    if verb == "export" or "export_dir" in values:
        raise UsageError(_export(values))
    for key in ("model_name_or_path", "dataset"):
        if not values.get(key):
            raise UsageError(f"no {key} is named: that trains nothing; name it there")
    if values.pop("resume_from_checkpoint", None):
        raise UsageError("resume_from_checkpoint: leave it out, and give --resume")
    notes = [
        f"{name} is left out: put it into the environment" for name in sorted({*variables} - _TAKEN)
    ]
    if not values.pop("do_train", False):
        notes.append("do_train is not there: LLaMA-Factory would train nothing; it is added")
    if overwrite := bool(values.pop("overwrite_output_dir", False)):
        notes.append("overwrite_output_dir: a run that is in the folder is replaced")
    if values.get("trust_remote_code"):
        notes.append("trust_remote_code: code that comes with the model is run")
    for old in set(values) & set(hints()["gone"]):
        notes.append(f"{old} is left out: {hints()['gone'][old]}")
    check_one_of("stage", stage := str(values.pop("stage", "sft")), STAGES)
    output, reward = (
        at_home(str(path)) if path else None
        for path in (
            values.pop("output_dir", None),
            stage == "ppo" and values.pop("reward_model", None),
        )
    )
    request = Request(
        stage=stage,
        dataset=(_text("dataset", values.pop("dataset")),),
        dataset_dir=at_home(str(values.pop("dataset_dir", None) or "data")),
        model=str(values.pop("model_name_or_path")),
        reward=reward,
        output=output,
        pairs=[
            f"{_today(key)}={_text(key, value)}"
            for key, value in values.items()
            if value is not None and key not in hints()["gone"] and key != "do_predict"
        ],
        preset=WRITTEN,
        overwrite=overwrite,
        variables={name: value for name, value in variables.items() if name in _TAKEN},
    )
    return request, notes


def _split(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the words of a paste without what line ends leave, and the variables before them."""
    text = words[0] if len(words) == 1 else ""
    # A line is longer than a file's name can be, or no file has its name.
    if re.search(r"\s", text.strip()) and (len(text) > 250 or not Path(text).is_file()):
        line = re.sub(r"\\\s*\n", " ", text.rstrip(" \\\t\r\n"))
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise UsageError(f"the paste cannot be read ({error}); paste it whole") from error
        if joining := [word for word in words if _OF_SHELLS.fullmatch(word)]:
            raise UsageError(
                f"'{joining[0]}' is for a shell; paste the command of LLaMA-Factory alone, without "
                "what stands before it or behind it"
            )
    words = [word.strip() for word in words if word.strip(" \\\t\r\n")]
    variables: dict[str, str] = {}
    while words and (words[0] in _BEFORE or _VARIABLE.fullmatch(words[0])):
        if match := _VARIABLE.fullmatch(words.pop(0)):
            variables[match[1]] = match[2]
    return words, variables


def _arguments(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return train or export, and what a command gives to it; refuse commands that do not."""
    program, *rest = words or [""]
    name = Path(program).name
    if name.startswith("python"):
        module = rest[:1] == ["-m"]
        name, *rest = rest[1:] if module else (rest or [""])
        if not module and Path(name).name in ("train.py", "train_bash.py"):
            return "train", rest
        name = "llamafactory-cli" if name.startswith("llamafactory") else name
    if name in ("llamafactory-cli", "lmf"):
        verb, *rest = rest or ["help"]
        if verb not in ("train", "export"):
            why = hints()["verbs"].get(verb, "allowed is train")
            raise UsageError(f"llamafactory-cli {verb}: {why}")
        return verb, rest
    if name in hints()["launchers"]:
        raise UsageError(f"{name}: {hints()['launchers'][name]}")
    if program.startswith("--") or program.endswith(_FILES):
        return "train", list(words)
    raise UsageError(
        f"'{program[:60]}' is neither a YAML nor a command of LLaMA-Factory; allowed are "
        "CONFIG.yaml, or -- and `llamafactory-cli train …`"
    )


def _values(arguments: Sequence[str]) -> dict[str, Any]:
    """Return keys and values: of a file, of key=value behind it, of flags."""
    values: dict[str, Any] = {}
    rest = list(arguments)
    if rest and rest[0].endswith(_FILES):
        import yaml

        path = at_home(rest[0])
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise DataError(
                f"{path} cannot be read: {error.strerror}; give a YAML of LLaMA-Factory that is "
                "here"
            ) from error
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            raise DataError(f"{path} cannot be read ({' '.join(str(error).split())})") from error
        if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
            raise DataError(f"{path} is no list of keys and values; give a YAML of LLaMA-Factory")
        return values | _of_pairs(rest[1:])
    while rest:
        flag = rest.pop(0)
        key, separator, value = flag.removeprefix("--").partition("=")
        if not flag.startswith("--"):
            raise UsageError(f"'{flag[:60]}' stands where a flag such as --stage is wanted")
        found = [value] if separator else []
        while not separator and rest and not rest[0].startswith("--"):
            found.append(rest.pop(0))
        is_no = not found and key.startswith("no_") and key not in hints()["now"]
        values[key[3:] if is_no else key] = _read(",".join(found)) if found else not is_no
    return values


def _of_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    values = {}
    for pair in pairs:
        key, separator, value = pair.lstrip("-").partition("=")
        if not separator:
            ours = "; options of `train run` stand before the --" if pair.startswith("--") else ""
            raise UsageError(f"{pair}: allowed is key=value, for example learning_rate=1e-4{ours}")
        values[key.strip()] = _read(value)
    return values


def _read(text: str) -> Any:
    """Return a flag's value; what is no plain word of YAML stays text."""
    words = {"true": True, "false": False, "null": None, "": None}
    return words.get(text.lower(), text)


def _text(key: str, value: Any) -> str:
    if isinstance(value, list):
        return (" " if key == "fsdp" else ",").join(map(str, value))
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


def _today(key: str) -> str:
    """Return a key of older releases under its name of today."""
    now: str = hints()["now"].get(key, key)
    return now if now in recorded("keys") and key not in recorded("keys") else key


def _export(values: Mapping[str, Any]) -> str:
    """Return the command that does what `llamafactory-cli export` was asked for."""
    values, run = dict(values), values.get("adapter_name_or_path")
    if values.get("export_quantization_bit"):
        command = ["deploy", "quantize", str(values.get("model_name_or_path"))]
        if data := values.get("export_quantization_dataset"):
            values |= {"dataset": Path(str(data)).stem, "dataset_dir": Path(str(data)).parent}
    elif run:
        command = ["deploy", "merge", str(run)]
    else:
        return "a whole model needs no merging; `deploy serve` takes its folder"
    for key, option in _EXPORTING[command[1]].items():
        command += [option, str(values[key])] if values.get(key) else []
    return f"that is done by `{shlex.join(command)}`"
