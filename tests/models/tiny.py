"""Random models of a few thousand parameters, with logits large enough to tell formulas apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from curate.models.causal_lm import CausalLM, OpenedLM
from curate.models.protocols import TokenSequence
from curate.models.resolve import ModelFiles

VOCABULARY = 300
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "pad_token_id": 257,
}
_LLAMA_WORDS = set(list(SHAPE)[1:7])


def make(kind: str, **changes: Any) -> Any:
    """A random causal model: `Llama` gives what transformers makes of LlamaConfig."""
    torch.manual_seed(0)
    given = {**SHAPE, **changes}
    if kind in ("GPT2", "Bloom"):  # which have their own words
        given = {name: given[name] for name in given if name not in _LLAMA_WORDS}
        given.update({"n_embd" if kind == "GPT2" else "hidden_size": 32, "n_layer": 2, "n_head": 4})
    config = getattr(transformers, f"{kind}Config")(**given)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name or name.endswith("bias"):  # ones and zeros would hide mistakes
                weight.add_(torch.randn_like(weight) * 0.2)
    return model


def byte_tokenizer() -> Any:
    """Every byte is a token; 256 is <s>, 257 is </s>."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(["<s>", "</s>"])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>"
    )


def save(model: Any, folder: Path) -> Path:
    """A model directory as save_pretrained writes it."""
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def sequences(*lengths: int, seed: int = 0) -> list[TokenSequence]:
    """Random sequences, each with two spans: a middle part and the end."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for length in lengths:
        ids = tuple(torch.randint(0, VOCABULARY, (length,), generator=generator).tolist())
        third = max(1, length // 3)
        spans = ((1, 1 + third), (1 + third, length)) if length > 2 else ((1, length),)
        made.append(TokenSequence(ids, spans))
    return made


def naive(model: Any, sequence: TokenSequence) -> list[float]:
    """The same likelihoods the plain way: one sequence, all logits, float64 log-softmax."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([sequence.ids])).logits[0]
    logs = logits.double().log_softmax(-1)
    return [
        -sum(float(logs[at - 1, sequence.ids[at]]) for at in range(start, end))
        for start, end in sequence.spans
    ]


def opened(load: Callable[[], Any], tokenizer: Any = None, **more: Any) -> OpenedLM:
    """Return what load() gives as if it had been found in files."""
    values = {"max_positions": 512, "fingerprint": "f" * 64, **more}
    return OpenedLM(
        name="tiny",
        files=ModelFiles("tiny", Path()),
        load=load,
        tokenizer=tokenizer,
        dtype="float32",
        device="cpu",
        config={},
        **values,
    )


def causal_lm(load: Callable[[], Any] = lambda: make("Llama")) -> CausalLM:
    return CausalLM(opened(load))


def answers(model: Any, conversations: Any, most: int) -> list[str]:
    """Return the text of every reply."""
    return [reply.text for reply in model.replies(conversations, most)]
