"""A pandas DataFrame of row texts, shown in a notebook as they are."""

from __future__ import annotations

import pandas as pd


class Frame(pd.DataFrame):
    """A DataFrame in every respect, but that `$5 and $10` in it is no formula, and no cell is cut.

    What is made of one, `frame[frame.kept]`, is one, too.
    """

    @property
    def _constructor(self) -> type[Frame]:
        return Frame

    def _repr_html_(self) -> str | None:
        with pd.option_context("display.html.use_mathjax", False, "display.max_colwidth", None):
            html: str | None = super()._repr_html_()  # type: ignore[misc]
        # pandas names the class of MathJax 2 alone.
        classes = " tex2jax_ignore mathjax_ignore"
        return html and _sent(html.replace(" tex2jax_ignore", classes, 1))

    def __repr__(self) -> str:
        return _sent(super().__repr__())


def _sent(text: str) -> str:
    # Half a surrogate pair in a row would end the whole cell in an error.
    return text.encode(errors="replace").decode()
