"""Numbers that stand for somebody: by their check digits, by their form, or beside a cue.

Chinese identity numbers: GB 11643-1999, whose check character is that of ISO 7064, MOD 11-2. Cards:
the formula of Luhn, ISO/IEC 7812-1. A number beside a cue counts with a wrong check digit, too:
whoever typed it wrong meant somebody all the same.
"""

# ruff: noqa: E501 - patterns and lists of words
from __future__ import annotations

import re
from collections.abc import Iterator

from curate.content.spans import Span

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_REGION = r"(?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3])\d{4}"
_DAY = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_PERSON = re.compile(rf"{_REGION}{_DAY.pattern}\d{{3}}[\dX]")
_CARD = re.compile(
    r"62\d{14,17}|4\d{15}|(?:5[1-5]|2[2-7]|35|6[05])\d{14}|(?:4563|9558|9400)\d{15}|3[47]\d{13}"
)
_MOBILE = re.compile(r"(?:(?:00)?86)?1(?:3\d|4[5-9]|5[0-35-9]|6[2567]|7[0-8]|8\d|9[0-35-9])\d{8}")
_AREA = re.compile(r"0(?:10|2\d|[3-9]\d\d)")
_HOTLINE = re.compile(r"[48]00[16789]?\d{6,7}|(?:95|96|12)\d{3,4}|100\d{2}")
_GAP = r"[ \-.·_/()]{1,2}"
# Digits in groups, such as 138 1234 5678 and (010)8542-1234.
_GROUPS = re.compile(rf"(?<![\d*])\d+(?:{_GAP}\d+)*[Xx]?(?![\d*])")
_BETWEEN = re.compile(_GAP)
_GROUP = re.compile(r"\d+[Xx]?")
_EXTENSION = re.compile(r" ?[-,(]?(?:转|分机|ext\.?|x) ?\d{1,6}|-\d{2,5}(?!\d)", re.I)
_TO_NUMBER = r"[^\d,，。;；\n]{0,12}$"
_CUE = {
    kind: re.compile(rf"(?:{cue}){_TO_NUMBER}", re.I)
    for kind, cue in {
        "id_number": r"身份(?:证|号|[:：])|证件|证号|公民身份|居民证|[一二]代证|[旧老原]号|[旧老]证|\bsfz|\bID ?(?:card|number|no)",
        "bank_card": r"(?:银行|储蓄|信用|借记|工资|社保|农行|工行|建行|中行|招行|交行|邮储|打款|转账|收款|退款|开户)[^\d,，。;；\n]{0,6}[卡号户到至]"
        r"|汇款?[至到给]|[打转存退划](?:款|账)?[到至入给回]|(?<!诊)(?<!疗)卡[号:： ]|卡$|[账帐][号户]|尾号|card (?:number|no)",
        "phone": r"电话|手机|电联|联系方式|联系我|联络|致电|拨打|来电|回电|回拨|热线|座机|固话|宅电|小灵通|传真|短信|号码|号是|打(?:我|给|这)|[找呼打]我|\btel|phone|mobile|cell|call|text|whatsapp|\bfax",
    }.items()
}
_BEHIND = {
    "id_number": re.compile(r" ?[(\[【〔][^)\]】\d]{0,4}身份证"),
    "bank_card": re.compile(r" ?[(\[【〔][^)\]】\d]{0,4}(?:银行|卡号|账号)"),
    "phone": re.compile(r" ?[(\[【〔][^)\]】\d]{0,4}(?:电话|手机|微信)"),
}
_LENGTHS = {"id_number": range(14, 21), "bank_card": range(12, 22), "phone": range(7, 14)}
_OTHER_PHONE = re.compile(
    r"(?<![\d*+A-Ea-e])(?=(?:[^\d\n]{0,2}\d){9})(?:\(\+\d{1,3}\)|\+\d{1,3}|(?<!\d)(?:00)?86(?=[ -]\d{3}[ -]))(?:[ \-.()]{0,2}\d{2,11}){1,5}(?![\d*])"
)
# Identity cards of Hong Kong, Macao and Taiwan.
_OTHER_CARD = re.compile(
    rf"(?:身份|证件|证号|\bID\b){_TO_NUMBER[:-1]}(?P<code>[A-Z]{{1,2}}\d{{6}} ?\(?[\dA]\)?|[A-Z][1289]\d{{8}}|[157]\d{{6}}\(\d\))(?![\dA-Z])",
    re.I,
)

