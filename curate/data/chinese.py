"""Whether what was decoded as GB18030 can be Chinese at all.

Nearly every sequence of high bytes is valid GB18030: Shift-JIS, EUC-KR, EUC-JP and Big5 decode
without a fault, into rare characters that nobody writes. A third of the characters of any Chinese
text are among the two hundred most frequent ones.
"""

from __future__ import annotations

import re

_FREQUENT = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里"
    "用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心本前开但因只从想实日"
    "這個們來為國說時會對過發後裡種經麼學現當沒動還進樣開從實間長問東車"
    "医病药治疗症痛血您什请"
)
_HAN = re.compile(r"[\u3400-\u9fff\ue000-\uf8ff\uf900-\ufaff]|[\U00020000-\U0003ffff]")
# Measured: 36-43 % in real rows of six data sets, at most 3 % in texts of the other encodings.
_FEWEST_SHARE = 0.05
_FEWEST_KINDS = 25


def may_be_chinese(text: str) -> bool:
    """Return False if the characters are not those of which Chinese texts consist.

    Args:
        text: Decoded as GB18030; fewer than 25 different Chinese characters tell nothing.

    Example:
        >>> may_be_chinese("高血压患者能吃党参吗？")
        True
    """
    han = _HAN.findall(text)
    if len(set(han)) < _FEWEST_KINDS:
        return True
    return sum(each in _FREQUENT for each in han) >= _FEWEST_SHARE * len(han)
