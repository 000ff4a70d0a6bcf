"""The verbs of `curate distill` as functions: what was answered is kept beside the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.data.read import read, rows_of
from curate.data.rows import Rows
from curate.distill.emission import Made
from curate.distill.making import make
from curate.emission.emit import default_name
from curate.errors import CuratrainError
from curate.parameters.distill import QUESTIONS, VERBS, Asking, models_of
from curate.parameters.option import keywords

if TYPE_CHECKING:
    from curate.data.read import Readable

_DOCUMENTATION = """{says}

    Every answer is kept in `output`, and never asked for again: the same call goes on from there.

    Args:
        given: Rows, from read(), or what it takes; texts for distill_document, examples for
            distill_instruct.
        output: Folder of the rows and of the answers.
        name: Of the data set; the first source's stem and `{verb}` if not given.
        overwrite: Replace a data set of that name that something else has made.
        params: See below.

    Raises:
        UsageError: An option that is unknown or does not fit.
        ModelError: The server gives no answers; those that came are kept, and written.
        DataError: No row was made.

    Example:
        >>> made = curate.distill_{verb}("huatuo.json", {models}, limit=20)
        >>> rows = curate.read(dataset=made.name)
    """


def read_questions(given: Any, **how: Any) -> Rows:
    """Read rows that may be questions alone; of .txt every line is one."""
    paths = [given] if isinstance(given, str | Path) else given
    endings = {str(path)[-4:].lower() for path in paths} if isinstance(paths, list | tuple) else ()
    if set(endings) == {".txt"}:
        how["format"] = how.get("format") or "pretraining"
    return read(given, **how, questions=True)


def _function(params_class: type[Asking]) -> Callable[..., Made]:
    verb = params_class.verb

    def distill(
        given: Readable | Sequence[str | Path],
        output: str | Path = "data",
        name: str | None = None,
        overwrite: bool = False,
        *,
        params: Any,
    ) -> Made:
        asked: Any = given
        if verb == "document":
            paths = [asked] if isinstance(asked, str | Path) else asked
            asked = [Path(path) for path in paths]
        elif verb in QUESTIONS and not isinstance(asked, Rows):
            asked = read_questions(asked)
        else:
            asked = rows_of(asked)
        first = asked.sources[0].name if isinstance(asked, Rows) else asked[0]
        name = name or default_name(Path(first), verb)
        made = make(lambda: asked, params, Path(output), name, overwrite)
        if isinstance(made.stopped, CuratrainError):
            raise made.stopped
        return made

    says = (params_class.__doc__ or "").partition("\n")[0].replace("--", "")
    models = ", ".join(f'{name}="http://127.0.0.1:8000/v1"' for name in models_of(params_class()))
    distill.__name__ = f"distill_{verb}"
    distill.__doc__ = _DOCUMENTATION.format(says=says, verb=verb, models=models)
    return keywords(params_class)(distill)


distill_answer, distill_rewrite, distill_score, distill_prefer = map(_function, VERBS[:4])
distill_dialogue, distill_document, distill_instruct = map(_function, VERBS[4:])
