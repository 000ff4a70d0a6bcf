"""What `scale` measures in a process of its own where no command does it alone, and its peers.

python -m tests.benchmarks.children NAME FILE [FILE] [--engine E] [--workers N]

Each function is one process. A peer is the naive or published loop, or another library's way, and
uses nothing of curate. What a function returns is printed as one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MODEL = "smollm2"
CLUSTERS, CENTRES = 161, 1000
_BATCH, _ITEM = 16_384, 256  # tokens


# Ours


def opened() -> None:
    """Unpack what comes with curate, and take the model's sha256: once a machine."""
    from curate.engine import open_engine
    from curate.models.recipe import ModelRecipe

    for kind, name in (("causal_lm", MODEL), ("encoder", "use")):
        open_engine().load(ModelRecipe(kind=kind, name=name))


class _Begun(Exception):  # noqa: N818 - it is no error
    pass


class _Watched:
    """An engine that makes tokens, and computes nothing or ends when the first batch begins."""

    def __init__(self, engine: Any, computes: bool) -> None:
        self._engine, self._computes = engine, computes
        self.load, self.each, self.folder = engine.load, engine.each, engine.folder

    def run(self, work: Any, rows: int) -> Any:
        import numpy as np

        if not self._computes:
            return np.zeros(int(np.sum(work.widths)))

        def take(items: Any) -> Any:
            raise _Begun

        object.__setattr__(work, "take", take)
        return self._engine.run(work, rows)


def tokenise(file: str, computes: bool = False) -> dict[str, Any]:
    """Make the tokens of all rows, as `curate ifd` does before anything computes."""
    import curate
    from curate.engine import open_engine
    from curate.models.recipe import ModelRecipe
    from curate.models.row_templates import TEMPLATES, choose_template
    from curate.scorers.likelihood import likelihoods
    from curate.system.cache import cache_dir

    engine = _Watched(open_engine(), computes)
    model = engine.load(ModelRecipe(kind="causal_lm", name=MODEL))
    template = TEMPLATES[choose_template("auto", model.encoder)]
    try:
        scored = likelihoods(curate.read(file), template, 1024, model, engine)
    except _Begun:
        return {}
    return {
        "tokens_a_row": float((scored.prompt_tokens + 2 * scored.response_tokens).mean()),
        "token_bytes_a_row": sum(f.stat().st_size for f in (cache_dir() / "tokens").iterdir())
        / len(scored.status),
    }


def resume(file: str) -> dict[str, Any]:
    """Begin again where all tokens are made, until the first batch."""
    return tokenise(file, computes=True)


def nothing(model: Any, payload: list[Any]) -> list[list[float]]:
    """Answer without computing."""
    return [[0.0]] * len(payload)


def engine(file: str) -> dict[str, Any]:
    """Hand out batches of 16,384 tokens that cost nothing to compute: an item a row of the file."""
    import numpy as np

    from curate.engine import open_engine
    from curate.models.protocols import TokenSequence
    from curate.models.recipe import ModelRecipe
    from curate.scorers.contract import Work
    from tests.benchmarks import children  # this file is __main__, which a worker is not
    from tests.models import tiny

    with open(file, "rb") as lines:
        items = sum(1 for _ in lines)
    times: list[float] = []

    def take(positions: Any) -> list[TokenSequence]:
        times.append(time.perf_counter())
        return [TokenSequence((*ids, int(at)), ((128, _ITEM),)) for at in positions]

    ids = tuple(at % 250 for at in range(_ITEM - 1))
    with tempfile.TemporaryDirectory() as folder:
        name = str(tiny.save(tiny.make("Llama"), Path(folder)))
        began = time.perf_counter()
        computing = open_engine()
        model = computing.load(ModelRecipe(kind="causal_lm", name=name))
        model.batch_tokens = _BATCH
        work = Work(
            model=model,
            lengths=np.full(items, _ITEM),
            widths=1,
            take=take,
            answer=children.nothing,
            digest=f"{items}",
        )
        values = computing.run(work, items)
        ended = time.perf_counter()
    assert len(values) == items
    batches = len(times)
    return {"first_batch_s": times[0] - began, "ms_a_batch": 1000 * (ended - times[0]) / batches}


