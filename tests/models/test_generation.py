"""Greedy answers: against a loop without cache or batch, for several architectures, and ends."""

import json
from pathlib import Path

import pytest
import torch

from curate.errors import ModelError, UsageError
from curate.models.generate import LocalGenerator, greedy, load_generator
from curate.models.protocols import CUT, STOPPED, TOO_LONG
from curate.models.row_templates import alpaca_prompt
from curate.models.text_tokenizer import HFEncoder, ends, prompt_ids
from curate.models.weights import cache_bytes
from tests.models.tiny import answers, byte_tokenizer, make, opened, save

FIXTURES = Path(__file__).parent.parent / "fixtures"
KINDS = ("Llama", "Qwen2", "Gemma2", "GPT2", "Bloom", "Mistral")
PROMPTS = [list(range(3, 3 + size)) for size in (11, 4, 29, 1, 17, 8)]


def naive(model, prompt, most, stops):
    """One prompt, everything computed again for every token."""
    ids = list(prompt)
    for _ in range(most):
        with torch.no_grad():
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] in stops:
            break
    return ids[len(prompt) :]


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_answered_as_each_prompt_alone(kind):
    model = make(kind)
    free = [naive(model, prompt, 24, set()) for prompt in PROMPTS]
    # Ends that stop some rows early and others never.
    stops = frozenset({free[0][3], free[2][9], free[4][0]})
    expected = [naive(model, prompt, 24, stops) for prompt in PROMPTS]
    assert len({len(each) for each in expected}) > 2
    assert greedy(model, PROMPTS, 24, stops, 257) == expected
    assert greedy(model, PROMPTS, 24, frozenset(), 257) == free
    assert greedy(model, [], 5, stops, 257) == []


def test_one_row_that_ends_stays_for_a_while_and_says_no_more():
    model = make("Llama")
    free = [naive(model, prompt, 24, set()) for prompt in PROMPTS]

    def first_ends(token):
        return sorted(each.index(token) if token in each else 99 for each in free)

    tokens = {token for each in free for token in each}
    stop = max(tokens, key=lambda token: first_ends(token)[1] - first_ends(token)[0])
    assert first_ends(stop)[1] - first_ends(stop)[0] > 3
    expected = [each[: each.index(stop) + 1] if stop in each else each for each in free]
    assert greedy(model, PROMPTS, 24, frozenset({stop}), 257) == expected


def test_only_the_likeliest_token_counts_whatever_the_models_file_asks_for():
    model = make("Llama")
    expected = [naive(model, prompt, 24, set()) for prompt in PROMPTS]
    model.generation_config.repetition_penalty = 5.0
    model.generation_config.min_new_tokens = 3
    model.generation_config.eos_token_id = expected[0][5]
    assert greedy(model, PROMPTS, 24, frozenset(), 257) == expected
    assert model.generation_config.repetition_penalty == 5.0


def test_padding_is_an_end_and_still_no_answer_ends_early():
    """Many models pad with their end: what stands left of a prompt ends nothing."""
    model = make("Llama")
    expected = [naive(model, prompt, 12, {257}) for prompt in PROMPTS]
    assert greedy(model, PROMPTS, 12, frozenset({257}), 257) == expected


def generator(model, tokenizer=None, batch_tokens=400, max_positions=200):
    return LocalGenerator(
        opened(lambda: model, tokenizer or byte_tokenizer(), max_positions=max_positions),
        batch_tokens,
    )


def ask(*texts):
    return [[{"role": "user", "content": text}] for text in texts]


TEMPLATE = (
    "{% for m in messages %}<s>{{ m['role'] }}:{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant:{% endif %}"
)


def chatting():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = TEMPLATE
    return tokenizer