# Of a number of a record: how it is written, what bears it, what it is called, and what is nobody's.
_SIGN = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼第字年门诊住院急检体病放超影鉴民初终南"
_CODE = (
    r"(?:No(?:[.:]|(?![a-z])) ?)?(?:[A-Za-z]{0,4}(?<!\d)\d{1,4}(?: \d{1,4}){2,11}(?!\d)"
    rf"|(?:[{_SIGN}]{{0,4}}[(\[]?\d{{0,4}}[)\]]?年?[(\[]?[{_SIGN}]{{0,3}}[)\]]?)?[A-Za-z#]{{0,6}}[-_/. ·]?(?:[A-Za-z]{{1,4}}[-_/.])?"
    rf"\d[A-Za-z\d]*(?:[-_/.·][A-Za-z\d]+){{0,5}}(?:[{_SIGN}]{{1,4}}\d+)?(?: \d{{3,}}){{0,5}})"
)
_THING = (
    r"门(?:\(急\))?诊|[住入出]院|急诊|病[案历例程理]|病人|患者|就[诊医]|诊疗|治疗|登记|检[查验]|化验|影像|[胶切玻拍X]片|片子|蜡块|活检|标本|样本|条形?码|腕带|血袋|献血|放疗|透析|扫描|造影|介入|核磁|候诊|快递|运单|手术|麻醉|会诊|转诊|申请|医嘱|处方|取药"
    r"|挂号|预约|流水|体检|档案|随访|受试者|报告|工单|订单|收据|发票|押金|理赔|医保|社保|一卡通|护士|出生医?学?证明?|死亡证明?|接种|疫苗|保健|[孕产]妇|索引|车牌|[\u4e00-\u9fff]镜|(?<![\u4e00-\u9fff])[住门]|(?<![\u4e00-\u9fff])[男女]|床|岁|[B彩]超|超声|[心脑肌]电图?"
    r"|(?<![A-Za-z/._-])(?:CT|MRI?|DR|CR|DSA|PET(?:-?CT)?|LIS|PACS|HIS|EMPI|RIS)"
)
_CALLED = r"(?:号码?|编[号码]|[\u4e00-\u9fff]码|序列|流水|(?:(?<![A-Za-z_])(?-i:ID)|(?<=[\u4e00-\u9fff])id)号?|(?<![A-Za-z])No(?:[.:]|(?![a-z])))"
_RECORD = re.compile(
    rf"(?:(?P<label>[\u4e00-\u9fffA-Za-z]{{0,8}}{_CALLED})"
    r"|\b(?:MRN|UHID|EMPI|(?:medical record|(?:in|out)?patient|hosp(?:ital)?|adm(?:ission)?|accession|chart|record|specimen|exam|sample|subject|screening|random\w+|enrol\w+|case|file|folder|visit|encounter|appointment|booking|ticket|claim|policy|insurance|member|order|invoice|prescription|report|lab|barcode|pathology|imaging|study|RT|Rx|Pt|Reg|Registration|Ref|MR|CT|US)"
    r"[ _]?(?:ID|numbers?|no\.?|#)|(?:subject|barcode)(?= ?[:#\d])))"
    rf"(?:\((?!\d{{4}}\))[^()\n]{{0,8}}\))?[\s:为是系=#「“\"'【<>|*→…]{{0,6}}(?:分别[为是]? ?:?)?(?P<code>{_CODE})"
    # 住院号你记一下,0092311; 病理号报一下。甲:24-19073
    rf"|(?P<asked>(?:(?:{_THING})[\u4e00-\u9fff]{{0,4}}|[您你他她]的){_CALLED})(?:(?!电话|手机|身份|热线)[^\d号码批元价费编拨]){{0,18}}?(?P<answer>{_CODE})"
    # 病历(0092311); 治疗卡KF02291
    rf"|(?P<thing>(?:{_THING})(?:(?:申请|报告|登记|管理|检查)?[单本袋条册片表图]|首页|[检申]\w)?|[\u4e00-\u9fff]{{0,8}}[卡单证条])[\s:(「“【]{{0,2}}(?P<bare>{_CODE})",
    re.I,
)
_NEXT = re.compile(
    rf" ?(?:\([^()\d\n]{{1,4}})?\)? ?(?:[、,;/~+]|还有|以及|[和及与跟至到或]|  ?(?=\d{{6}}))[\u4e00-\u9fff ]{{0,4}}(?:\([^()\d\n]{{0,4}}\))?(?P<code>{_CODE})"
)
_TURNED = re.compile(
    rf"(?<![A-Za-z\d.])(?P<code>{_CODE})(?:号?(?: ?[(【\[〔-]{{1,2}}|[」”\"']?[ ,]?(?:这?就?是|这个|那个|为)[^\d\n,。]{{0,4}}?)(?:{_THING})[\u4e00-\u9fff]{{0,2}}{_CALLED}(?! ?[:为是]? ?[A-Za-z\d])"
    rf"|[号的](?:{_THING}))",
    re.I,
)
_NO_RECORD = re.compile(
    r"批|准(?!生)|文号|注册|许可|标准|追溯|药品|产品|商品|试剂|器械|型号|货号|版|刊|书号|专利|规格|公众号|国药|械|ICD|ATC|CAS|ISBN|DOI|PMID|UDI|Lot|编码(?<![者人本历案书师士生员]编码)|邮|频道|票房|车号|航班|门牌|房号|股|基因(?!检)|代号|符号|括号|[等逗句问引分]号(?<!索引号)|信号|账单|菜单|(?<!低)保证|论证|证[据明]号|辨证"
    r"|热线|简单|[孤清名]单|尾号|[代密价数尺解二验页]码(?<![者人]代码)|维码|证码",
    re.I,
)
_AMOUNT = re.compile(
    r" ?(?:[%‰℃×^+元岁余例次张片粒支瓶盒毫]|人次)|[天多万千百人位种剂度分秒时点米克升毫微公倍步条所台]|年(?!龄)|月(?!经)|日(?!期)|名(?!字)|个(?!人)|家(?!属)|周(?=[,;。岁]|$)|块(?=钱)| ?[*x] ?10| ?[kmµμnpc]?(?:g|l|m|mol|iu|u|hz|pa)\b| ?copies|(?<=\d)[.:]\d",
    re.I,
)
# Dates, decimals and markers of tumours.
_NO_CODE = re.compile(
    r"(?:CT|MRI?|DR)?(?:19|20)\d\d(?:[-/.]?(?:0?[1-9]|1[0-2])(?:[-/.]?[0-3]?\d)?)?|\d+\.\d+|(?:C[AD]|CYFRA|AFP|CEA|PSA|HCG|H[BCP]V|IL|IG)[A-Z-]*[\d -]+",
    re.I,
)
# Of codes without a cue, in a text that has something else of somebody.
_BY_ITSELF = re.compile(
    r"(?<![A-Za-z\d/.@%#-])(?!(?:NCT|ChiCTR|GB|GBT|YY|WS|ISO|IEC|EN|PMC|GSE|CN|ISSN|J|COVID|CTR|DOI|CAS|SN|LOT)[\d -])[A-Z]{1,5}-?[A-Z]{0,3}\d{2,}(?:-[A-Z]?\d+){0,5}(?![A-Za-z\d.%/-])"
)
# Heads of a table's columns, and a cell of it.
_HEADS = {
    "record_number": re.compile(
        rf"[\u4e00-\u9fff]{{0,4}}(?:{_THING})[\u4e00-\u9fff]{{0,3}}{_CALLED}|床[号位]|ID号?|MRN"
    ),
    "name": re.compile("(?:患者|病人|医[生师])?姓名|患者|病人"),
}
_CELLS = {
    "record_number": re.compile(rf"{_CODE}|[加+]\d{{1,2}}|\d{{1,3}}床"),
    "name": re.compile(r"[\u3400-\u9fff·]{2,8}"),
}
_CELL = re.compile(r"([^,|\t\n]*?)\s*(?:[,|\t\n]| {2,})\s*")
_WARD = r"(?<![A-Za-z\d])\d?[A-Z]{1,5}区?[- ]?|留观|[日内外妇产儿骨婴神心呼消肾血肿眼]"
_BED = re.compile(
    r"加?床(?P<added>加\d{1,3})|(?:床 {0,2}(?:位|号|头卡)*|[机椅座]位号?)(?:\([^()\d]{0,4}\))?(?:[:为是\s]|(?<=[号位卡)])|(?<=号)[?。]\s?[^\d\s,。]{0,3}[:-]+ ?){1,4}(?P<code>[A-Za-z]{0,4}-?[加+]?\d{1,4}(?:-\d{1,3})?床?)(?![\d张个.%])"
    r"|(?:(?<![\u4e00-\u9fff])|病|观察)床 ?(?P<short>\d{1,3})(?=[\s,、;]|$)|(?P<extra>加床 ?\d{1,2})(?![\d张个.%])"
    rf"|(?<![\d.])(?<!开放|编制|设置|新增)(?<![有共设约近超过满仅了第盖])(?P<turned>(?:\d{{1,3}}床?[、/~和及] ?){{0,8}}(?:第|{_WARD})?(?:抢救?|监护?|(?:走?廊)?[加+]?)\d{{1,4}}(?:[-+]\d{{1,2}})?[A-Z]?号?病?床)(?!\d|位|[单被垫铺架棉毯褥席头旁]|以[上下])"
    r"|(?P<words>(?<![一二三四五六七八九十])(?:[一二三四五六七八九十]{2,3}号?|[一二三四五六七八九十](?:号|(?=床的?(?:病人|患者|家属))))床)(?![被垫单])",
)
_ABROAD = re.compile(r"护照|通行证|台胞证|回乡证|签证|旅行证|passport|travel document", re.I)
_PASSPORT = re.compile(r"(?<![A-Za-z\d])(?:[A-Z]{1,2}\d{7,8}|[A-Z]\d{10})(?![A-Za-z\d])")
_TRAVELS = re.compile(
    r"(?:护照|通行证|台胞证|回乡证|旅行证|军官证|士兵证|警官证|海员证|居留证|居留许可|永居证|入台证|residence permit|travel document|passport)[^\da-z\n,，。;；]{0,8}"
    r"(?:\b(?:number|no\.?|is)\b[\s:.]*)*(?P<code>[A-Z]{0,3}(?:[ -]?\d){6,11}(?![A-Z\d])|(?=(?:[A-Z]*\d){3})[A-Z\d]{7,11}(?![A-Z\d]))",
    re.I,
)
_EMAIL = re.compile(
    r"[A-Za-z\d][\w.+-]{0,63}(?:@| @ | ?[(\[](?:at|AT)[)\]] ?)[A-Za-z\d-]+(?:\.[A-Za-z\d-]+){0,3}\.[A-Za-z]{2,8}(?![A-Za-z\d])",
    re.ASCII,
)
_DIGITS = re.compile(r"\d\d|(?:\d[ \-.·]){5}")
_ACCOUNT = re.compile(
    r"(?:[微薇威维][信x]|微 信|wechat|weixin|\bwx|\bvx|[V卫][信星]|加我?[微薇](?= ?:? ?[a-z])|[加+] ?我?[vq](?=[:： ]?[a-z]*[\d_]{3})|\bQQ|扣扣|企鹅|球球|\bQ号|支付宝|抖音|快手|微博|小红书|钉钉|陌陌|知乎|旺旺|telegram|whatsapp|skype|\bline ?id|facebook|instagram)"
    r"(?: ?(?:账号|帐号|号码?|ID|同号|名|昵称)[\s:为是叫=]{0,3}|[^\x00-\x7f]{0,6}(?:[:=为是] ?|(?<=[^\x00-\x7f]) (?=[a-z]))| ?(?=[A-Za-z_-]{0,20}\d|[A-Za-z]{2,20}[_-][A-Za-z]))"
    r"@?(?P<code>(?!https?:)[A-Za-z\d][\w-]{4,29})",
    re.ASCII | re.I,
)