def embed(file: str, encoder: str) -> None:
    """Embed all rows with a sentence-transformers model, or the bundled one."""
    import curate
    from curate.recipes.model_scores import embedded

    embedded(curate.read(file), encoder, "row")


def _points(file: str) -> tuple[Any, Any]:
    import numpy as np

    from tests.benchmarks.clouds import ids_of

    points = np.load(file, mmap_mode="r")
    return points, ids_of(len(points))


def k_means(file: str) -> dict[str, Any]:
    """Put points into 161 clusters, PCA before it."""
    from curate.selectors.kmeans import KMeansParams, clusters

    points, ids = _points(file)
    found = clusters(points, ids, KMeansParams(k=min(CLUSTERS, len(points))))
    return {"inertia": _inertia(points, found.labels)}


def _inertia(points: Any, labels: Any) -> float:
    """Return the sum of squared distances of points to the mean of their cluster."""
    import numpy as np

    sums = np.zeros((labels.max() + 1, points.shape[1]))
    squares = 0.0
    for at in range(0, len(points), 4_096):
        part = np.asarray(points[at : at + 4_096], dtype=np.float64)
        np.add.at(sums, labels[at : at + 4_096], part)
        squares += float((part * part).sum())
    return squares - float(((sums * sums).sum(1) / np.bincount(labels, minlength=len(sums))).sum())


def k_centre(file: str) -> dict[str, Any]:
    """Take 1,000 centres."""
    from curate.selectors.k_center import k_center

    points, ids = _points(file)
    return {"radius": k_center(points, ids, min(CENTRES, len(points))).radius}


# Peers


def peer_read(file: str) -> None:
    """Load JSON Lines with `datasets`."""
    _loaded(file)


def _loaded(file: str) -> Any:
    from datasets import load_dataset

    return load_dataset("json", data_files=file, split="train", cache_dir="datasets")


def peer_doctor(file: str) -> None:
    """Load with `datasets` and map row by row to messages, as training does before it begins."""
    _loaded(file).map(
        lambda row: {
            "messages": [
                {"role": "user", "content": f"{row['instruction']}\n{row['input']}".strip()},
                {"role": "assistant", "content": row["output"]},
            ]
        }
    )


