"""`deploy eval`: which letter an answer claims, by real phrasings in English and Chinese.

They are those that lm-evaluation-harness, CMMLU, C-Eval and OpenCompass look for, and what small
models say. A line is an answer, in which \\n is a line break.
"""

from __future__ import annotations

import pytest

from deploy.exam.letters import letter_in
from deploy.exam.questions import Question

Q = Question("1", "f", 0, "问", ("阿司匹林", "肝", "patient", "心"), "B", "")

CLAIMED = r"""
I choose B
I would choose option B.
I'd choose (B).
I choose option B because it is right.
I would go with (B)
I'd go with B, since it is the largest.
I'll go with **B**.
I am going with option B.
I pick B.
I select B
I selected option B.
My choice is B.
My answer is (B).
My answer: B
My final answer is B
Final answer: B
The final answer is $\boxed{B}$.
The answer should be B
The answer should be B.
The answer would be (B).
The answer must be B
The answer is most likely B.
The answer is probably option B.
The answer is clearly B.
The answer to the question is B.
The correct answer to this question is: (B) 肝.
The correct answer here is B.
The correct answer is: **B. 肝**
The correct answer is:\n\nB. 肝
The best answer is B.
The right choice is B.
The right answer would be B
The best option is B.
The most appropriate option is B.
The most appropriate answer is B.
The most likely diagnosis is B.
The correct one is B
The correct statement is B.
The correct choice would be option B.
Correct answer: B
Correct option: B
Answer choice B
Answer = B
Answer - B
ANSWER: B
answer: B
<answer>B</answer>
**Answer:** B
Answer: **B**
Answer: [B]
Answer: "B"
Answer: Option B
Answer: B is correct
Answer: B) 肝
The answer is option (B).
The answer is letter B.
So the answer is B.
Therefore, B.
Therefore, the best choice is B.
Therefore, B is correct.
Thus, (B) is the correct answer.
Hence, option B is correct.
So B is the right answer.
B is right.
B is correct because it is the largest.
B is the answer.
B is the best answer.
B is the most appropriate choice.
B would be the best choice.
Option B is the best choice.
Option B is correct.
(B) is the correct option.
I think B is correct.
I think the answer is B.
I believe the correct answer is B.
I believe it is B.
I think it's B.
It is B.
It's (B).
I think B.
I'd say B.
I would say B
Only B is correct.
Choose B.
Select option B.
Pick B
Let's go with B.
B.
B)
B: 肝
[B]
The answer is B, not A.
Not A. The answer is B.
I'm not sure, but the answer is B.
I am not sure but I think the answer is B
A is wrong. The answer is B.
Option A is incorrect, so the answer is B.
Although A is common, I would choose B.
I don't think A is right; I choose B.
Selected answer: B
The answer is B: 肝
The correct answer is B and here is why.
Sure! The answer is B.
Based on the symptoms, the correct answer would be B.
I will choose B
You should choose B.
正确的是B
正确的是：B
正确的应该是B
正确的选项是B
正确选项为B。
正确选项：B
正确答案是B
正确答案为：B
正确答案应为B。
正确答案：B. 肝
正确答案是选项B
正确答案是（B）
正确答案应该是B
正确的答案是：**B**
正确答案B
答案B
答案：B
答案: B。
答案为B
答案为：B
答案选B
答案选：B
答案应选B
答案应该选B
答案应该选择B
答案应该是B
答案应为B
答案应是B。
答案选项是B
答案选项为：B
答案可能是B
答案就是B
答案是 B 选项
答案是“B”
答案是【B】
答案是：\nB. 肝
答案：选项B
本题选B
本题答案为B。
本题的正确选项应为B
这道题选B。
故选B
故选：B
故选B。
故选择B
故答案为：B
故答案选B
故B正确
故B。
因此选B
因此选择B。
因此B正确。
因此，正确答案是B。
因此，B是正确的。
因此答案是B
所以选B
所以选择B选项
所以，B是正确答案
所以答案是B
所以是B
所以B
综上所述，选B
综上所述，B正确
综上，B项符合题意。
我选B
我选择B
我选择（B）
我选择B选项。
我会选B
我会选择B。
我认为是B
我认为B正确
我认为B是正确的
我认为答案是B。
我觉得选B
我觉得应该选B
我的答案是B
我的选择是B
应选B
应该选B
应选择B。
应该是B
应为B。
可知选B
不难看出答案是B
首选B
首先选B
选B
选B。
选B吧
选B是因为它最大
选：B
选（B）
选择B
选择：B
选择 B
选择选项B
选择B项
最佳答案是B
最佳选项是B
最佳选项：B
最可能的诊断是B
最合适的选项是B
最合适的是B。
最恰当的选项为B
符合题意的是B
正确的一项是B
正确的说法是B
说法正确的是B
B是正确的
B是正确答案
B为正确答案
B是正确选项
B正确
B对
B项正确
B选项正确
B选项是正确的
B选项是正确答案
B符合题意
B项符合题意
选项B正确
选项B是正确的
选项B为正确答案
只有B正确
只有B是正确的
A错误，答案是B
不是A，答案是B
不要选A而选B
A不对，选B
排除A，故选B
选B，不选A
答案是B，不是A
答案是B。A错误。
综上：B
To answer this, consider the mechanism. The best choice is B.
After considering all options, I'd choose B as the answer.
Considering the options given, option B is the correct answer.
Considering the options, (B) seems correct. I choose (B).
The correct answer is option B, 肝.
The correct answer is option (B), "肝".
My pick would be B.
My pick: B
My guess is B.
The correct option would therefore be B.
So, the correct option is B.
Based on this, I would select option (B).
I'm confident that the answer is B.
I have chosen B.
My selection is B.
The most accurate statement is B.
The most suitable answer is (B).
In conclusion, B is the correct answer.
In conclusion: B
Conclusion: B
Final choice: B
Final answer: option B.
#### B
Answer is B
answer is (B)
the answer is: B
The answer is:\nB
The answer is \boxed{\text{B}}.
\boxed{B}
$\boxed{B}$
\(\boxed{B}\)
The correct answer is **B**.
The correct answer is **(B)**.
**Correct Answer: B**
**Correct answer:** B. 肝
✅ B
Option (B)
Choice B
B - 肝
B) 肝 is the answer.
B: because it treats anemia
B, because it treats anemia
B because it treats anemia
B is correct, since A causes bleeding.
B is the correct option because the others are wrong.
The right answer is B; A is wrong.
The answer is B. A is wrong because it bleeds.
The answer is B. Option A is incorrect.
The answer is B. (A) is incorrect.
The answer is B. A: wrong. C: wrong.
正确答案是B，因为A、C、D均错误。
正确答案是B。A选项错误，C选项错误。
答案：B\n解析：A错误，B正确，C错误。
答案：B\n解析：选项A描述的是脑。
【答案】B【解析】A项错误
【答案】 B
答案 B
答案是:B
答案是 (B)
答案：(B)
答案：B项
答案：B选项。
答案为：（B）
参考答案：B
标准答案：B
正确答案选B
正确答案为选项B。
正确答案应当是B
本题正确答案为 B 。
本题的答案是B选项
这题的答案是B
这道题的答案应该是B
根据题意，应选B。
根据题意，答案选择B。
根据以上分析，选B
根据分析，正确的选项应该是B。
综上所述，正确答案是 B。
综上所述，答案为B。
综上所述，本题选B。
由此可知，B正确。
因此，选项B是正确的。
因此，本题选择B。
因此本题的正确答案是选项B。
因此，正确选项是：B
我认为正确答案是B
我认为应该选择B
我认为选项B正确
我认为选项B是正确答案
我会选择选项B
我选择答案B
我的选择：B
我倾向于选B
个人认为选B
那么应该选B
那就选B吧
毫无疑问选B
毫无疑问，答案是B
显然选B
显然，B正确
显然答案是B
B选项符合题意
B选项最合适
B最合适
B当选
故B当选
故本题选B
故本题答案为B
故正确答案为B
正确的是B项
正确的是B选项
正确的是选项B
正确的为B
最正确的是B
正确的诊断是B
最佳选择是B
最佳选择：B
最合适的选择是B
最合适的答案是B。
最可能的答案是B。
最有可能的是B
最有可能的答案是B
B seems to be the correct answer.
B appears to be correct.
B is likely the correct answer.
Most likely B.
Probably B.
I'd guess B
Ans: B
The correct answer is indeed B.
The answer is definitely B.
The answer is `B`.
[答案] B
〖答案〗B
答：B
我猜B
大概是B
估计是B
应该是B吧
B是对的
B更合适
选B更合适
符合条件的是B
正确答案显然是B
正确答案无疑是B
"""

