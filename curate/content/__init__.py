"""What texts say that is not to be sent or trained on: identifiers of people, answers gone wrong.

Formulas over text: `numbers` and `people` find identifiers, as spans that can be masked; `answers`
tells what is wrong with what was asked and answered. `gate` joins them. Nothing is a guarantee:
rules find what looks like something, and miss what looks like nothing.
"""

# What identifies somebody, and stands in a text from one character to another.
IDENTIFIERS = (
    *("id_number", "bank_card", "phone", "record_number", "passport", "email", "account"),
    *("address", "name"),
)
# What is wrong with a row as a whole.
FLAWS = (
    *("refusal", "speaks_as_ai", "cut", "loop", "copied_prompt", "wrong_language", "traditional"),
    "mentions_source",
)
KINDS = (*IDENTIFIERS, *FLAWS)
