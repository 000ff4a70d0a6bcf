"""The command `train`."""

from __future__ import annotations

from typing import Any

from typer.exceptions import TyperException

from curate import console
from curate.commands.with_options import program
from curate.errors import UsageError
from train.commands import stages
from train.commands.estimate import estimate
from train.setup import setup

app = program(
    "Fine-tune on an emitted data set: `train sft` takes the newest and the bundled model."
)
stages.add_to(app)
app.command()(estimate)
app.command("ls")(stages.list_)
app.command()(setup)


def typed(*arguments: Any, **how: Any) -> Any:
    """Run a command line; what was typed as LLaMA-Factory takes it is told as we do."""
    try:
        return app(*arguments, **how)
    except TyperException as error:
        option, message = getattr(error, "option_name", "--"), error.format_message()
        here = getattr(error, "ctx", None)
        # estimate, ls and setup take no keys of LLaMA-Factory.
        trains = not here or not here.parent or any("--set" in p.opts for p in here.command.params)
        if trains and (told := _as_typed_here(option.lstrip("-"), message)):
            raise UsageError(f"{message.rstrip('.')}: {told}") from error
        raise


def _as_typed_here(key: str, message: str) -> str:
    from train.config.keys import hints, recorded

    whole = "`train run -- ` takes a whole command of LLaMA-Factory"
    if key in hints()["ours"]:
        return f"{hints()['ours'][key]}; {whole}"
    if key in recorded("keys") or key in hints()["now"]:
        return f"give --set {hints()['now'].get(key, key)}=VALUE; {whole}"
    return "`train run CONFIG.yaml` trains by a YAML" if ".yaml" in message else ""


def main() -> None:
    console.run(lambda: typed(standalone_mode=False))