def check_character(number: str) -> str:
    """Return the check character of the 17 digits of an identity number, by ISO 7064 MOD 11-2.

    Example:
        >>> check_character("11010519491231002")
        'X'
    """
    total = sum(int(digit) * weight for digit, weight in zip(number, _WEIGHTS, strict=True))
    return "10X98765432"[total % 11]


def luhn(number: str) -> bool:
    """Return whether digits pass Luhn's formula.

    Example:
        >>> luhn("79927398713"), luhn("79927398710")
        (True, False)
    """
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number))]
    return sum(each - 9 * (each > 9) for each in doubled) % 10 == 0


def spans(text: str) -> Iterator[Span]:
    """Yield the numbers, codes and addresses of mail that stand for somebody in a plain text."""
    patterns = {"email": _EMAIL, "account": _ACCOUNT, "passport": _TRAVELS}
    patterns |= {"id_number": _OTHER_CARD, "record_number": _BED}
    for kind, pattern in patterns.items():
        for match in pattern.finditer(text):
            yield Span(*match.span(match.lastgroup or 0), kind)
    if not _DIGITS.search(text):
        return
    for run in _GROUPS.finditer(text):
        if run.end() - run.start() >= 7:
            yield from _in_groups(
                text, [group.span() for group in _GROUP.finditer(text, *run.span())]
            )
    yield from (Span(*place, "record_number") for place in _records(text))
    for match in _OTHER_PHONE.finditer(text):
        yield Span(*match.span(), "phone")
    if _ABROAD.search(text):
        yield from (Span(*match.span(), "passport") for match in _PASSPORT.finditer(text))


