"""Commands that list and tidy up: `ls`, `rm`, `datasets`, `models`, `cache`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.commands.options import DATA, AsJson, refuse_missing
from curate.commands.with_options import with_options
from curate.parameters.option import option

if TYPE_CHECKING:
    from curate.data.public_sets import PublicSet
    from curate.models.inventory import ModelInfo


@with_options
def list_(
    dataset_dir: Path = option(DATA, "Folder of dataset_info.json."),
    as_json: AsJson = False,
) -> None:
    """List the data sets that are registered in a folder, and what made each of them.

    Example: curate ls
    """
    from curate.llamafactory.dataset_info import registered

    refuse_missing("--dataset-dir", dataset_dir, DATA)
    entries = registered(dataset_dir)
    if entries:
        header = ("name", "recipe", "kept", "read", "from")
        console.show_table(entries, header)
    else:
        console.say(f"no data set is registered in {dataset_dir}; `curate ifd` makes one")
    console.answer({"datasets": [each._asdict() for each in entries]})


@with_options
def rm(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="As `curate ls` has them.")],
    dataset_dir: Path = option(DATA, "Folder of dataset_info.json."),
    as_json: AsJson = False,
) -> None:
    """Take data sets away: the entry, and the files that the manifest says curate wrote.

    What you wrote or changed yourself stays, and is named.

    Example: curate rm huatuo_ifd
    """
    from curate.emission.remove import remove

    results = [remove(dataset_dir, name) for name in names]
    for result in results:
        entry = "its entry and " if result.entry else ""
        files = ", ".join(result.removed) or "no file"
        console.say(f"'{result.name}': {entry}{files} taken away")
        if result.gone:
            console.say(f"  gone before: {', '.join(result.gone)}")
        for file, why in result.stays.items():
            console.say(f"  stays: {file} ({why})")
    console.answer({"removed": list(map(asdict, results))})


@with_options
def datasets(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show this one whole.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List public data sets: where they are, what they become, how to read them.

    Example: curate datasets huatuogpt
    """
    from curate.data.public_sets import public_set, public_sets

    on = console.stdout()
    if name:
        known = public_set(name)
        hazards = (("" if at else "watch for", text) for at, text in enumerate(known.hazards))
        console.show_table([*_shown(known).items(), *hazards])
        # Not in the table: a command is there to be copied, in one line.
        on.print(known.command, markup=False, soft_wrap=True)
        answer: dict[str, Any] = {**asdict(known), "command": known.command}
    else:
        every = list(public_sets().values())
        header = ("name", "rows", "size", "licence", "languages", "becomes")
        short = [{**_shown(each), "licence": each.licence.partition(" (")[0]} for each in every]
        console.show_table([[each[key] for key in header] for each in short], header)
        for known in every:
            on.print(f"{known.name}: {known.where}", markup=False, soft_wrap=True)
        console.say("`curate datasets NAME` shows what to watch for and the command that reads it")
        answer = {"datasets": [{**asdict(known), "command": known.command} for known in every]}
    console.answer(answer)


def _shown(known: PublicSet) -> dict[str, str]:
    return {
        "name": known.name,
        "about": known.about,
        "address": f"https://{known.address}",
        "rows": "unknown" if known.rows is None else f"{known.rows:,}",
        "size": known.size,
        "licence": known.licence,
        "languages": ", ".join(known.languages),
        "becomes": known.becomes,
        "read as": known.format,
        **({"fetch": known.fetch} if known.fetch else {}),
    }


_KEYS = "name kind option parameters licence languages ready where folder bytes_on_disk note"


@with_options
def models(
    get: str | None = option(
        None,
        "Fetch a model of the list, a hub id or ms://OWNER/NAME, to this machine.",
        metavar="NAME",
    ),
    accept_terms: bool = option(False, "You have read and accept its licence."),
    as_json: AsJson = False,
) -> None:
    """List the models that are at hand: use, licence, languages, where they lie.

    Those that come with curate, and those of a hub that were fetched.

    Example: curate models

    Example: curate models --get smollm2 --json
    """
    from curate.errors import UsageError
    from curate.models.inventory import at_hand, fetched

    if accept_terms and not get:
        raise UsageError("--accept-terms: of which model? Give --get NAME, too")
    fetched_one = {"name": get, "folder": fetched(get, accept_terms)} if get else {}
    listed = at_hand()
    lines = [
        (
            *(model.name, model.option, model.parameters or "-", _languages(model)),
            *(model.licence or "see its card", _state(model)),
        )
        for model in listed
    ]
    header = ("model", "for", "size", "languages", "licence", "state")
    console.show_table(lines, header)
    for model in listed:
        about = f"{model.name}: {model.note}\n  {model.where}"
        console.stdout().print(about, markup=False, soft_wrap=True)
    if fetched_one:
        console.say(f"{get} lies in {fetched_one['folder']}")
    about_each = [{key: getattr(model, key) for key in _KEYS.split()} for model in listed]
    console.answer({**fetched_one, "models": about_each})


def _languages(model: ModelInfo) -> str:
    known = model.languages
    if len(known) > 3 and {"en", "zh"} <= set(known):
        return f"en, zh, {len(known) - 2} more"
    return ", ".join(known) or "?"


def _state(model: ModelInfo) -> str:
    size = model.bytes_on_disk
    if not model.ready:
        return "not all of it is here" if size else "to be fetched"
    return f"{size / 1e6:,.0f} MB here" if size >= 1e6 else f"{size / 1e3:,.0f} kB here"


@with_options
def cache(
    clear: bool = option(False, "Delete what can be made again at little cost."),
    as_json: AsJson = False,
) -> None:
    """List what lies in the cache folder ($CURATRAIN_CACHE).

    Models, environments, answers that were asked for and journals of runs that have not ended
    stay; delete them by hand.

    Example: curate cache --clear
    """
    from curate.engine.cache_contents import clear as delete
    from curate.engine.cache_contents import contents
    from curate.system.cache import cache_dir

    found = contents()
    lines = [(each.name, each.files, console.size(each.size), each.about) for each in found]
    console.say(f"cache folder: {cache_dir()}")
    if lines:
        console.show_table(lines, ("part", "files", "size", "what it is"))
    freed = delete() if clear else 0
    if clear:
        console.say(f"{console.size(freed)} deleted")
    elif lines:
        console.say("`curate cache --clear` deletes what can be made again at little cost")
    parts = list(map(asdict, found))
    console.answer({"folder": cache_dir(), "parts": parts, "freed": freed})
