"""What is wrong with what was asked and answered: pure functions over texts, each True for wrong."""

# ruff: noqa: E501 - patterns and lists of words
from __future__ import annotations

import functools
import re
from os.path import commonprefix

from curate.content.spans import simplified
from curate.data.describe import language_of

_HAN = re.compile("[\\u3400-\\u4dbf\\u4e00-\\u9fff]")
_HEAD = 200  # characters in which an answer says what it is
_SUBSTANCE = 80  # characters behind a refusal that answer after all

_AI = (
    r"(?:(?:人工智能|AI|ＡＩ|大?语言|大型|聊天|虚拟|智能|数字)(?:语言)?(?:医疗|健康|医生|对话|聊天|智能)?"
    r"(?:助手|助理|模型|机器人|程序|系统|大模型|医生)|人工智能|AI|ChatGPT|机器人)"
)
_AS_AI = re.compile(
    rf"作为(?:一[个名款种台位])?(?:由[^，。]{{1,12}}的)?(?:基于[^，。]{{1,12}}的)?{_AI}(?=[，,、：: ]|我|本|无|不|没|的我|$)"
    rf"|我(?:只|仅|仅仅)?(?:是|毕竟是|不过是)(?:一[个名款种台位])?(?:由[^，。]{{1,14}}的)?(?:基于[^，。]{{1,12}}的)?{_AI}(?!的)"
    r"|\bas an? (?:artificial intelligence|AI|(?:large )?language model)\b(?! (?:engineer|researcher|developer|expert))"
    r"|\bI(?:'m| am) (?:just |only |merely )?an? (?:AI|artificial intelligence|(?:large )?language model)\b(?! (?:engineer|researcher|developer|expert))",
    re.I,
)
_REFUSES = re.compile(
    r"(?:抱歉|对不起|不好意思|很遗憾|遗憾的?是|请原谅|请见谅)[^。！!\n]{0,30}?(?:无法|不能|没办法|没有办法|不便|不会|不可以|不适合|拒绝|帮不了|没有能力|不清楚|不了解|不知道)"
    r"|(?:我|本人|本系统|本助手|作为[^，。]{2,14}[，,]?)(?:暂时|目前|现在|并)?(?:无法|不能|没办法|无权|不便|没有能力|拒绝)(?:直接|为您?|给您?|向您?|对此|就此|在此|继续)*"
    r"(?:您|你)?(?:回答|解答|提供|协助|帮助|满足|完成|处理|执行|生成|给出|讨论|参与|评论|访问|查看|诊断|判断)"
    r"|\b(?:I(?:'m| am) )?(?:sorry|afraid)\b[^.\n]{0,40}\b(?:can(?:no|')t|can not|unable|not able|won't|do(?:n't| not) have)"
    r"|\bI (?:can(?:no|')t|can not|won't|am unable to|am not able to|must decline|do not feel comfortable)\b"
    r"[^.\n]{0,30}\b(?:assist|help|provid|answer|fulfil|comply|complet|generat|creat|discuss|access|support|do that|engage)",
    re.I,
)
_OPEN = re.compile(  # of a last line
    r".*[,，、：:；;（(\[【「『“‘《—\-]|\s*(?:\d{1,2}[.、．)）]|[-*•·#]+|[(（]\d{1,2}[)）])"
)
_UNFINISHED = "在对将把被因为如从以可应需能是有不要会该与和及或并而但且则若使让由于向往至到其这那每各某此之所很更最较非太极几第些建避导包采根据预尽"
_SENTENCES = re.compile(r"[。！？!?\n]|\.\s")
_LETTER = re.compile(r"[^\W\d_]")
_SENTENCE = re.compile(r"[。！？!?]|\.\s")
_LIST_LINE = re.compile(
    r"\s*(?:[-*•·#>|]|\d+[.、．)）:：]|[(（]\d+|[一二三四五六七八九十]+、|[①-⑳])"
)
# Characters: of a piece that comes again, of a loop at least, from piece to piece at most.
_GRAM, _LOOP, _PERIOD = 12, 24, 200

