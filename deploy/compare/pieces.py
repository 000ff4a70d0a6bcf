"""Text in pieces, alike for Chinese and for languages with spaces: no dictionary, no model.

A Chinese character, a word of another script, a mark: each is one piece. Characters are what
Chinese is commonly counted in for ROUGE and BLEU; words would hang on a dictionary that knows no
medical terms.
"""

from __future__ import annotations

import re

# Inside a class of a regular expression: Chinese characters, and kana, which go with them.
HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3040-\u30ff\U00020000-\U0003ffff"
_PIECE = re.compile(rf"[{HAN}]|[^\W_{HAN}]+|[^\s]")


def pieces(text: str) -> list[str]:
    """Return the pieces of a text, marks too, white space not.

    Args:
        text: Any.

    Example:
        >>> pieces("高血压(BP) 140!")
        ['高', '血', '压', '(', 'BP', ')', '140', '!']
    """
    return _PIECE.findall(text)


def words(text: str) -> list[str]:
    """Return the pieces that are no marks, in lower case.

    For English these are the tokens of ROUGE-1.5.5: runs of letters and digits.

    Args:
        text: Any.

    Example:
        >>> words("Don't eat 党参。")
        ['don', 't', 'eat', '党', '参']
    """
    return [each for each in _PIECE.findall(text.lower()) if each[0].isalnum()]
