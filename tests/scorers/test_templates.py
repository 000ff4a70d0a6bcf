"""Templates on paper: what leads up to each response, and what the response has alone."""

from __future__ import annotations

import pytest

from curate.data.rows import Row
from curate.data.schema import Parsed, Turn
from curate.errors import UsageError
from curate.models.row_templates import choose_template, render_alpaca, render_chat, render_none
from tests.fake import Characters


def row(*turns: tuple[str, str], system: str = "", given: str = "") -> Row:
    parsed = Parsed(system, tuple(Turn(role, text) for role, text in turns), given)
    return Row("id", 0, "file", "row 1", {}, parsed)


TALK = row(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"), system="s")


def test_none() -> None:
    found = render_none(TALK, Characters())
    assert found.leads == ("s\na\n", "\nc\n")
    assert found.responses == ("b", "d")
    assert found.headers[0] == ""


def test_alpaca_system_takes_the_place_of_the_preamble() -> None:
    found = render_alpaca(TALK, Characters())
    assert found.leads == (
        "s\n\n### Instruction:\na\n\n### Response:",
        "\n\n### Instruction:\nc\n\n### Response:",
    )
    assert found.headers[0] == "### Response:"


def test_alpaca_input_stands_apart_from_the_instruction_even_if_it_ends_alike() -> None:
    one = row(("user", "Repeat: yes\nyes"), ("assistant", "yes"), given="yes")
    lead = render_alpaca(one, Characters()).leads[0]
    assert lead.endswith("### Instruction:\nRepeat: yes\n\n### Input:\nyes\n\n### Response:")


def test_chat_leads_and_responses_strung_together_are_the_dialogue() -> None:
    found = render_chat(TALK, Characters())
    assert found.leads == ("[s]s[u]a[a]", "[u]c[a]")
    assert found.headers[0] == "[a]"
    assert found.joined


class HeaderOfTheUser(Characters):
    """As LLaMA-Factory writes chatml: the answer's header ends what the user says."""

    def render(self, messages: list[dict[str, str]], generation_prompt: bool) -> str:
        parts = {"system": "[s]{}.", "user": "[u]{}.[a]", "assistant": "{}."}
        return "".join(parts[each["role"]].format(each["content"]) for each in messages)


def test_chat_finds_a_header_that_the_template_writes_behind_the_user() -> None:
    found = render_chat(TALK, HeaderOfTheUser())
    assert found.leads == ("[s]s.[u]a.[a]", ".[u]c.[a]")
    assert found.headers[0] == "[a]"


def test_chat_without_a_header_has_none() -> None:
    class Closed(Characters):
        """As Mistral's: what ends the user's turn is no header of the answer's."""

        def render(self, messages: list[dict[str, str]], generation_prompt: bool) -> str:
            parts = {"user": "[INST]{}[/INST]", "assistant": "{}."}
            return "".join(parts[each["role"]].format(each["content"]) for each in messages)

    assert render_chat(row(("user", "a"), ("assistant", "b")), Closed()).headers[0] == ""


def test_tool_calls_and_their_results_keep_their_roles() -> None:
    turns = (("user", "q"), ("function", "{}"), ("observation", "42"), ("assistant", "42!"))
    found = render_chat(row(*turns), Characters())
    assert found.leads == ("[u]q[a]", "[t]42[a]")
    assert found.responses == ("{}", "42!")


def test_auto_is_chat_where_there_is_a_chat_template() -> None:
    class Plain(Characters):
        has_chat_template = False

    assert choose_template("auto", Characters()) == "chat"
    assert choose_template("auto", Plain()) == "none"
    with pytest.raises(UsageError, match="auto, chat, alpaca, none"):
        choose_template("vicuna", Plain())