_SOURCE = r"(?:参考资料|参考文献|参考文本|参考内容|资料|材料|文献|文档|文本|文章|上下文|知识库|原文|段落|片段|语料|教材|课文|检索结果|背景信息|背景知识)"
_MENTIONS = re.compile(
    rf"(?:根据|依据|按照|参照|基于|结合|参考)(?:以上|上述|上面|所给|给定|给出|提供|所提供|已有|现有|本|该|这[篇段份些]|此)的?{_SOURCE}"
    rf"|(?:根据|依据|按照|参照|基于)(?:参考资料|参考文献|参考文本|参考内容|资料|文档|上下文|知识库|原文|检索结果|背景信息)(?!提供者|库)"
    rf"|(?:上述|以上|给定|所给|提供的|所提供的|本篇|该|这[篇段份]|参考){_SOURCE}(?:中|里|内|所|并?未|没有|提到|提及|指出|显示|表明|说|可知)"
    rf"|(?:{_SOURCE}[中里]|文中|本[文章节]中?|本书中?|前文|上文)(?:并未|并没有|没有|未|所|曾|已|主要)?(?:提到|提及|指出|所述|所示|述|描述|介绍|讨论|给出|强调|说明|明确)"
    r"|(?:如|见|参见|参照|根据)(?:上|下)?[图表附][\d一二三四五六七八九十]?\d*(?:-\d+|[.．]\d+)?(?:所示|可知|可见)?(?=[，,。；;）)]|中|所示|可)"
    r"|(?:本[章节]|第[\d一二三四五六七八九十]+[章节])(?:中|里|的|所|主要|介绍|讨论|内容)"
    r"|\b(?:according to|based on|as (?:stated|mentioned|described|noted) in|from) (?:the |this |your )?"
    r"(?:(?:provided|given|above|supplied|retrieved|reference|following) )+(?:text|passage|context|document|article|information|material|source|excerpt|content)s?\b"
    r"|\b(?:according to|based on) the (?:text|passage|context|document|article|excerpt)\b"
    r"|\b(?:the|this) (?:text|passage|context|document|article|excerpt) (?:does not |doesn't |also )?(?:state|mention|say|describe|provide|explain|discuss)"
    r"|\b(?:as shown in|see) (?:figure|table|fig\.) ?\d",
    re.I,
)
_SOURCE_WORD = re.compile(
    r"资料|材料|文献|文档|文本|文章|内容|上下文|知识库|[原文本前上]文|文中|段落|片段|语料|教材|课[文本]|检索|背景|本[章节书]|[如见参]图|图表|[如见]表|附[图表件]|第.{1,3}[章节]"
    r"|《|\bbook|[Tt]ext|[Pp]assage|[Cc]ontext|[Dd]ocument|[Aa]rticle|[Ii]nformation|[Mm]aterial|[Ss]ource|[Ee]xcerpt|[Cc]ontent|[Ff]igure|[Tt]able|[Ff]ig\."
)
_ASKS_TO_COPY = re.compile(
    r"改写|改正|纠正|更正|修改|修正|润色|提取|抽取|找出|摘录|摘抄|重复|复述|排序|分类|填空|填入|选择|标点|错别字|语法|编辑|重写|改编|替换|插入|补全|完成|识别|计算|分割|拆分|格式"
    r"|correct|rewrit|edit|gramma|punctuat|tense|extract|identif|quot|repeat|classif|sort|order|insert|replac|fill|complet|convert|transform|paraphras|change|revis|improve|find|select|choose|rephras|format|add|remov|split|how many|count|proofread|spell",
    re.I,
)
_SHOWN = 100  # characters of a prompt that may hold what is mentioned
_ASKS_FOR = re.compile(
    r"翻译|译成|译为|英文|英语|英译|外文|外语|日语|法语|德语|韩语|俄语|西班牙语|拉丁|双语|中文|汉语|代码|编程|函数|程序|公式|变量|正则|网址|链接|邮箱"
    r"|缩写|简称|全称|首字母|拼写|单词|字母|语法|python|java|sql|html|css|json|markdown|latex|[a-z]{4}|translat|chinese|mandarin|pinyin",
    re.I,
)
_FOREIGN = re.compile(
    "[\\u3040-\\u30ff\\uac00-\\ud7af\\u0400-\\u04ff\\u0600-\\u06ff\\u0e00-\\u0e7f\\u0900-\\u097f]"
)
_TRADITIONAL = 0.03


def refuses(answer: str) -> bool:
    """Return whether an answer refuses, and says little besides."""
    match = _REFUSES.search(answer, 0, _HEAD)
    if not match:
        return False
    before = _SENTENCES.split(answer[: match.start()])[:-1]
    besides = "".join(before + _SENTENCES.split(answer[match.end() :])[1:]).strip()
    return len(besides) < _SUBSTANCE * (1 if language_of(answer) == "zh" else 2)


def speaks_as_ai(answer: str) -> bool:
    """Return whether an answer says in its beginning that it comes from a language model."""
    return bool(_AS_AI.search(answer, 0, _HEAD))