class Says:
    """A model that says the same whatever it is asked, in bytes, `stop` being its end."""

    device = torch.device("cpu")

    def __init__(self, text, stop=257):
        ids = byte_tokenizer()(text, add_special_tokens=False)["input_ids"]
        self.ids = [*ids, stop]
        self.config = self.generation_config = make("Llama").config
        self.asked = []

    def generate(self, input_ids, attention_mask):
        self.asked.append(list(input_ids.shape))
        most = self.generation_config.max_new_tokens
        said = torch.tensor([self.ids[:most]] * len(input_ids))
        return torch.cat((input_ids, said), 1)


@pytest.mark.parametrize("text", ["done</s", "x", "", "病情"])
def test_the_whole_answer_and_nothing_of_the_end(text):
    """The published program cuts four characters, in the hope that they are `</s>` (fault 14)."""
    (reply,) = generator(Says(text)).replies(ask("?"), 40)
    assert (reply.text, reply.end) == (text, STOPPED)


def test_special_tokens_in_the_middle_are_no_text():
    model = Says("ab")
    model.ids.insert(1, 256)
    assert answers(generator(model), ask("?"), 40) == ["ab"]


def test_an_end_that_is_no_special_token_is_no_text_either():
    model = Says("done", stop=7)
    model.config.eos_token_id = [257, 7]
    (reply,) = generator(model).replies(ask("?"), 40)
    assert (reply.text, reply.end) == ("done", STOPPED)


def test_an_answer_that_is_cut_says_so_and_ends_with_a_whole_character():
    model = generator(Says("病情"))
    assert [(each.text, each.end) for each in model.replies(ask("?"), 4)] == [("病", CUT)]
    assert answers(model, ask("?"), 7) == ["病情"]
    assert model.replies(ask("?"), 6)[0].end == CUT


def test_turns_end_with_what_the_chat_template_writes_behind_them():
    tokenizer = chatting()
    tokenizer.eos_token = "<s>"  # declared, and never written behind an answer
    assert ends(HFEncoder(tokenizer, "t")) == {256, 257}
    plain = byte_tokenizer()
    config = type("Config", (), {"eos_token_id": [7, 9]})
    assert ends(HFEncoder(plain, "t"), config) == {257, 7, 9}


def test_prompts_without_a_chat_template_are_alpacas():
    plain = byte_tokenizer()
    encoder = HFEncoder(plain, "t")
    talk = [
        {"role": "user", "content": "A?"},
        {"role": "assistant", "content": "B."},
        {"role": "user", "content": "C?"},
    ]
    # The byte tokenizer puts no BOS before texts.
    assert prompt_ids(encoder, [talk]) == encoder.encode([alpaca_prompt(talk)])
    assert alpaca_prompt(talk).endswith(
        "\n\n### Instruction:\nA?\n\n### Response:\nB.\n\n### Instruction:\nC?\n\n### Response:\n"
    )
    assert alpaca_prompt([{"role": "system", "content": "Be kind."}, *talk]).startswith(
        "Be kind.\n\n###"
    )


def test_too_long_a_prompt_is_told_and_never_cut():
    model = generator(Says("yes"), chatting())
    whole = model.lengths(ask("a" * 100))[0]
    assert whole == 100 + len("<>user:<>assistant:") - 1
    texts = ask("a" * 100, "b" * 200, "c")
    assert [each.end for each in model.replies(texts, 200 - whole)] == [STOPPED, TOO_LONG, STOPPED]
    assert [each.end for each in model.replies(texts, 201 - whole)] == [TOO_LONG, TOO_LONG, STOPPED]


def test_batches_hold_what_the_budget_allows_and_answers_keep_their_order():
    said = Says("ok")
    model = generator(said, chatting(), batch_tokens=2 * (60 + 10))
    texts = ask(*("x" * size for size in (5, 42, 3, 40, 41)))
    assert answers(model, texts, 10) == ["ok"] * 5
    # The last batch has one row, which is where the published program ends (fault 13).
    assert [tuple(each) for each in said.asked] == [(2, 60), (2, 58), (1, 21)]
    assert all(rows * (length + 10) <= 140 or rows == 1 for rows, length in said.asked)
    tiny = generator(make("Llama"), chatting(), batch_tokens=140)
    assert answers(tiny, texts, 10) == [answers(tiny, [each], 10)[0] for each in texts]
    assert len(set(answers(tiny, texts, 10))) > 3