def _records(text: str) -> Iterator[tuple[int, int]]:
    """Yield numbers of records: behind what they are called, in a list, or before what calls them."""
    for match in _RECORD.finditer(text):
        place, digits = match.span(match.lastgroup or 0), 0
        name = match["label"] or match["asked"] or match["thing"] or ""
        known = match["label"] and re.search(_THING, match["label"])
        least = {"code": 2 if known else 3, "answer": 4, "bare": 6}[match.lastgroup or "code"]
        if _NO_RECORD.search(name):
            continue
        while _is_record(text, place, least, loose=bool(digits) or not match["code"]):
            yield place
            digits = sum(map(str.isdigit, text[slice(*place)]))
            least = max(2, digits - 2)
            following = _NEXT.match(text, place[1])
            if following is None:
                break
            place = following.span("code")
    for match in _TURNED.finditer(text):
        if _is_record(text, match.span("code"), 6, loose=True):
            yield match.span("code")


def codes(text: str) -> Iterator[Span]:
    """Yield what is written as a number of a record is, in a plain text that identifies somebody."""
    for match in re.finditer(rf"(?<![A-Z\d.]){_PERSON.pattern}(?![A-Z\d])", text, re.I):
        yield Span(*match.span(), "id_number")
    for match in _BY_ITSELF.finditer(text):
        label = text[max(0, match.start() - 8) : match.start()]
        if not _NO_RECORD.search(label) and _is_record(text, match.span(), 7, loose=True):
            yield Span(*match.span(), "record_number")