def is_cut(answer: str) -> bool:
    """Return whether an answer ends in the middle: of a sentence, a list, a thought, a block.

    A last line without a mark counts where two sentences before have theirs, and it ends as no
    Chinese sentence does, in a bracket or quote, or with a letter of the Latin alphabet.
    """
    text = answer.rstrip()
    thinks = answer.count("<think>") > answer.count("</think>")
    line = text.rsplit("\n", 1)[-1]
    if thinks or text.count("```") % 2 or _OPEN.fullmatch(line):
        return True
    if not text[-1:].isalpha() or _LIST_LINE.match(line):
        return False
    finished, tail = _SENTENCE.split(text)[:-1], _SENTENCE.split(line)[-1]
    is_open = sum(map(tail.count, "（“")) > sum(map(tail.count, "）”"))
    latin = len(tail) < len(line) and text[-1].isascii()
    unfinished = text[-1] in _UNFINISHED or is_open or latin
    return len(finished) > 1 and len(tail) > 1 and unfinished


def loops(answer: str) -> bool:
    """Return whether a text says the same over and over: in one go, or every other sentence.

    In one go is four times or more, and 24 characters at least, of which one is a letter. In such a
    loop any 12 characters come again where the next round begins.
    """
    seen: dict[str, int] = {}
    for place in range(len(answer) - _GRAM + 1):
        piece = answer[place : place + _GRAM]
        before = seen.get(piece, -_PERIOD)
        seen[piece] = place
        period = place - before
        if period < _PERIOD:
            size = max(4 * period, _LOOP)
            loop = answer[before : before + size]
            if len(loop) == size and loop[period:] == loop[:-period] and _LETTER.search(loop):
                return True
    said = [part.strip() for part in _SENTENCES.split(answer)]
    long = [part for part in said if len(part) >= _GRAM]
    return len(long) >= 4 and len(set(long)) <= len(long) / 2


def copies(prompt: str, answer: str) -> bool:
    """Return whether more than 60 % of an answer is one piece of the prompt, which asks for no such thing.

    Such a piece covers the middle fifth of the answer, so that only where this stands in the prompt
    has to be looked at. A short answer counts where it is the prompt itself.
    """
    prompt, answer = prompt.strip(), answer.strip()
    size = len(answer)
    if _ASKS_TO_COPY.search(prompt):
        return False
    if size < (20 if language_of(answer) == "zh" else 60):
        return size > 3 and answer.rstrip("？?。.！!") == prompt.rstrip("？?。.！!")
    first, last = int(size * 0.4), -int(-size * 0.6 // 1)
    at = prompt.find(answer[first:last])
    while at >= 0:
        before, behind = prompt[:at], prompt[at + last - first :]
        run = last - first + len(commonprefix([before[::-1], answer[:first][::-1]]))
        run += len(commonprefix([behind, answer[last:]]))
        if run > 0.6 * size:
            return True
        at = prompt.find(answer[first:last], at + 1)
    return False


def in_another_language(prompt: str, answer: str) -> bool:
    """Return whether a prompt is answered in a language that it neither has nor names."""
    asked, given = language_of(prompt), language_of(answer)
    foreign = len(_FOREIGN.findall(answer))
    if foreign > 10 and foreign > len(_HAN.findall(answer)) and not _FOREIGN.search(prompt):
        return not _ASKS_FOR.search(prompt)
    if asked == given or "other" in (asked, given):
        return False
    if asked == "zh":
        if _ASKS_FOR.search(prompt):
            return False
        return not _HAN.search(answer) and len(re.findall("[A-Za-z]{2,}", answer)) > 4
    return not _HAN.search(prompt) and not re.search("chinese|mandarin|translat", prompt, re.I)


def is_traditional(text: str) -> bool:
    """Return whether more than 3 % of the Chinese characters of a text are traditional ones."""
    changed = len(_traditional().findall(text))
    return changed > 2 and changed > _TRADITIONAL * len(_HAN.findall(text))


def mentions_source(prompt: str, answer: str) -> bool:
    """Return whether prompt or answer mention a text, picture or chapter that is not there."""
    if len(prompt) >= _SHOWN:
        return False
    asked, answered = _SOURCE_WORD.search(prompt), _SOURCE_WORD.search(answer)
    if asked and _MENTIONS.search(prompt):
        return not re.search(r"[:：\n].{40}", prompt)
    return bool(answered and not asked and _MENTIONS.search(answer))


@functools.cache
def _traditional() -> re.Pattern[str]:
    return re.compile(f"[{''.join(map(chr, simplified()))}]")
