"""`curate ifd`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.commands.options import SAVES, Reading, Saves, WithControl, Writing
from curate.commands.result import choose
from curate.commands.with_options import with_options
from curate.parameters.ifd import IFDParams

if TYPE_CHECKING:
    from curate.data.rows import Rows
    from curate.selection import Selection


@with_options
def ifd(
    reading: Reading,
    params: IFDParams,
    writing: Writing,
    saves: Saves = SAVES,
    with_control: WithControl = None,
) -> None:
    """Keep the rows whose instruction helps the model least to expect the response.

    IFD = mean NLL(response | prompt) / mean NLL(response), in nats a token. Higher = harder to
    follow; rows at or above 1, where the instruction does not help at all, are left out.

    What such scores are worth: at equal rows no better than random rows on average
    (arXiv 2410.09335; 2503.01807: 38.7 for IFD, 40.9 for random), and what they
    keep is longer; --with-control tokens writes a control as large.

    Example: curate ifd --input huatuo.json --keep 10%
    With the paper's first stage: curate ifd --input huatuo.json --brief-experience
    """
    from curate.recipes import ifd as recipe
    from curate.recipes.train_between import Place

    def run(rows: Rows, name: str) -> Selection:
        return recipe.ifd(rows, params, Place(writing.output, name, saves, writing.overwrite))

    choose(reading, writing, recipe.NAME, run, with_control or ())