NOT_CLAIMED = r"""
I would not choose A
I wouldn't choose A.
I don't choose A
I would never pick A
I don't think the answer is A
The answer is not A
The answer isn't A.
The correct answer is not (A).
The answer cannot be A.
The answer should not be A
A is not the answer
A is not the correct answer.
A is not correct
A isn't correct
Option A is not the best choice
The incorrect answer is A
The wrong option is A.
The wrong answer is A.
Answer A is wrong.
Answer A is incorrect
I choose A or B
I choose between A and B
I would go with A or B
I choose A. The answer is B.
I choose A, but the correct one is B
The answer should be A or B
The answer should be A/B.
The answer could be A, B or C
The answers are A and B
The correct answers are A, B
Both A and B are correct
A and B are correct.
I think A, but B is correct too
If the answer is A
If I choose A, then it fails
Whether the answer is A
I choose a drug
The answer should be a drug
I would go with aspirin
Answer: A patient with fever
Answer: A 45-year-old man
Answer: a patient
The best choice is aspirin
I choose Aspirin
Vitamin A is the best known.
So A and B are wrong.
So A, B and C are wrong.
Therefore, A is wrong.
Therefore A and B.
It is A-positive blood
The answer is A-positive
I choose A-type blood
The right ventricle is enlarged
A patient is right
Choose the right answer: A, B, C or D
Choose one: A or B
Answer:\nA. 阿司匹林\nB. 肝\nC. patient
Answer: A. 阿司匹林 B. 肝 C. patient D. 心
答案：\nA. 阿司匹林\nB. 肝\nC. patient\nD. 心
答案：A. 阿司匹林 B. 肝
None of the above
I am not sure.
不正确的是A
不选A
不能选A
不会选A
不应该选A
我不选A
我不选择A
我不会选A
不可能是A
正确的不是A
正确答案不是A
答案不是A
答案不是：A
答案并非A
错误的是A
错误答案是A
错误的答案是A
错误的选项是A
A不正确
A项不正确
A不是正确答案
A不是答案
A选项不正确
选项A不是正确的
A错误
A不符合题意
A项不符合题意
A是错误的
答案A错误
答案A不对
如果选A
如果答案是A
若答案是A
若选A则错
为什么不选A
正确的是A和B
正确的是A、B
正确的是A或B
选A或B
选A和B
选A还是B
选A、B
我选A，正确的是B
我选A。答案是B。
答案是A，但我选B
A正确，B正确
A和B正确
A、B、C均正确
AB都对
选AB
应选AB
正确的是AB
首选A型肉毒素
首选B超
选择A型血
选B细胞
B细胞是正确的
正确的是A型
所以A型血可以
因此A、B错误
因此A是错的
所以A错误
综上，A、B均错
正确的是维生素A
答案是维生素A
应补充维生素A
答案是肝细胞
我选择手术
不知道
A可引起夜盲症
B细胞增多
A and B are both right, but I choose none
I would choose neither A nor B
I choose neither
I would go with A, or maybe B
I'd go with A. Actually, B.
I first chose A, but the correct answer is B.
Answer: A\nAnswer: B
The answer is A. Question: what? The answer is B.
The answer is (A) and (B)
The answer is **A** or **B**
The correct answers are: A, C and D
The correct answer is either A or B.
The correct answer is one of A, B, C
The answer is among A, B and C.
It could be A or B.
It's between A and B
It is not A
It isn't A.
I think not A.
So not A.
I doubt that A is correct
I don't believe A is correct
I don't believe that the answer is A.
I do not think it is A.
I cannot choose A
I can't choose A
I couldn't choose A
You should not select A.
Do not choose A
Don't pick A
Never choose A
Choosing A would be wrong.
Choosing A is wrong.
Answer A would be wrong.
The answer is none of A, B, C.
Why is A correct?
Is A correct?
Is the answer A?
Is it A?
Should I choose A?
What if the answer is A?
If A is correct, B is wrong.
A is the right ventricle
A is a drug.
A is for apple
A was the first letter
Group A is the best known streptococcus.
Hepatitis B is the most likely diagnosis.
The answer is hepatitis B
The answer is vitamin A
Type A is correct
Class A is correct
I choose hepatitis A.
The most likely pathogen is influenza A.
The best source of vitamin A is liver.
The correct answer is A-B-C resuscitation
The correct answer is ABC
The answer is DNA.
The answer is CD4
The answer is AIDS
The answer is HIV
The answer is DIC
The answer is ACE inhibitors
The answer is B12
The answer is H2
I would go with C-reactive protein
It is A-fib
So I choose a B-blocker
The answer is B-cell lymphoma
The answer is a B cell
选择A还是选择B？
选A还是B？
是A吗
选A吗？
答案是A吗？
应该选A吗
难道选A
并非A
并不是A
并不选A
不建议选A
不能选择A
不可选A
不宜选A
不应选择A
不一定选A
不是选A
不选A、B
没有选A
没选A
排除A
排除A、B
排除A选项
A、B、C、D都不对
A和B都正确
A与B均正确
A项和B项正确
A、B正确
A正确B错误
A错误B正确
A对B错
A是对的，B也是对的
选A或者B
选择A与B
我选A，或者选B
先选A，再选B
原来选A，后来选B
答案：A，C
答案：A、C、D
答案：ACD
答案：A C
答案是A和C
答案是（A）和（B）
答案是A或B
答案不是A就是B
答案可能是A或B
答案可能是A，也可能是B
答案不一定是A
答案不可能是A
答案不应是A
答案不包括A
答案无法确定
错误选项为A
错误选项：A
不符合题意的是A
不正确的选项是A
不合适的是A
最不可能的是A
最不合适的是A
除A外都对
除了A
题目问的是A
A型肝炎
A超
B族维生素
首选B族维生素
选B族
选用A药
选择A药物
正确的是乙肝
应选择甲
答案是C反应蛋白
答案是E抗原
若A正确，则B错误
如果A正确
如果是A
假如答案为A
假设答案是A
假设选A
要是选A
要求作答A和B
The answer is unlikely A.
The answer is hardly A.
A也是正确的，B是正确的
A更合适，B也合适
"""

