"""The letter that an answer claims, by how Chinese and English say so.

The phrasings are those that lm-evaluation-harness, CMMLU, C-Eval and OpenCompass look for. They
take the first that fits, some a random letter where none does; here all that are claimed count,
and a text that claims two, or only talks about letters, has none.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import compress

from curate.scorers.overlap import HAN
from deploy.exam.questions import LETTERS, Question

_THOUGHT = re.compile(r"^\s*<think>.*?(</think>|\Z)", re.DOTALL)
_FAR = 1000  # characters that a list of options has at most, as far as it is looked for
_NAME = re.compile(r"^\W*(?:选项|(?i:choice|option)\b)")
_BARE = re.compile(r"\W*([A-J])\W*")
_PRONOUN = re.compile(r"\bI(?=['’]|\s+[a-z])")
_REASON = r"(?:and|as|because|but|for|here|since|so|too)\b"
_ARTICLE = rf"\bA(?=\s+(?!{_REASON}|(?:due|in|is|or|was|with|would)\b)[a-z\d])"
# An option's own text may begin with a letter, as in B超, C反应蛋白, A diuretic.
_WORD = re.compile(r"[A-J]+(?![A-Za-z])[^\w\n]{0,2}(?:[A-Za-z]+|\w)")

# What is said of the right option and of others, behind their letters.
_GOOD = r"(?:most\s+)?(?:accurate|appropriate|best|correct|likely|right|suitable)\b"
_NOUN = (
    r"(?:answer|cause|choice|diagnosis|explanation|guess|letter|one|option|pick|response|selection"
    r"|statement)\b"
)
_GUT = r"(?:[最更]|比较)?(?:正确|[合恰]适|恰当|准确|佳|可能|符合(?:题意|条件))"
_RIGHT = (
    rf"(?:选?项)?(?:也?[是为]?(?:{_GUT}|答案|对(?:的|(?!\w)))|当选)"
    r"|\s+(?:is|was|(?:must|should|would|(?:appear|seem)s\s+to)\s+be)\s+"
    r"(?:(?:likely|probably|clearly)\s+)?(?:(?:my|the)\s+)?"
    rf"(?:(?:{_GOOD}\s+)?{_NOUN}|correct\b|{_GOOD}(?!-|\s+(?!{_REASON})\w))"
)
_WRONG = r"(?:选?项)?[是为]?(?:不|错|有误)|\s+(?:are|can|does|is|isn|was|wasn|would)\b"
_OPTION = r"(?:选项|选择?|(?i:choice|option)\s+)?[(\[【“\"'*{]{0,3}"
_AND = (
    r"(?:(?:选?项)?[)\]】”\"'*}]{0,3}[ \t]{0,3}"
    rf"(?:(?:[,、/&+]|和|与|及|或者?|还是|(?i:and|or)\b)[ \t]{{0,3}}){{1,2}}{_OPTION}|[ \t]{{0,3}})"
)
_LETTERS = rf"((?>[A-J](?:{_AND}[A-J](?![A-Za-z\d])){{0,9}}))"

# What comes before a claim; behind a hint there is one only where nothing but the letter follows.
_CUE = (
    r"(?:答(?:案|(?=:))|选择?|\\boxed"
    rf"|{_GUT}的?(?:选[项择]|一?[项个]|说法|[描叙陈]述|诊断)?(?=[是为选:应])"
    rf"|(?i:\b(?:ans(?:wer)?\b|final\b|(?:{_GOOD}|my)\s+{_NOUN}|{_GOOD}(?=\s*[:=]))"
    r"|\b(?:cho(?:ose|osing|se|sen)|(?:pick|select)(?:ed)?|go(?:ing)?\s+with)\b"
    r"|(?:['’]d|would)\s+say\b))"
)
_HINT = (
    r"(?:所以|因此|因而|故|综上(?:所述)?|可[见知]|认为|觉得|猜|大概|估计|应[该当]?(?=[是为])"
    r"|(?i:\b(?:actually|believe|conclusion|guess|hence|it(?:['’]s)?|maybe|most likely|perhaps"
    r"|probably|so|therefore|think|thus)(?:\s+that)?\b))"
)
_LINK = (
    r"(?:选项|应[该当]?|最?可能|显然|无疑|[就是为]|选择?|[\s,:=\-–>→(\"“'`*【】〗\[\]{<$]|\\\w+\{"
    rf"|(?i:\b(?:is|was|be|could|may|might|must|should|will|would|here|{_NOUN}"
    r"|(?!un|hard|rare)\w+ly|indeed|still|(?:for|to)\s+(?:the|this)\s+question)\b)){0,20}+"
)
_CLAIM = re.compile(
    rf"{_CUE}{_LINK}{_LETTERS}(?={_RIGHT}|(?!{_WRONG}))"
    rf"(?:选?项)?+(?![A-Za-z\d]|[-'’]\w|(?!{_RIGHT}|[因是为吧啊呢])[{HAN}])"
    rf"|{_HINT}{_LINK}{_LETTERS}(?:选?项)?+吧?[ \t]{{0,3}}(?=[^\w\s-]|\n|\Z)"
)
# What is asked, supposed or denied.
_DENIED = re.compile(
    rf"{_ARTICLE}|[^\n.。!?]{{0,200}}\?|(?:[不别勿非没]有?|错误的?|如果|[若假][如设]?|要是|难道|为什么)"
    rf"(?:[能可会应该当要宜是]|一定|建议|正确的?){{0,4}}(?:{_CUE}|{_HINT})"
    r"|(?i:\b(?:cannot|if|never|nor|not|whether)|n['’]t)\b"
    rf"(?:(?:\s+(?!(?:but|so)\b)\w+){{0,4}}?\s+(?:{_CUE}|{_HINT})){{1,3}}"
    rf"|(?i:\b(?:false|incorrect|wrong))\s+{_NOUN}"
)
_JUDGED = re.compile(
    rf"((?:^|[^\w\s]|{_HINT}|只有|选项|\b(?i:because|but|choice|only|option|since)\b)[^\w\n]{{0,9}})?"
    rf"(?<![A-Za-z\d]){_LETTERS}(?:({_RIGHT})|{_WRONG})",
    re.MULTILINE,
)
_ENDS = r"[)\]*]*(?:\W*$|[,。.])"
# The first letter of a line; not that of a word, nor the first of several, nor one that is talked
# about, as in "选项A描述的是".
_FIRST = re.compile(
    rf"\W{{0,20}}(?:(?:(?i:option|choice)[ \t]+|选项)[(\[*]*(?=[A-J]{_ENDS})"
    rf"|(?![A-J]选?项(?!{_ENDS})))"
    rf"([A-J])(?:选?项)?+(?![A-Za-z\d_]|[ \t]+(?!{_REASON})\w|[{HAN}]|{_AND}[A-J](?![A-Za-z\d]))"
)


def letter_in(answer: str, question: Question) -> str:
    """Return the one letter that an answer names, '' if it names none, or several.

    Example:
        >>> [letter_in(text, question) for text in ("B. 肝", "我选B。", "A or B", "A patient")]
        ['B', 'B', '', '']
    """
    text = _PRONOUN.sub("", _in_one_width(_THOUGHT.sub("", answer))).strip()
    beginning = text.split("\n\n")[0]
    options = [*zip(question.letters, map(_bare, question.options), strict=True)]
    if match := _BARE.fullmatch(beginning):
        named = {match[1]}
    elif same := {letter for letter, option in options if option == _bare(text) != ""}:
        named = same
    else:
        labelled = [letter.lower() + option for letter, option in options if option]
        named = _claimed(text, beginning, labelled, question)
    return named.pop() if len(named) == 1 and named <= {*question.letters} else ""


def _claimed(text: str, beginning: str, labelled: list[str], question: Question) -> set[str]:
    words = filter(None, map(_WORD.match, map(_in_one_width, question.options)))
    unworded = re.sub("|".join(re.escape(word[0]) for word in words) or "(?!)", "_", text)
    claims = _DENIED.sub("_", unworded)

    def goes_through(line: str) -> bool:
        return sum(each in _bare(line) for each in labelled) > 1

    named: set[str] = set()
    for match in _CLAIM.finditer(claims):
        letters = match[1] or match[2]
        rest = claims[match.end() : match.end() + _FAR]
        rest = letters + rest.split("\n\n" if "\n" in match[0] else "\n")[0]
        named |= set() if goes_through(rest) else {*re.findall("[A-J]", letters)}
    judged = [*_JUDGED.finditer(claims)]
    if len({*"".join(match[2] for match in judged)} & {*LETTERS}) == 1:  # several are gone through
        named |= {match[2] for match in judged if match[1] is not None and match[3]}
    alone = [not goes_through(line) for line in beginning.split("\n")]
    first = map(_FIRST.match, compress(claims.split("\n"), alone))
    begun = {match[1] for match in first if match}
    if alone[0]:
        begins = _bare(_NAME.sub("", text))
        begun |= {each[0].upper() for each in labelled if begins.startswith(each)}
    return named | begun if len(begun) == 1 else named  # several are a list of the options


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", _in_one_width(text)).lower()


def _in_one_width(text: str) -> str:
    return unicodedata.normalize("NFKC", text)
