"""Settings against rows, steps, model and files: what would end late, or train badly unnoticed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from curate.errors import UsageError
from curate.system.files import at_home
from curate.system.hub import model_address
from curate.system.model_folder import ADAPTER_CONFIG, CONFIG, missing_shards, read_json
from train.checks.data_set import check_kind
from train.checks.limits import zero_stage
from train.config.keys import hints
from train.config.plan import Plan
from train.config.presets import EVERY, blocks_of, intervals, rows_held

_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model", "*.tiktoken", "*token*.py")
# What training on a quantised base needs; their torch is not that of this environment.
_QUANTISED = {"gptq": "gptqmodel", "awq": "awq", "aqlm": "aqlm"}
_DEQUANTISED = ("mxfp4", "fp8")  # LLaMA-Factory loads them in bfloat16
# Kinds with a table of positions: beyond its end there is nothing to look up.
_TABLE = {"gpt2", "opt", "gpt_neo", "gpt_bigcode", "openai-gpt", "biogpt", "codegen", "gptj"}
_POSITIONS = ("max_position_embeddings", "n_positions", "n_ctx")
_ADAPTERS = ("adapter_name_or_path", "ref_model_adapters", "reward_model_adapters")
_HIGHEST_RATE = 0.05
_MUCH_LOST = 0.1  # share of the tokens


def check(plan: Plan, longest: int | None) -> None:
    """Refuse what LLaMA-Factory would end on, most of it after it has read and loaded all."""
    config = plan.config
    refusals = (
        _rows(plan),
        _together({**config, "zero_stage": zero_stage(config)}),
        _evaluated(config),
        _files(plan),
        _base(plan),
    )
    for why in (why for part in refusals for why in part):
        raise UsageError(why)
    length, positions = _length(config, longest), _positions(plan)
    if plan.model.kind in _TABLE and positions and length > positions:
        raise UsageError(
            f"rows of {length:,} tokens are more than the {positions:,} positions that "
            f"{plan.model.name} has; give --set cutoff_len={positions}"
        )


def _rows(plan: Plan) -> Iterator[str]:
    config = plan.config
    if config.get("max_steps") == 0:
        yield "max_steps=0 trains nothing; give 1 and more, or -1 for whole passes"
    shares, number = config.get("interleave_probs"), len(plan.dataset.name.split(","))
    if shares and len(str(shares).split(",")) != number:
        yield f"interleave_probs {shares}: allowed is one for each data set, and there are {number}"
    held = float(config.get("val_size") or 0)
    if held and config.get("eval_dataset"):
        yield (
            "val_size and eval_dataset do not go together: rows are held out of the data set, or "
            "come from another; leave one out (--set val_size=0)"
        )
    extent = plan.dataset.extent.used(config)
    rows, count = extent.rows, rows_held(extent.rows, config)
    if held and (held == 1 or not 0 < count < rows):
        yield (
            f"val_size {held:g} of {rows:,} rows leaves none to train on or none to evaluate; "
            f"allowed is a share below 1, such as 0.1, or a number of rows from 2 to {rows - 1:,}"
        )
        return
    for side, way in ((rows - count, "packing=false"), (count, "val_size=0")):
        if side and blocks_of(extent, config, side) == 0:
            workers = int(config.get("preprocessing_num_workers") or 1)
            alone = {**config, "preprocessing_num_workers": 1}
            fills_one = workers > 1 and blocks_of(extent, alone, side)
            yield (
                f"{side:,} rows do not fill one block of {config['cutoff_len']:,} tokens"
                f"{f' in any of {workers} processes' if workers > 1 else ''}; give "
                f"{'--set preprocessing_num_workers=1' if fills_one else f'--set {way}'}, or a "
                "smaller cutoff_len"
            )


def _together(config: Mapping[str, Any]) -> Iterator[str]:
    """Tell of keys that LLaMA-Factory does not take beside each other; see keys.toml."""
    for conditions in hints()["together"]:
        words = [_holds(config, condition) for condition in conditions.split()]
        if all(words):
            yield f"{' and '.join(words)}: LLaMA-Factory ends on them together; change one"


def _holds(config: Mapping[str, Any], condition: str) -> str:
    """Return the words of a condition that holds, such as `streaming=True`, else ''."""
    key, equal, wanted = condition.lstrip("!").partition("=")
    name = key.rstrip("!")
    value = config.get(name)
    is_set = value not in (None, False, 0, "") and (name, value) != ("max_steps", -1)
    named = str(value) in wanted.split(",")  # be it 0 or False
    holds = is_set and not named if key.endswith("!") else named if equal else is_set
    if condition.startswith("!"):
        return "" if holds else f"no {name}{equal}{wanted}"
    return f"{name}={value}" if holds else ""


def _evaluated(config: Mapping[str, Any]) -> Iterator[str]:
    saving = str(config.get("save_strategy") or "steps")
    evaluating = str(config.get("eval_strategy") or "no")
    if evaluating != "no" and not config.get("val_size") and not config.get("eval_dataset"):
        yield (
            f"eval_strategy {evaluating}: no rows are held out to evaluate on; give "
            "--set val_size=0.1, --set eval_dataset=NAME, or --set eval_strategy=no"
        )
    best, without = "load_best_model_at_end", "or --set load_best_model_at_end=false"
    if not config.get(best):
        return
    if saving != evaluating:
        yield (
            f"{best} wants to save when it evaluates, and save_strategy is {saving}, eval_strategy "
            f"{evaluating}; give both the same, {without}"
        )
    save = float(config.get("save_steps") or EVERY)
    every = float(config.get("eval_steps") or config.get("logging_steps") or EVERY)
    if saving == "steps" and min(save, every) >= 1 and save % every:
        yield (
            f"{best} wants save_steps {save:g} to be eval_steps {every:g} once or several times; "
            f"give --set save_steps={every:g}, {without}"
        )


def _files(plan: Plan) -> Iterator[str]:
    """Tell of names that lead nowhere, and of packages that are not here."""
    config, data = plan.config, plan.dataset.folder

    def names(key: str) -> list[str]:
        return [name.strip() for name in str(config.get(key) or "").split(",") if name.strip()]

    for name in names("eval_dataset"):
        check_kind(data, name, plan.stage)
    for key, name in ((kind, each) for kind in _ADAPTERS for each in names(kind)):
        is_there = (at_home(name) / ADAPTER_CONFIG).is_file()
        if not is_there and (Path(name).exists() or not model_address(name)):
            yield f"{key} {name}: there is no adapter; give a run that `train ls` lists"
    if isinstance(path := config.get("deepspeed"), str):
        try:
            if not isinstance(json.loads(Path(path).read_text(encoding="utf-8")), dict):
                yield f"deepspeed {path} is no JSON object; give a configuration of DeepSpeed"
        except (OSError, ValueError) as error:
            yield f"deepspeed {path} cannot be read ({error}); give a configuration of DeepSpeed"
    for key, package in hints()["packages"].items():
        name, _, value = key.partition("=")
        wanted = str(config.get(name)) == value if value else bool(config.get(name))
        if wanted and importlib.util.find_spec(package) is None:
            yield (
                f"{key} needs the package {package}, which is not in this environment; leave "
                f"{name} out, or install it (LLaMA-Factory's documentation says which version)"
            )


def _base(plan: Plan) -> Iterator[str]:
    """Tell of a folder that is no whole model, or one that cannot be trained on here."""
    folder, name = Path(plan.model.path), plan.model.name
    if not (folder / CONFIG).is_file():
        return
    # Beside safetensors, they are not read.
    pickled = () if any(folder.glob("*.safetensors")) else folder.glob("pytorch_model*.bin")
    for path in pickled:
        # Of old releases of torch, it is no archive and begins with pickle's own mark.
        if not is_zipfile(path) and path.open("rb").read(2) != b"\x80\x02":
            yield f"{path} is cut short or corrupt; fetch or copy it again"
    if missing := missing_shards(folder):
        yield f"{name} lacks {', '.join(missing[:3])}, which its index names; copy it again"
    if not any(any(folder.glob(pattern)) for pattern in _TOKENIZERS):
        yield f"{name} has no tokenizer (tokenizer.json); copy it there from the model's own folder"
    quantised = read_json(folder / CONFIG).get("quantization_config") or {}
    method = str(quantised.get("quant_method", "")).lower()
    if method and method not in _DEQUANTISED:
        if plan.config["finetuning_type"] not in ("lora", "oft"):
            yield f"{name} is quantised ({method}): adapters alone can be trained: --method lora"
        if plan.config.get("pissa_init"):
            yield f"{name} is quantised ({method}), and pissa_init takes none apart; leave it out"
    package = _QUANTISED.get(method, "")
    if package and importlib.util.find_spec(package) is None:
        yield (
            f"{name} is quantised ({method}), and training on it needs {package}, which is not in "
            "this environment; train the model before it was quantised, then `deploy merge` and "
            "`deploy quantize`"
        )


def _positions(plan: Plan) -> int | None:
    """Return the positions that a model was made for, None where it names none."""
    config = read_json(plan.model.folder / CONFIG) if plan.model.folder is not None else {}
    config = config.get("text_config") or config
    return next((n for key in _POSITIONS if isinstance(n := config.get(key), int)), None)


def _length(config: Mapping[str, Any], longest: int | None) -> int:
    cutoff = int(config["cutoff_len"])
    return cutoff if config.get("packing") or not longest else min(cutoff, longest)


def doubts(plan: Plan, longest: int | None) -> str:
    """Return in one note what would run and train badly; '' if nothing would."""
    config, steps, told = plan.config, plan.steps, {}
    logging = float(config.get("logging_steps") or EVERY)
    for key, usual, by, what in (
        ("warmup_steps", 0, "", "the learning rate never rises to its value"),
        ("logging_steps", logging, "steps", "nothing is logged"),
        ("save_steps", EVERY, "steps", "no checkpoint is saved before the end"),
        ("eval_steps", logging, "no", "nothing is evaluated"),
    ):
        every, strategy = float(config.get(key) or usual), key.replace("_steps", "_strategy")
        is_late = every > steps if by else every >= max(2, steps)
        if is_late and (not by or config.get(strategy, by) == "steps"):
            told[key] = f"{what} ({key} {every:,.0f})"
    notes = []
    if told:
        suits = intervals(steps, 0.1, True, False)
        ways = " ".join(f"--set {key}={suits[key]}" for key in told)
        notes.append(f"in the {steps:,} steps of this run {', '.join(told.values())}: {ways} suits")
    notes += _left_over(plan)
    rate = float(config.get("learning_rate") or 0)
    if rate > _HIGHEST_RATE:
        notes.append(f"a learning rate of {rate:g} forgets everything; 1e-5 to 1e-3 are usual")
    length, positions = _length(config, longest), _positions(plan)
    if positions and not config.get("rope_scaling") and length > positions:
        notes.append(
            f"rows are up to {length:,} tokens long, and the model was made for {positions:,}: "
            f"--set cutoff_len={positions}"
        )
    return "; ".join(notes)


def _left_over(plan: Plan) -> Iterator[str]:
    """Tell of tokens that fill no block, so that they are not trained on."""
    config, extent = plan.config, plan.dataset.extent.used(plan.config)
    rows = extent.rows - rows_held(extent.rows, config)
    blocks = blocks_of(extent, config, rows)
    if config["stage"] != "pt" or blocks is None or not extent.tokens or not rows:
        return
    share = 1 - blocks * int(config["cutoff_len"]) * extent.rows / (extent.tokens * rows)
    if share > _MUCH_LOST:
        yield (
            f"{share:.0%} of the tokens are left over when blocks of {config['cutoff_len']:,} are "
            "filled, and not trained on: --set preprocessing_num_workers=1 and a smaller "
            "cutoff_len leave less"
        )
