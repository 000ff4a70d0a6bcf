"""A run's adapter and its base become one model, through LLaMA-Factory's export, and prove it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import DataError, ModelError, UsageError, check_one_of, did_you_mean
from curate.llamafactory import release as llamafactory
from curate.models.resolve import fingerprint, resolve
from curate.system import model_folder, programs
from curate.system.failure import reason_in
from curate.system.files import sha256_of
from curate.system.manifest import versions
from curate.system.model_folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CONFIG, read_json
from curate.system.run_record import RUN, RunRecord, read_run
from deploy.merging.agreement import QUESTIONS, Agreement, compare
from deploy.output import SAVES, check_output, note, portable, repair, run_or_folder, unfinished

DTYPES = ("auto", "float32", "bfloat16", "float16")
_NOTED = ("name", "stage", "method", "config_sha256")  # of the run
_SHARD_GB = 5
_ROOM = 1.1


@dataclass(frozen=True)
class Adapter:
    folder: Path
    base: str  # the model that it is added to, as a name, a folder or a hub id
    base_name: str  # the same as the user typed it; of a folder that nobody typed, the last part
    sha256: str  # of its weights
    run: RunRecord  # an empty one of a folder that has none

    @property
    def template(self) -> str | None:  # None where nothing says it
        return self.run.template or None


def read_adapter(typed: Path, base: str | None = None) -> Adapter:
    folder = run_or_folder(typed)
    if not folder.is_dir():
        near = did_you_mean(typed.name, [path.parent.name for path in SAVES.glob(f"*/{RUN}")])
        raise UsageError(f"there is no folder {typed}.{near} Give that of a run")
    run = read_run(folder) or RunRecord()
    if run.state != "done":
        wait = "wait for it, or if it was killed, " if run.state == "running" else ""
        again = f"{wait}the same `train` command with --resume goes on"
        raise UsageError(f"the run {folder} is not done ({RUN}: {run.state}); {again}")
    model_folder.refuse_reward_model(folder)
    full = run.method == "full"
    if full or (not model_folder.is_adapter(folder) and (folder / CONFIG).is_file()):
        what = "trained all weights" if full else "is a whole model"
        raise UsageError(f"{folder} {what} and has no adapter: use it as it is, without a merge")
    if not model_folder.is_adapter(folder):
        inside = sorted(path.parent.name for path in folder.glob(f"*/{ADAPTER_CONFIG}"))
        give = f"give one inside it: {', '.join(inside[:8])}" if inside else "give that of a run"
        raise UsageError(f"folder {folder} has no {ADAPTER_CONFIG}; {give}")
    weights = folder / ADAPTER_WEIGHTS
    if not weights.is_file():
        copy = "copy it there, or train again (.bin files are not loaded: they can run code)"
        raise DataError(f"{folder} has no {ADAPTER_WEIGHTS}; {copy}")
    config = read_json(folder / ADAPTER_CONFIG)
    if (task := config.get("task_type")) not in (None, "CAUSAL_LM"):
        raise UsageError(
            f"{folder} is an adapter for {task}, and merged are those that answer (CAUSAL_LM)"
        )
    if (kind := config.get("peft_type")) not in ("LORA", "OFT"):
        what = f"an adapter of type {kind}, which cannot be added to weights"
        raise UsageError(f"{folder} is {what}; allowed are LORA and OFT")
    sha256 = sha256_of(weights)
    noted = (run.adapter or {}).get("sha256")
    if noted and noted != sha256:
        both = f"{RUN} has sha256 {noted[:12]}…, the file {sha256[:12]}…"
        again = f"train again, or remove {RUN} to merge it as it is"
        raise DataError(f"{weights} is not what its run wrote ({both}); {again}")
    name = base or run.typed_base
    base = base or model_folder.adapter_base(folder)
    name = name or (Path(base).name if Path(base).is_dir() else base)
    return Adapter(folder=folder, base=base, base_name=name, sha256=sha256, run=run)


def merge(
    adapter: Adapter, output: Path, dtype: str, say: Callable[[str], None]
) -> tuple[Agreement, dict[str, Any]]:
    """Merge, repair, compare, and give the folder its name if all is well.

    Returns the answers beside the adapter's, and what --json tells.
    """
    check_one_of("--dtype", dtype, DTYPES)
    backend = llamafactory.find()
    try:
        base = resolve(adapter.base).folder
    except ModelError as error:
        gone = f"the model that {adapter.folder} was trained on is not to be had: {error}"
        raise ModelError(f"{gone} Where it has been moved, name it with --base MODEL") from error
    if read_json(base / CONFIG).get("quantization_config"):
        quantised = f"the base {adapter.base} is quantised, and adapters cannot be added to that"
        raise ModelError(f"{quantised}; give the model it was made from with --base MODEL")
    print_of, known = fingerprint(base), adapter.run.model_fingerprint
    if known and known != print_of:
        both = f"fingerprint {print_of[:12]}…, {RUN} has {known[:12]}…"
        other = f"is not the model that {adapter.folder} was trained on ({both})"
        raise ModelError(f"the base {adapter.base} {other}; give that one with --base MODEL")
    chosen = model_folder.stored_dtype(base) if dtype == "auto" else dtype
    check_output(output, _ROOM * model_folder.weight_bytes(base))
    with unfinished(output) as part:
        say(f"merging {adapter.folder} into {adapter.base_name} ({chosen}), LLaMA-Factory's export")
        _export(backend, adapter, base, part, chosen)
        if adapter.template is None:  # written from a template that nobody has chosen
            (part / "Modelfile").unlink(missing_ok=True)
        repaired = repair(part, template_of(adapter, base, part))
        say(f"comparing {len(QUESTIONS)} greedy answers of the merged model and of the adapter")
        agreement = compare(base, adapter.folder, part, chosen)
        if wrong := agreement.wrong:
            raise ModelError(
                f"the merged model does not answer like the adapter: {len(wrong)} of "
                f"{len(agreement.answers)} greedy answers differ. To {wrong[0].prompt!r} the "
                f"adapter says {wrong[0].adapter!r}, the merged model {wrong[0].merged!r}. Nothing "
                f"was written to {output}. See that {adapter.folder} was trained on "
                f"{adapter.base_name} (--base MODEL), or keep more digits with --dtype float32"
            )
        tools = {**versions(), "llamafactory": backend.version}
        noted = manifest(adapter, print_of, chosen, agreement)
        note(part, {**noted, "repaired": repaired, "versions": tools})
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    made = {"folder": output, "dtype": chosen, "bytes": size}
    return agreement, {**made, **agreement.as_dict(), "repaired": repaired}


def template_of(adapter: Adapter, base: Path, part: Path) -> str:
    """Return the chat template it was trained with: its own; the base's may say something else."""
    return model_folder.chat_template(adapter.folder) or model_folder.chat_template(
        part if adapter.template else base
    )


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
    child = programs.start(backend.command("export", [str(config)]), log, variables)
    with programs.stopping(child):
        code = child.wait()
    config.unlink()
    if code or not any(part.glob("*.safetensors")):
        why = f"ended with {code}: {reason_in(log)}. Nothing was kept; all it said: {log}"
        raise ModelError(f"LLaMA-Factory's export into {adapter.base_name} {why}")
    log.unlink()


def manifest(
    adapter: Adapter, fingerprint: str, dtype: str, agreement: Agreement
) -> dict[str, Any]:
    run = adapter.run
    return {
        "format": 1,
        "made_by": "deploy merge",
        "adapter": {"name": adapter.folder.resolve().name, "sha256": adapter.sha256},
        "base": {"name": portable(adapter.base_name), "fingerprint": fingerprint},
        "template": adapter.template,
        "dataset": dict(run.dataset) or None,
        "run": {key: getattr(run, key) or None for key in _NOTED},
        "dtype": dtype,
        "check": agreement.as_dict(),
    }
