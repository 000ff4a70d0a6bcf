"""What the installed LLaMA-Factory knows: `python -m tests.train.recording` writes it down."""

from __future__ import annotations

import argparse
import enum
import importlib.metadata
import json
import subprocess
import sys
from typing import Any

from curate.llamafactory.release import STUB
from curate.system import environments
from tests.conftest import ROOT
from train.setup import PPO_VERSION, ppo_environment

FILE = ROOT / "train" / "config" / "llamafactory.json"
_NAMES = """
import json
from llamafactory.hparams.parser import _TRAIN_ARGS
from transformers import HfArgumentParser
print(json.dumps([each.dest for each in HfArgumentParser(_TRAIN_ARGS)._actions]))
"""
_KINDS = {int: "int", float: "float", str: "str", dict: "json"}


def recorded() -> dict[str, Any]:
    """Return the keys that a YAML may have, and the templates with the models they are for."""
    from llamafactory.data.template import TEMPLATES
    from llamafactory.hparams.parser import _TRAIN_ARGS
    from transformers import HfArgumentParser

    actions = HfArgumentParser(_TRAIN_ARGS)._actions
    kept = [each for each in actions if each.nargs != 0]
    return {
        "version": importlib.metadata.version("llamafactory"),
        "keys": {each.dest: _described(each) for each in kept},
        "templates": {name: list(each.stop_words) for name, each in TEMPLATES.items()},
        "media": {name: media for name, each in TEMPLATES.items() if (media := _media(each))},
        "tools": {name: own for name, each in TEMPLATES.items() if (own := _tools(each))},
        "models": _models(),
        "absent": {PPO_VERSION: _absent([each.dest for each in kept])},
    }


def _media(template: Any) -> list[str]:
    """Return the columns of pictures, videos and sounds that a template takes."""
    kinds = ("image", "video", "audio")
    return [f"{kind}s" for kind in kinds if getattr(template.mm_plugin, f"{kind}_token")]


def _tools(template: Any) -> str:
    """Return the tool format of a template, '' for the default one."""
    own = template.format_tools.tool_format
    return "" if own == "default" else str(own)


def _absent(now: list[str]) -> list[str]:
    """Return the keys that the release for ppo has not yet; what is recorded, where it is not."""
    python = environments.python(ppo_environment())
    if python is None:
        found: list[str] = json.loads(FILE.read_text(encoding="utf-8"))["absent"][PPO_VERSION]
        return found
    told = subprocess.run([str(python), "-c", _NAMES], capture_output=True, text=True, check=True)
    return sorted(set(now) - set(json.loads(told.stdout.splitlines()[-1])))


def _described(action: argparse.Action) -> dict[str, Any]:
    kind: Any = action.type
    found: dict[str, Any] = {}
    if getattr(kind, "__name__", "") == "string_to_bool":
        found["kind"] = "bool"
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        found["kind"], action.choices = "str", [each.value for each in kind]
    else:
        found["kind"] = _KINDS.get(kind, "json" if str(kind).startswith("dict") else "str")
    if action.nargs == "+":
        found["many"] = True
    if action.choices:
        found["choices"] = [str(getattr(each, "value", each)) for each in action.choices]
    if action.default is None:
        found["empty"] = True
    return found


def _models() -> dict[str, list[str]]:
    """Return the templates with the last parts of the names of their models, in small letters."""
    from llamafactory.extras.constants import DEFAULT_TEMPLATE, SUPPORTED_MODELS

    found: dict[str, set[str]] = {}
    for name, template in DEFAULT_TEMPLATE.items():
        for path in SUPPORTED_MODELS[name].values():
            found.setdefault(template, set()).add(path.split("/")[-1].lower())
    return {template: sorted(names) for template, names in sorted(found.items())}


def text() -> str:
    """Return the file's text: a line a key, a line a template."""
    told = recorded()
    lines = [f' "version": {json.dumps(told.pop("version"))}']
    for part, entries in told.items():
        inner = ",\n".join(
            f"  {json.dumps(name)}: {json.dumps(each, ensure_ascii=False)}"
            for name, each in entries.items()
        )
        lines.append(f" {json.dumps(part)}: {{\n{inner}\n }}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    sys.path.append(str(STUB))
    FILE.write_text(text(), encoding="utf-8")