def peer_random(file: str) -> None:
    """Load with `datasets`, shuffle, keep a tenth, write."""
    rows = _loaded(file)
    rows.shuffle(seed=0).select(range(len(rows) // 10)).to_json("random.jsonl", force_ascii=False)


def peer_mix(domain: str, general: str) -> None:
    """Load both with `datasets`, concatenate, shuffle, write."""
    from datasets import concatenate_datasets

    both = concatenate_datasets([_loaded(domain), _loaded(general)])
    both.shuffle(seed=0).to_json("mix.jsonl", force_ascii=False)


def peer_length(file: str) -> None:
    """Count the characters of responses line by line."""
    with open(file, encoding="utf-8") as lines, open("length.txt", "w") as out:
        out.writelines(f"{len(json.loads(line)['output'])}\n" for line in lines)


def peer_dedup(file: str) -> dict[str, Any]:
    """Sign with datasketch and ask its index, as its guide does; what is kept is not compared."""
    from datasketch import MinHash, MinHashLSH

    index, dropped = MinHashLSH(threshold=0.8, num_perm=128), 0
    with open(file, encoding="utf-8") as lines:
        for at, line in enumerate(lines):
            row = json.loads(line)
            text = f"{row['instruction']}\n{row['output']}"
            signature = MinHash(num_perm=128)
            signature.update_batch({text[n : n + 5].encode() for n in range(len(text) - 4)})
            if index.query(signature):
                dropped += 1
            else:
                index.insert(at, signature)
    return {"dropped": dropped}


def peer_tokenise(file: str) -> None:
    """Tokenise prompt and response of each row by itself, as the published scripts do."""
    tokenizer = _hugging_face("AutoTokenizer")
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            asked = [{"role": "user", "content": f"{row['instruction']}\n{row['input']}".strip()}]
            tokenizer.apply_chat_template(asked, add_generation_prompt=True)
            tokenizer(row["output"], add_special_tokens=False)


def _hugging_face(kind: str, **how: Any) -> Any:
    import transformers

    from curate.models.resolve import resolve

    return getattr(transformers, kind).from_pretrained(resolve(MODEL).folder, **how)


def peer_ifd(file: str) -> dict[str, Any]:
    """Score as the published scripts do: float32, one row at a time, two passes, all logits."""
    import torch

    tokenizer = _hugging_face("AutoTokenizer")
    model = _hugging_face("AutoModelForCausalLM", dtype=torch.float32).eval()

    def loss(before: list[int], response: list[int]) -> float:
        ids = torch.tensor([before + response])[:, :1024]
        labels = torch.tensor([[-100] * len(before) + response])[:, :1024]
        with torch.no_grad():
            return float(model(input_ids=ids, labels=labels).loss)

    scores = []
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            asked = [{"role": "user", "content": f"{row['instruction']}\n{row['input']}".strip()}]
            text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
            before = tokenizer(text, add_special_tokens=False)["input_ids"]
            response = tokenizer(row["output"], add_special_tokens=False)["input_ids"]
            if len(response) > 1:
                scores.append(loss(before, response) / loss(before[-3:], response))
    kept = sorted(scores, reverse=True)[: len(scores) // 10]
    Path("ifd.json").write_text(json.dumps(kept))
    return {"mean_ifd": sum(scores) / len(scores)}


def peer_embed(file: str, encoder: str) -> None:
    """Embed with sentence-transformers' own loop."""
    import numpy as np
    from sentence_transformers import SentenceTransformer

    with open(file, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    texts = [f"Instruction: {row['instruction']} Response: {row['output']}" for row in rows]
    np.save("vectors.npy", SentenceTransformer(encoder, device="cpu").encode(texts))


def peer_k_means(file: str) -> dict[str, Any]:
    """Run scikit-learn's PCA and k-means."""
    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    points = np.load(file)
    reduced = PCA(0.95, svd_solver="full").fit_transform(points)
    return {
        "inertia": _inertia(
            points, KMeans(min(CLUSTERS, len(points)), random_state=0).fit(reduced).labels_
        )
    }


def peer_k_centre(file: str) -> dict[str, Any]:
    """Compute with scikit-learn the distance of every row to every new centre."""
    import numpy as np
    from sklearn.metrics import pairwise_distances

    points = np.load(file)
    last, nearest = int(np.random.default_rng(0).integers(len(points))), None
    for _ in range(min(CENTRES, len(points))):
        distances = pairwise_distances(points, points[last].reshape(1, -1))
        nearest = distances if nearest is None else np.minimum(nearest, distances)
        last = int(nearest.argmax())
    return {"radius": float(nearest.max())}


def make_encoder(folder: str) -> None:
    """Write a sentence-transformers model of random weights, in the shape of MiniLM-L6."""
    import torch
    import transformers
    from sentence_transformers import SentenceTransformer, models

    torch.manual_seed(0)
    tokenizer = _hugging_face("AutoTokenizer")
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        pad_token_id=tokenizer.pad_token_id,
    )
    with tempfile.TemporaryDirectory() as raw:
        transformers.BertModel(config).save_pretrained(raw)
        tokenizer.save_pretrained(raw)
        parts = models.Transformer(raw, max_seq_length=256)
        pooling = models.Pooling(384)
        SentenceTransformer(modules=[parts, pooling], device="cpu").save(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--engine", default="local")
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    function = globals()[options.name]
    if options.workers is None:
        figures = function(*options.files)
    else:
        import curate

        with curate.using(engine=options.engine, workers=options.workers):
            figures = function(*options.files)
    json.dump(figures or {}, sys.stdout)


if __name__ == "__main__":
    main()