LETTER_A = r"""
I choose A
I choose A because it helps
I would go with A.
The answer is A because
Answer: A because it helps
Answer: A is correct
Answer: A. 阿司匹林
Answer: A, aspirin
The answer should be A
正确的是A
我选A
选A项
A is correct
A
"""


def said(lines: str) -> list[str]:
    return [line.replace("\\n", "\n") for line in lines.strip().split("\n")]


@pytest.mark.parametrize(
    ("lines", "letter"),
    [(CLAIMED, "B"), (LETTER_A, "A"), (NOT_CLAIMED, "")],
    ids=["B", "A", "none"],
)
def test_the_letter_that_is_claimed_is_read_and_none_is_guessed(lines, letter):
    read = {answer: letter_in(answer, Q) for answer in said(lines)}
    assert {answer: got for answer, got in read.items() if got != letter} == {}


def test_two_claims_are_none():
    other = said(CLAIMED)
    both = [f"{answer}\n答案是C" for answer in other] + [f"I choose C.\n{a}" for a in other]
    assert {answer: letter_in(answer, Q) for answer in both if letter_in(answer, Q)} == {}


@pytest.mark.parametrize(
    "loop", ["选", "A,", "A 和", "best choice ", "not a ", "(", "the answer is A "]
)
def test_an_answer_that_loops_is_read_soon(loop):
    letter_in((loop * 8000)[:8000], Q)