def columns(text: str) -> Iterator[Span]:
    """Yield what stands in a plain text's tables, under heads such as 住院号."""
    heads: list[str] = []
    for line in re.finditer(r".+", text):
        cells = list(_CELL.finditer(line[0] + "\n"))
        named = [
            next((kind for kind, head in _HEADS.items() if head.fullmatch(cell[1].strip())), "")
            for cell in cells
        ]
        if "record_number" in named and len(cells) > 1:
            heads = named
        elif len(cells) == len(heads):
            for kind, cell in zip(heads, cells, strict=True):
                if kind and _CELLS[kind].fullmatch(cell[1]):
                    yield Span(line.start() + cell.start(1), line.start() + cell.end(1), kind)
        else:
            heads = []


def _is_record(text: str, place: tuple[int, int], least: int, loose: bool) -> bool:
    """Return whether a number is that of a record: long enough, no product's; if loose, no amount."""
    code = text[slice(*place)]
    digits = sum(map(str.isdigit, code))
    if digits == 13 and code.startswith("69"):
        return False
    if text[place[1] : place[1] + 1] == "元":
        return False
    if (loose or digits < 3) and (_AMOUNT.match(text, place[1]) or _NO_CODE.fullmatch(code)):
        return False
    named = least > 4 and re.search("[A-Z#]", code)
    return digits >= (least - 1 - ("-" in code or "#" in code) if named else least)


