"""An adapter and its base become one model, through LLaMA-Factory's export, and prove it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import ModelError, UsageError
from curate.llamafactory import backend as llamafactory
from curate.system import process
from curate.system.failure import reason_in
from curate.system.manifest import to_json, versions
from curate.system.model_folder import chat_template, stored_dtype, weight_bytes
from deploy.output import (
    MANIFEST,
    check_output,
    set_chat_template,
    unfinished,
)
from deploy.runs import ADAPTER, Adapter, resolve_base

if TYPE_CHECKING:
    from curate.models.protocols import Message
    from deploy.merging.agreement import Agreement, Answers

DTYPES = ("auto", "float32", "bfloat16", "float16")
_SHARD_GB = 5
_ROOM = 1.1


@dataclass(frozen=True)
class Merged:
    """A merged model.

    Attributes:
        folder: Where it lies.
        dtype: Of its weights.
        bytes: Of its files.
        agreement: Its answers beside the adapter's.
        repaired: Names that older readers would have refused.
    """

    folder: Path
    dtype: str
    bytes: int
    agreement: Agreement
    repaired: tuple[str, ...]


def merge(
    adapter: Adapter,
    output: Path,
    asked: Sequence[Sequence[Message]],
    dtype: str,
    say: Callable[[str], None],
) -> Merged:
    """Merge, repair, compare, and give the folder its name if all is well."""
    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype}: allowed are {', '.join(DTYPES)}")
    backend = llamafactory.find()
    base, fingerprint = resolve_base(adapter)
    chosen = stored_dtype(base) if dtype == "auto" else dtype
    check_output(output, _ROOM * weight_bytes(base))
    with unfinished(output) as part:
        say(f"merging {adapter.folder} into {adapter.base_name} ({chosen}), LLaMA-Factory's export")
        _export(backend, adapter, base, part, chosen)
        repaired = _repair(base, adapter, part)
        say(f"comparing {len(asked)} greedy answers of the merged model and of the adapter")
        agreement = _agreeing(base, adapter, part, asked, chosen, output)
        manifest = {
            **_manifest(adapter, fingerprint, chosen, agreement, repaired),
            "versions": {**versions(), "llamafactory": backend.version},
        }
        (part / MANIFEST).write_text(to_json(manifest), encoding="utf-8")
    return Merged(
        output,
        chosen,
        sum(path.stat().st_size for path in output.rglob("*") if path.is_file()),
        agreement,
        tuple(repaired),
    )


def _export(
    backend: llamafactory.Backend, adapter: Adapter, base: Path, part: Path, dtype: str
) -> None:
    import yaml

    told = json.loads((adapter.folder / ADAPTER).read_text(encoding="utf-8"))
    settings = {
        "model_name_or_path": str(base.resolve()),
        "adapter_name_or_path": str(adapter.folder.resolve()),
        "finetuning_type": str(told["peft_type"]).lower(),
        # Of a folder without a run nobody knows it; what this one would change is put right later.
        "template": adapter.template or "empty",
        "export_dir": str(part.resolve()),
        "export_size": _SHARD_GB,
        "export_device": "cpu",
        "infer_dtype": dtype,
        "trust_remote_code": False,
    }
    config, log = part / "export.yaml", part.with_name(f"{part.name[1:-5]}.export.log")
    config.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    log.unlink(missing_ok=True)
    variables = {**backend.variables, "HF_HUB_OFFLINE": "1"}
    child = process.start(backend.command("export", [str(config)]), log, variables)
    with process.stopping(child):
        code = child.wait()
    config.unlink()
    if code or not any(part.glob("*.safetensors")):
        raise ModelError(
            f"LLaMA-Factory's export into {adapter.base_name} ended with {code}: "
            f"{reason_in(log)}. Nothing was kept; all it said: {log}"
        )
    log.unlink()


def _repair(base: Path, adapter: Adapter, part: Path) -> list[str]:
    """Put names and chat template right; return what was changed."""
    from curate.llamafactory.older_readers import for_older_readers

    changed = for_older_readers(part)
    # What it was trained with lies beside the adapter; the base's may say something else.
    kept = chat_template(adapter.folder) or chat_template(part if adapter.template else base)
    if adapter.template is None:  # written from a template that nobody has chosen
        (part / "Modelfile").unlink(missing_ok=True)
    _readable(part)
    if kept != chat_template(part):
        set_chat_template(part, kept)
        changed.append("chat template: the adapter's own" if kept else "chat template: none")
    return changed


def _agreeing(
    base: Path,
    adapter: Adapter,
    part: Path,
    asked: Sequence[Sequence[Message]],
    dtype: str,
    output: Path,
) -> Agreement:
    from deploy.merging.agreement import compare

    found = compare(base, adapter.folder, part, asked, dtype)
    wrong = found.differing
    if not found.kept:
        wrong = wrong or tuple(each for each in found.answers if each.tie is not None)
    if wrong:
        raise ModelError(
            f"the merged model does not answer like the adapter: {len(wrong)} of "
            f"{len(found.answers)} greedy answers differ. {_both(wrong[0])}. Nothing was written "
            f"to {output}. See that {adapter.folder} was trained on {adapter.base_name} "
            "(--base MODEL), or keep more digits with --dtype float32"
        )
    return found


def _both(answers: Answers) -> str:
    return (
        f"To {answers.prompt!r} the adapter says {answers.adapter!r}, the merged model "
        f"{answers.merged!r}"
    )


def _manifest(
    adapter: Adapter, fingerprint: str, dtype: str, found: Agreement, repaired: Sequence[str]
) -> dict[str, Any]:
    """Return what made the model: no paths but what the user typed, nothing of the time."""
    return {
        "format": 1,
        "made_by": "deploy merge",
        "adapter": {"name": adapter.name, "sha256": adapter.sha256},
        "base": {"name": adapter.base_name, "fingerprint": fingerprint},
        "template": adapter.template,
        "dataset": adapter.run.get("dataset"),
        "run": {key: adapter.run.get(key) for key in ("name", "stage", "method", "config_sha256")},
        "dtype": dtype,
        "repaired": list(repaired),
        "check": {
            "answers": len(found.answers),
            "same": found.same,
            "ties": found.ties,
            "changed_by_adapter": found.changed,
            "nats_lost": round(found.lost, 4),
            "nats_learned": round(found.learned, 4),
        },
    }


def _readable(part: Path) -> None:
    """Let those read the weights who may read the config: safetensors are written for us alone."""
    for path in part.glob("*.safetensors"):
        path.chmod((part / "config.json").stat().st_mode)
