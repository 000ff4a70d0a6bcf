"""The page about scale: its examples against their own schemas, its formula by hand.

`python -m tests.test_scale_page CRD.yaml` takes from KubeRay's definition of a RayJob what the
example uses, into tests/fixtures/rayjob_schema.json (there: that of KubeRay 1.7.0).
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.benchmarks.rows_per_hour import MARKS, Parts, rows_per_hour
from tests.conftest import ROOT

PAGE = (ROOT / "curate" / "guide" / "scale.md").read_text(encoding="utf-8")
SCHEMA = ROOT / "tests" / "fixtures" / "rayjob_schema.json"
# Of `man sbatch` (Slurm 19.05 and later), and what their values look like.
SBATCH = {
    "job-name": r"[\w-]+",
    "nodes": r"\d+(-\d+)?",
    "ntasks-per-node": r"\d+",
    "cpus-per-task": r"\d+",
    "gpus-per-node": r"(\w+:)?\d+",
    "exclusive": r"()|user|mcs|topo",
    "time": r"(\d+-)?\d+:\d\d:\d\d",
    "output": r"\S+",
}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}


def example(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def wrong(schema: dict[str, Any], value: Any, at: str = "") -> list[str]:
    """Return what of a value is not as the schema has it."""
    if schema.get("x-kubernetes-int-or-string"):
        return [] if isinstance(value, int | str) else [f"{at}: {value!r}"]
    if not isinstance(value, TYPES[schema["type"]]) or value not in schema.get("enum", [value]):
        return [f"{at}: {value!r}"]
    if isinstance(value, list):
        return [each for n, item in enumerate(value)
                for each in wrong(schema["items"], item, f"{at}/{n}")]  # fmt: skip
    if not isinstance(value, dict):
        return []
    said = [f"{at}: no {key}" for key in schema.get("required", ()) if key not in value]
    for key, item in value.items():
        known = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
        said += wrong(known, item, f"{at}/{key}") if known else [f"{at}/{key} is not known"]
    return said


def used(schema: dict[str, Any], values: list[Any]) -> dict[str, Any]:
    """Return of a schema what some values need: keys, types, what is required and allowed."""
    kept = {key: schema[key] for key in ("type", "required", "enum", "x-kubernetes-int-or-string")
            if key in schema}  # fmt: skip
    if "properties" in schema:
        keys = {key for value in values for key in value}
        kept["properties"] = {
            key: used(schema["properties"][key], [value[key] for value in values if key in value])
            for key in sorted(keys & set(schema["properties"]))
        }
    elif "additionalProperties" in schema:
        inside = [item for value in values for item in value.values()]
        kept["additionalProperties"] = used(schema["additionalProperties"], inside)
    if "items" in schema:
        kept["items"] = used(schema["items"], [item for value in values for item in value])
    return kept


def test_the_kuberay_example_is_a_rayjob() -> None:
    job, schema = yaml.safe_load(example("yaml")), json.loads(SCHEMA.read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert wrong(schema, job) == []
    job["spec"]["rayClusterSpec"]["authOptions"]["mode"] = "none"
    del job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["groupName"]
    job["spec"]["entryPoint"] = ""
    assert wrong(schema, job) == [
        "/spec/rayClusterSpec/authOptions/mode: 'none'",
        "/spec/rayClusterSpec/workerGroupSpecs/0: no groupName",
        "/spec/entryPoint is not known",
    ]


def test_the_slurm_example_is_a_batch_script() -> None:
    script = example("bash")
    subprocess.run(["bash", "-n"], input=script.encode(), check=True)
    lines = script.splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    directives = [line.split(" ", 1)[1] for line in lines if line.startswith("#SBATCH ")]
    # sbatch stops looking at the first command.
    assert lines[1 : 1 + len(directives)] == [f"#SBATCH {each}" for each in directives]
    for name, _, value in (each.removeprefix("--").partition("=") for each in directives):
        assert re.fullmatch(SBATCH[name], value), name
    words = shlex.split(re.sub(r"\\\n", " ", script), comments=True)
    start = words[words.index("symmetric-run") : words.index("--")]
    # The command's own choice, or refused by it.
    assert not {"--head", "--node-ip-address", "--port", "--block"} & set(start)
    assert {"--address", "--min-nodes"} <= set(start)


@pytest.mark.parametrize("language", ["bash", "yaml"])
def test_the_commands_of_the_examples_have_these_options(language: str) -> None:
    if language == "yaml":
        words = shlex.split(yaml.safe_load(example("yaml"))["spec"]["entrypoint"])
    else:
        script = shlex.split(re.sub(r"\\\n", " ", example("bash")), comments=True)
        words = script[script.index("--") + 1 :]
    assert words[:2] == ["curate", "ifd"]
    argv = [sys.executable, "-m", "curate", "ifd", "--help"]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    options = [word for word in words if word.startswith("--")]
    assert len(options) == 7
    assert [option for option in options if f"{option} " not in shown] == []


def test_rows_an_hour_by_hand() -> None:
    known = dict.fromkeys(("peak", "share"), "")
    # 1e9 parameters: 1e13 x 0.5 / 2e9 = 2,500 tokens/s a GPU, 5 rows/s; the tokeniser 16 x 10.
    parts = Parts(peak=1e13, share=0.5, tokens_a_row=500, tokenised=10, ms_a_batch=1,
                  bytes_a_row=1000, known=known)  # fmt: skip
    one = rows_per_hour(parts, 1, 1)
    assert one == (pytest.approx(3600 / (1 / 160 + 1 / 5)), "GPUs")
    assert rows_per_hour(parts, 1, 64) == (pytest.approx(3600 / (1 / 160 + 1 / 320)), "tokeniser")
    # A driver that needs a second a batch hands out 16,384 / 500 rows a second.
    slow = Parts(**{**vars(parts), "ms_a_batch": 1000})
    assert rows_per_hour(slow, 1, 8)[1] == "driver"


def test_the_page_has_its_marks() -> None:
    assert PAGE.count(MARKS) == 2


if __name__ == "__main__":
    crd = yaml.safe_load(Path(sys.argv[1]).read_text())
    version = next(each for each in crd["spec"]["versions"] if each["name"] == "v1")
    schema = version["schema"]["openAPIV3Schema"]
    name = {"type": "object", "properties": {"name": {"type": "string"}}}
    schema["properties"]["metadata"] = name  # which the definition leaves to Kubernetes
    found = used(schema, [yaml.safe_load(example("yaml"))])
    SCHEMA.write_text(json.dumps(found, indent=1) + "\n")
