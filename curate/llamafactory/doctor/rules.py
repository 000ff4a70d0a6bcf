"""The rules: what each is called, what it does to rows, and what to do about it."""

from __future__ import annotations

from curate.llamafactory.doctor.rule import Effect, Ends, Rule

__all__ = ["RULES", "Effect", "Ends", "Rule", "rule_named"]
_FIX = "--fix writes the rows anew"
_OUT = "write the missing text, or leave the row out (--fix does)"

RULES: dict[str, Rule] = {
    # the entry
    "entry_broken": Rule(
        "stops", "LLaMA-Factory cannot read the entry.", "give it the keys that its README names"
    ),
    "unknown_formatting": Rule(
        "stops",
        "LLaMA-Factory has no converter of that name.",
        "write alpaca or sharegpt for `formatting`",
    ),
    "unknown_key": Rule(
        "note",
        "LLaMA-Factory passes over a key that it does not know, without a word.",
        "correct it, or take it out",
    ),
    "partial_tags": Rule(
        "note",
        "`tags` sets every tag that it does not name to nothing, and roles become unknown.",
        "name all seven tags",
    ),
    "wrong_stage": Rule(
        "stops",
        "LLaMA-Factory takes `ranking: true` for rm and dpo alone, and only that there.",
        "set `ranking`, or train another stage",
    ),
    "unknown_split": Rule(
        "stops", "a file has no split but `train`.", "take `split` out of the entry"
    ),
    "split_slice": Rule(
        "note",
        "`split` takes a part of the rows; all of them are judged here.",
        "keep it if that is meant",
    ),
    "num_samples": Rule(
        "note",
        "LLaMA-Factory draws so many rows by the training seed; all of them are judged here.",
        "keep it if that is meant; more than there are means repeats",
    ),
    "not_in_gbk": Rule(
        "note",
        "dataset_info.json has characters beyond ASCII, and LLaMA-Factory opens it in the "
        "system's own encoding, on a Chinese Windows GBK.",
        "set PYTHONUTF8=1 there",
    ),
    # the file
    "file_type": Rule(
        "stops",
        "LLaMA-Factory loads arrow, csv, json, jsonl, parquet and txt, by the file's ending.",
        _FIX,
    ),
    "mixed_file_types": Rule(
        "stops",
        "all files of a folder must have the same ending; hidden ones and README.md count.",
        "keep only the data in it",
    ),
    "not_utf8": Rule("stops", "the file is not UTF-8.", f"save it as UTF-8; {_FIX}"),
    "broken_file": Rule("stops", "the file cannot be parsed.", f"put it right; {_FIX} if it can"),
    "mixed_types": Rule(
        "stops",
        "a column has values of several types, for example text and numbers, also one that no "
        "row needs.",
        f"make it text everywhere; {_FIX}",
    ),
    "columns_differ": Rule(
        "stops",
        "a later part of the file has columns, or types, that the first 10 MB do not have.",
        f"give all rows the same keys; {_FIX}",
    ),
    "no_rows": Rule("stops", "there are no rows.", "fetch the file again"),
    # what ends it at a row
    "missing_column": Rule(
        "stops",
        "the entry names a column that the file does not have.",
        "put the file's keys into `columns`",
    ),
    "column_unnamed": Rule(
        "stops",
        "LLaMA-Factory needs a column that `columns` does not name.",
        "name chosen, rejected or response there, whichever the rows have",
    ),
    "messages_unnamed": Rule(
        "stops",
        "`columns` does not say where the messages are.",
        'name them: "messages": "conversations"',
    ),
    "prompt_not_text": Rule("stops", "a prompt is no text.", f"make it text; {_FIX}"),
    "bad_history": Rule(
        "stops", "an exchange in `history` is no pair of two.", "put it right, or leave the row out"
    ),
    "bad_messages": Rule(
        "stops", "the messages are no list of objects with role and text.", "put them right"
    ),
    "unknown_role_stops": Rule(
        "stops", "a role has no tag.", "name it in `tags`, or leave the row out"
    ),
    "not_text": Rule("stops", "a text of the dialogue is no text, or null.", _OUT),
    "system_not_text": Rule("stops", "the system prompt is no text.", "make it text"),
    "tools_not_text": Rule(
        "stops", "descriptions of tools are no text.", f"write them as JSON in a text; {_FIX}"
    ),
    "tools_not_described": Rule(
        "stops",
        "descriptions of tools are no JSON of name, parameters and properties, as templates with "
        "LLaMA-Factory's default tool format want them.",
        "put them right, or leave the row out",
    ),
    "call_not_json": Rule(
        "stops",
        "a function call is no JSON with name and arguments.",
        "put it right, or leave the row out",
    ),
    "kto_neighbour": Rule(
        "stops",
        "in stage kto every row is compared with the answer of the row before it, and that one "
        "has no verdict.",
        "leave rows without a verdict out (--fix does)",
    ),
    "pt_without_text": Rule(
        "stops", "in stage pt a row without a first message ends the run.", "leave the row out"
    ),
    # what is dropped
    "response_not_text": Rule(
        "dropped",
        "the response is null, or no text; a CSV loads NA, None and null as nothing, JSON Lines "
        "load a column of dates alone as dates.",
        _OUT,
    ),
    "no_response": Rule(
        "dropped", "the entry names no column for the response.", "name it in `columns`"
    ),
    "bare_responses": Rule(
        "dropped",
        "chosen and rejected are bare texts; in sharegpt they must be messages, and LLaMA-Factory "
        "takes the row for plain SFT and drops it without a word.",
        "--fix makes messages of them",
    ),
    "not_a_pair": Rule(
        "dropped", "chosen and rejected are not two texts.", f"{_FIX} where they can be told"
    ),
    "odd_turns": Rule(
        "dropped",
        "the number of messages does not fit: even for SFT and KTO, odd before a pair.",
        "leave the last message out, or the row (--fix leaves the row out)",
    ),
    "gpt_first": Rule(
        "dropped", "the assistant speaks first.", "put a question before, or leave the row out"
    ),
    "wrong_turn_order": Rule(
        "dropped", "user and assistant do not speak in turn.", "join their messages"
    ),
    "unknown_role": Rule("dropped", "a role has no tag.", f"name all tags; {_FIX}"),
    "empty_messages": Rule("dropped", "there are no messages.", "leave the row out"),
    "no_verdict": Rule(
        "dropped",
        "stage kto needs true or false in the column of `kto_tag`.",
        'name the column; write true, not "true" (--fix does)',
    ),
    "string_kto_tag": Rule(
        "dropped",
        "the verdict is a text or a number; LLaMA-Factory takes the row for plain SFT.",
        'write true, not "true" (--fix does)',
    ),
    "verdict_in_sft": Rule(
        "dropped", "rows with a verdict are for stage kto.", "train kto, or take `kto_tag` out"
    ),
    "pair_in_sft": Rule("dropped", "rows with a pair are for rm and dpo.", "train rm or dpo"),
    # what is lost
    "string_kto_tag_sft": Rule(
        "lost",
        "the verdict is a text or a number and is not seen: good and bad answers are trained on "
        "alike.",
        'write true, not "true" (--fix does)',
    ),
    "verdict_turned": Rule(
        "lost", "an empty answer with the verdict true counts as a bad one.", "leave the row out"
    ),
    "openai_system_prompt": Rule(
        "lost",
        'formatting openai adds the system prompt "detailed thinking off".',
        f"register it as sharegpt with all tags; {_FIX}",
    ),
    "empty_prompt": Rule("lost", "the prompt is empty and is trained on all the same.", _OUT),
    "empty_response": Rule("lost", "the response is empty: the model learns to say nothing.", _OUT),
    "response_role": Rule(
        "lost", "chosen or rejected is said by a role that is not the assistant.", "put it right"
    ),
    "pt_first_message_only": Rule(
        "lost",
        "stage pt trains on the first message alone; the rest of the row is not seen.",
        "train sft, or write the whole text into one column",
    ),
    "observation_at_end": Rule(
        "lost", "tool answers after the last message are not seen.", "put an answer behind them"
    ),
    "media": Rule(
        "note",
        "pictures, videos or sounds need a template that takes them; others end the run.",
        "train a model that sees",
    ),
    "csv_shifted": Rule(
        "lost",
        "rows have more fields than the header has names, so every text moves by a column.",
        f"quote commas in texts, or name all columns; {_FIX} without such rows",
    ),
    "json_in_txt": Rule(
        "lost",
        "the lines of a .txt file are loaded as they are: braces, quotes and keys of JSON are "
        "trained on.",
        f"rename it to .jsonl and name its columns; {_FIX}",
    ),
    "unfilled_placeholder": Rule(
        "lost",
        "placeholders such as {{name}} are trained on as they stand.",
        "fill them in: --fix --fill name=… author=…",
    ),
    # a model's cutoff
    "no_block": Rule(
        "stops",
        "in stage pt rows are packed into blocks of --cutoff-len tokens, and there is not one.",
        "lower --cutoff-len, or bring more text",
    ),
    "cut_response": Rule(
        "lost", "the response is cut.", "raise --cutoff-len, or leave long rows out"
    ),
    "no_end_token": Rule(
        "lost",
        "the response loses its end token: the model learns to go on.",
        "raise --cutoff-len, or leave long rows out",
    ),
    "cut_prompt": Rule("lost", "the prompt is cut.", "raise --cutoff-len"),
    "lost_turns": Rule(
        "lost", "later turns do not fit and are left out.", "raise --cutoff-len, or split the row"
    ),
    "no_response_left": Rule(
        "lost", "nothing of the response is left to train on.", "raise --cutoff-len"
    ),
    "cut_text": Rule("lost", "the text is cut at the cutoff.", "raise --cutoff-len, or pack"),
    "packing_rest": Rule(
        "note",
        "packing leaves out what does not fill a block at the end of every 1,000 rows.",
        "fine for long data; else lower --cutoff-len",
    ),
    "not_measured": Rule(
        "note", "rows with tools are not measured against the cutoff.", "look at them yourself"
    ),
}


def rule_named(name: str) -> Rule:
    """Return a rule."""
    if name in RULES:
        return RULES[name]
    column = name.removeprefix("lost_")
    return Rule(
        "lost",
        f"the file has something for `{column}`, and the entry does not name it: it is not read.",
        f"name it under `columns` as {column}",
    )
