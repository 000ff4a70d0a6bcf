"""An adapter and its base become one model, through LLaMA-Factory's export, and prove it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import ModelError, UsageError
from curate.llamafactory import release as llamafactory
from curate.system import process
from curate.system.failure import reason_in
from curate.system.manifest import versions
from curate.system.model_folder import (
    ADAPTER_CONFIG,
    chat_template,
    read_json,
    stored_dtype,
    weight_bytes,
)
from deploy.output import check_output, note, repair, unfinished
from deploy.runs import Adapter, resolve_base

if TYPE_CHECKING:
    from curate.models.protocols import Message
    from deploy.merging.agreement import Agreement

DTYPES = ("auto", "float32", "bfloat16", "float16")
_SHARD_GB = 5
_ROOM = 1.1


@dataclass(frozen=True)
class Merged:
    """A merged model, its answers beside the adapter's, and names repaired for older readers."""

    folder: Path
    dtype: str
    bytes: int
    agreement: Agreement
    repaired: list[str]


def merge(
    adapter: Adapter,
    output: Path,
    asked: Sequence[Sequence[Message]],
    dtype: str,
    say: Callable[[str], None],
) -> Merged:
    """Merge, repair, compare, and give the folder its name if all is well."""
    from deploy.merging.agreement import compare

    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype}: allowed are {', '.join(DTYPES)}")
    backend = llamafactory.find()
    base, fingerprint = resolve_base(adapter)
    chosen = stored_dtype(base) if dtype == "auto" else dtype
    check_output(output, _ROOM * weight_bytes(base))
    with unfinished(output) as part:
        say(f"merging {adapter.folder} into {adapter.base_name} ({chosen}), LLaMA-Factory's export")
        _export(backend, adapter, base, part, chosen)
        if adapter.template is None:  # written from a template that nobody has chosen
            (part / "Modelfile").unlink(missing_ok=True)
        repaired = repair(part, template_of(adapter, base, part))
        say(f"comparing {len(asked)} greedy answers of the merged model and of the adapter")
        agreement = compare(base, adapter.folder, part, asked, chosen)
        _check(agreement, adapter, output)
        note(
            part,
            {
                **manifest(adapter, fingerprint, chosen, agreement),
                "repaired": repaired,
                "versions": {**versions(), "llamafactory": backend.version},
            },
        )
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    return Merged(folder=output, dtype=chosen, bytes=size, agreement=agreement, repaired=repaired)


def template_of(adapter: Adapter, base: Path, part: Path) -> str:
    """Return the chat template it was trained with: its own; the base's may say something else."""
    return chat_template(adapter.folder) or chat_template(part if adapter.template else base)


def _export(
    backend: llamafactory.Backend, adapter: Adapter, base: Path, part: Path, dtype: str
) -> None:
    import yaml

    settings = {
        "model_name_or_path": str(base.resolve()),
        "adapter_name_or_path": str(adapter.folder.resolve()),
        "finetuning_type": str(read_json(adapter.folder / ADAPTER_CONFIG)["peft_type"]).lower(),
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


def _check(agreement: Agreement, adapter: Adapter, output: Path) -> None:
    """Refuse a merged model that does not answer like the adapter."""
    if wrong := agreement.wrong:
        raise ModelError(
            f"the merged model does not answer like the adapter: {len(wrong)} of "
            f"{len(agreement.answers)} greedy answers differ. To {wrong[0].prompt!r} the adapter "
            f"says {wrong[0].adapter!r}, the merged model {wrong[0].merged!r}. Nothing was written "
            f"to {output}. See that {adapter.folder} was trained on {adapter.base_name} "
            "(--base MODEL), or keep more digits with --dtype float32"
        )


def manifest(
    adapter: Adapter, fingerprint: str, dtype: str, agreement: Agreement
) -> dict[str, Any]:
    """Return what made the model: no paths but what the user typed, nothing of the time."""
    run = adapter.run
    return {
        "format": 1,
        "made_by": "deploy merge",
        "adapter": {"name": adapter.folder.resolve().name, "sha256": adapter.sha256},
        "base": {"name": adapter.base_name, "fingerprint": fingerprint},
        "template": adapter.template,
        "dataset": dict(run.dataset) if run else None,
        "run": {
            key: getattr(run, key, None) for key in ("name", "stage", "method", "config_sha256")
        },
        "dtype": dtype,
        "check": agreement.as_dict(),
    }