def _in_groups(text: str, groups: list[tuple[int, int]]) -> Iterator[Span]:
    """Yield what groups of digits are, the longest number from each of them on."""
    first = 0
    if len(groups) > 6 and all(end - start == 1 for start, end in groups):
        groups = [(groups[0][0], groups[-1][1])]  # 1 3 8 1 2 3 …
    while first < len(groups):
        for last in range(min(len(groups), first + 6), first, -1):
            start, end = groups[first][0], groups[last - 1][1]
            parts = [_BETWEEN.sub("", text[slice(*group)]).upper() for group in groups[first:last]]
            before = text[max(0, start - 24) : start].replace(" ", "")
            kind = _kind(parts, before, text[end : end + 12])
            if kind == "phone":
                start -= text[start - 1 : start] == "(" and ")" in text[start:end]
                extension = _EXTENSION.match(text, end)
                end = extension.end() if extension else end
            if kind:
                yield Span(start, end, kind)
                first = last - 1
                break
        first += 1


def _kind(parts: list[str], before: str, behind: str) -> str:
    """Return what a number in groups is, '' for nobody's."""
    number = "".join(parts)
    if not 7 <= len(number) <= 21 or min(map(len, parts[:-1]), default=3) < 2:
        return ""
    is_person = _PERSON.fullmatch(number)
    if is_person and check_character(number[:17]) == number[17]:
        return "id_number"
    whole = number.isdigit() and (len(parts) == 1 or min(map(len, parts)) > 2)
    is_card = whole and _CARD.fullmatch(number)
    if is_card and luhn(number):
        return "bank_card"
    if whole and _MOBILE.fullmatch(number):
        return "phone"
    area = _AREA.fullmatch(parts[0]) and 7 <= len("".join(parts[1:])) <= 8
    if whole and len(parts) in (2, 3) and area:
        return "phone"
    if is_person and re.search("身份|证", before):
        return "id_number"
    if is_card and re.search("卡|[账帐]|[银农工建中招交]行|邮储|[退汇转]", before):
        return "bank_card"
    no_phone = not whole or _DAY.fullmatch(number) or _HOTLINE.fullmatch(number)
    for kind, cue in _CUE.items():
        fits = len(number) in _LENGTHS[kind] and not (kind == "phone" and no_phone)
        if fits and (cue.search(before) or _BEHIND[kind].match(behind)):
            return kind
    return ""
