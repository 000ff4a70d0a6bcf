"""Where a choice comes from: the command to type again, sources, models, versions, files."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from curate.data.describe import counted, how_read, notes_on
from curate.data.public_sets import public_sets
from curate.data.schema import Source
from curate.emission.emit import made_file, paths
from curate.parameters.car import CarParams
from curate.parameters.dedup import DedupParams
from curate.parameters.ifd import IFDParams
from curate.parameters.mix import MixParams
from curate.parameters.mods import ModsParams
from curate.parameters.option import options_of
from curate.parameters.score import ScoreParams
from curate.parameters.select import SelectParams, recipes
from curate.parameters.split import DecontaminateParams, SplitParams
from curate.reports.chosen import Chosen

_COMMANDS: dict[str, type] = {
    **{"car": CarParams, "dedup": DedupParams, "ifd": IFDParams, "mods": ModsParams},
    **{"score": ScoreParams, "select": SelectParams, "split": SplitParams},
    **{"decontaminate": DecontaminateParams, "mix": MixParams},
}
# Fields that hold "NAME sha256:…" of files, by which option they were given.
_FILES = ("against", "scores", "like", "marks")


def provenance(chosen: Chosen) -> Iterator[tuple[str, str]]:
    """Yield headings and texts; none of them holds a date, a time or a folder of this machine."""
    manifest = chosen.manifest
    if command := command_of(chosen.name, manifest):
        yield "command", command
    yield "recipe", chosen.recipe
    yield "parameters", _json(chosen.params)
    for entry in manifest.get("sources", ()):
        source = Source(**source_fields(entry))
        facts = [f"{how_read(source)}, {counted(source.rows)}, sha256 {source.sha256}"]
        facts += [note.removeprefix(f"{source.name}: ") for note in notes_on(source)]
        yield f"source {source.name}", "; ".join(facts)
        for known in public_sets().values():
            if Path(known.input).name == source.name:
                yield (
                    f"licence of {source.name}",
                    f"{known.licence}, as {known.name} ({known.where})",
                )
    if output := manifest.get("output"):
        yield "output", f"{output['file']}, {counted(output['rows'])}, sha256 {output['sha256']}"
    if manifest.get("model"):
        yield "model", _json(manifest["model"])
    if tokens := (manifest.get("counts") or {}).get("tokens"):
        yield "tokens are counted by", str(tokens.get("by"))
    yield "versions", _json(manifest.get("versions", {}))
    if chosen.folder:
        names = [file.name for file in paths(chosen.folder, chosen.name)[1:]]
        data = made_file(paths(chosen.folder, chosen.name)[2])
        yield "files", ", ".join(dict.fromkeys([data, *names]))


def source_fields(source: dict[str, Any]) -> dict[str, Any]:
    """Return what a manifest says of a file, without what a mixture says of it besides."""
    return {key: source[key] for key in Source.__dataclass_fields__ if key in source}


def command_of(name: str, manifest: Mapping[str, Any]) -> str:
    """Return the command that makes a choice again, '' for one that belongs to another's.

    Example:
        >>> command_of("h_ifd", {"recipe": "ifd", "params": {"keep": "5%"}, "sources": [...]})
        'curate ifd --input huatuo.json --keep 5% --name h_ifd'
    """
    recipe, params = str(manifest.get("recipe")), dict(manifest.get("params") or {})
    if "of" in params:  # a control
        return ""
    command = "select" if recipe in recipes() and recipe not in _COMMANDS else recipe
    if command not in _COMMANDS:
        return ""
    sources = manifest.get("sources", ())
    words = ["curate", command]
    if command == "mix":
        for side in ("domain", "general"):
            names = [source["name"] for source in sources if source.get("side") == side]
            words += [f"--{side}", *names] if names else []
        words += ["--ratio", str(params.pop("ratio", ""))]
    else:
        words += ["--input", *(source["name"] for source in sources)]
        for how in ("fill", "columns", "roles"):
            pairs = {k: v for source in sources for k, v in (source.get(how) or {}).items()}
            words += [f"--{how}", *(f"{k}={v}" for k, v in pairs.items())] if pairs else []
    if command == "select":
        params |= {"recipe": recipe if recipe in recipes() else None}
        # The default is noted also where no model was asked for anything.
        if params.get("model") not in (manifest.get("model") or {}).values():
            params.pop("model", None)
    if command == "split":  # its name and an ending are those of its two sides
        name = name.removesuffix(f"_{manifest.get('side')}")
    for key, (_, default, option) in options_of(_COMMANDS[command]).items():
        value, flag = params.get(key, default), f"--{key.replace('_', '-')}"
        if key in _FILES and value:
            for files in [value] if isinstance(value, str) else value:
                words += [flag, *(each.split(" ")[0] for each in files.split(", "))]
        elif not option.command or value in (None, (), [], option.typed or default):
            continue
        elif isinstance(value, list | tuple):
            words += [word for each in value for word in (flag, str(each))]
        else:
            words += [flag] if value is True else [flag, str(value)]
    return shlex.join([*words, "--name", name])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
