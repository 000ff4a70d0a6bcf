"""Commands called in this process, as a shell would call them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from curate import console
from curate.cli import app
from curate.models.packaged_models import PACKAGED, ensure
from curate.system.cache import cache_dir


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines of stderr that tell of an error."""
        return [line for line in self.err.splitlines() if line.startswith("error:")]


class Caller:
    """Calls `curate`, or another command line, with arguments and collects what it says."""

    def __init__(
        self, capsys: pytest.CaptureFixture[str], app: typer.Typer = app, name: str = "curate"
    ) -> None:
        self._capsys, self._app, self._name = capsys, app, name

    def __call__(self, *arguments: object) -> Answer:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            console.run(
                lambda: self._app(
                    [str(each) for each in arguments], self._name, standalone_mode=False
                )
            )
        said = self._capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Answer(code, said.out, said.err)

    def refused(self, message: str, *arguments: object) -> str:
        """Call a command that has to end with exactly one line of error, and return that line."""
        answer = self(*arguments)
        assert answer.code == 2, answer
        assert len(answer.errors) == 1, answer.err
        assert "Traceback" not in answer.err, answer.err
        assert answer.out == ""
        assert re.search(message, answer.errors[0]), answer.errors[0]
        return answer.errors[0]


def share_models(cache: Path) -> Path:
    """Make a cache of its own, but for the models, which take long to convert."""
    own = os.environ.pop("CURATRAIN_CACHE", None)
    try:
        ensure(PACKAGED["smollm2"])
        common = cache_dir()
    finally:
        if own is not None:
            os.environ["CURATRAIN_CACHE"] = own
    cache.mkdir(parents=True, exist_ok=True)
    for name in ("models", "fingerprints"):
        (common / name).mkdir(exist_ok=True)
        if not (cache / name).is_symlink():
            (cache / name).symlink_to(common / name)
    return cache