def test_keys_and_values_are_counted():
    llama = {"num_hidden_layers": 30, "num_attention_heads": 9, "hidden_size": 576}
    assert cache_bytes({**llama, "num_key_value_heads": 3, "head_dim": 64}, "float32") == 46080
    assert cache_bytes({"text_config": llama}, "bfloat16") == 2 * 30 * 576 * 2
    assert cache_bytes({"n_layer": 2, "n_head": 4, "n_embd": 32}, "float32") == 512
    assert cache_bytes({}, "float32") == 1  # not said: the budget alone counts


def test_a_directory_and_an_adapter(tmp_path):
    from peft import LoraConfig, get_peft_model

    base = save(make("Llama"), tmp_path / "base")
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    tuned = get_peft_model(make("Llama"), config)
    tuned.peft_config["default"].base_model_name_or_path = str(base)
    tuned.save_pretrained(tmp_path / "run")
    plain, learned = (load_generator(str(tmp_path / each)) for each in ("base", "run"))
    assert (plain.name, learned.name) == ("base", "run")
    assert plain.fingerprint != learned.fingerprint
    texts = ask("abc", "d")
    assert answers(plain, texts, 8) != answers(learned, texts, 8)
    expected = [naive(tuned, ids, 8, {257}) for ids in prompt_ids(learned.encoder, texts)]
    again = [learned._reply(ids).text for ids in expected]
    assert answers(learned, texts, 8) == again
    # The trainer's own records beside the weights are not what the model says.
    (tmp_path / "run" / "all_results.json").write_text('{"seconds": 1}')
    assert load_generator(str(tmp_path / "run")).fingerprint == learned.fingerprint


def test_an_adapter_finds_its_base_by_what_was_typed_once_the_old_place_is_gone(tmp_path):
    from peft import LoraConfig, get_peft_model

    base = save(make("Llama"), tmp_path / "base")
    tuned = get_peft_model(make("Llama"), LoraConfig(r=2, target_modules=["q_proj"]))
    tuned.peft_config["default"].base_model_name_or_path = str(tmp_path / "gone" / "x")
    run = tmp_path / "run"
    tuned.save_pretrained(run)
    with pytest.raises(ModelError, match=r"base model of adapter 'run' is not to be had.*base_mod"):
        load_generator(str(run))
    (run / "run.json").write_text(f'{{"format": 1, "state": "done", "model": "{base}"}}')
    assert answers(load_generator(str(run)), ask("a"), 3)
    (run / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match="'run' has no adapter_model.safetensors"):
        load_generator(str(run))


def test_wrong_use(tmp_path):
    with pytest.raises(ModelError, match=r"no model 'smolm2'. Did you mean 'smollm2'"):
        load_generator("smolm2")
    with pytest.raises(UsageError, match="--dtype int8: allowed are auto, float32, bfloat16"):
        load_generator("smollm2", "int8")


@pytest.mark.model
def test_the_bundled_model_answers_as_recorded_in_a_batch_and_alone():
    """Recorded from a loop over the model's forward pass, one prompt as good as several."""
    recorded = json.loads((FIXTURES / "greedy_answers.json").read_text(encoding="utf-8"))
    model = load_generator("smollm2", "float32")
    texts = ask(*(each["question"] for each in recorded))
    whole = model.replies(texts, 24)
    found = [{"answer": each.text, "end": each.end} for each in whole]
    assert found == [{"answer": each["answer"], "end": each["end"]} for each in recorded]
    assert [model.replies([each], 24)[0] for each in texts[:3]] == whole[:3]
    assert not any("<|im_end|>" in each.text for each in whole)
