import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from curate.selectors import kmeans as km
from curate.selectors.kmeans import KMeansParams, clusters, default_k, kmeans, pca
from tests.selectors.clouds import ids_of

TRIES = range(6)


def blobs(sizes, wide=6, seed=0, spread=0.05):
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((len(sizes), wide)) * 5
    points = np.repeat(centres, sizes, axis=0) + spread * generator.standard_normal(
        (sum(sizes), wide)
    )
    return points.astype(np.float32), np.repeat(np.arange(len(sizes)), sizes)


def inertia(points, labels):
    """The sum of squared distances to the means of clusters."""
    parts = (points[labels == each].astype(float) for each in np.unique(labels))
    return sum(((part - part.mean(axis=0)) ** 2).sum() for part in parts)


def test_default_k():
    assert [default_k(n) for n in (0, 1, 2, 7, 8, 52002)] == [1, 1, 1, 1, 2, 161]


@pytest.mark.parametrize("seed", range(4))
def test_separate_blobs_are_found_and_numbered_by_size(seed):
    points, truth = blobs([20, 50, 30, 5])
    found = clusters(points, ids_of(105), KMeansParams(k=4, seed=seed))
    assert found.sizes.tolist() == [50, 30, 20, 5]
    assert found.note == ""
    for number, each in enumerate((1, 2, 0, 3)):
        assert (found.labels[truth == each] == number).all()
    whole = clusters(points, ids_of(105), KMeansParams(k=4, variance=1))
    assert whole.labels.tolist() == found.labels.tolist()
    assert (whole.dimensions, found.dimensions < 6) == (6, True)


def test_equal_sizes_are_numbered_by_the_smallest_id():
    points = np.array([[0], [9], [9.1], [0.1]], dtype=np.float32)
    ids = np.array(list("dcba"), dtype=object)
    assert clusters(points, ids, KMeansParams(k=2)).labels.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("variance", [0.9, 1])
def test_in_blocks_they_are_the_same_where_clusters_are_apart(variance, monkeypatch):
    points, _ = blobs([400, 300, 200, 50], wide=30)
    points[7] = np.nan
    ids, params = ids_of(len(points)), KMeansParams(k=4, variance=variance)
    whole = clusters(points, ids, params)
    monkeypatch.setattr(km, "WHOLE", 1)
    monkeypatch.setattr(km, "_BLOCK", 64)
    monkeypatch.setattr(km, "_PER_CLUSTER", 100)
    found = clusters(points.astype(np.float16), ids, params)
    assert (found.labels == whole.labels).all()
    assert (found.dimensions, found.labels[7]) == (whole.dimensions, -1)
    order = np.random.default_rng(1).permutation(len(points))
    turned = clusters(points[order].astype(np.float16), ids[order], params)
    assert (turned.labels == found.labels[order]).all()


def test_in_blocks_they_are_as_good(monkeypatch):
    points = np.random.default_rng(3).standard_normal((4000, 24)).astype(np.float32)
    ids, how = ids_of(len(points)), [KMeansParams(k=12, seed=seed) for seed in TRIES]
    whole = [inertia(points, clusters(points, ids, each).labels) for each in how]
    monkeypatch.setattr(km, "WHOLE", 1)
    blocks = [inertia(points, clusters(points, ids, each).labels) for each in how]
    assert np.mean(blocks) < 1.01 * np.mean(whole)
    monkeypatch.setattr(km, "_PER_CLUSTER", 1)
    assert inertia(points, clusters(points, ids, how[0]).labels) > 1.02 * np.mean(whole)


def test_of_equal_points_there_is_one_cluster_in_blocks_too(monkeypatch):
    monkeypatch.setattr(km, "WHOLE", 1)
    found = clusters(np.ones((30, 4), dtype=np.float32), ids_of(30))
    assert found.labels.tolist() == [0] * 30


@pytest.mark.parametrize("seed", [0, 1])
def test_neither_order_nor_threads_nor_time_change_them(seed):
    points, _ = blobs([100] * 30, wide=40, seed=seed, spread=3)
    ids = ids_of(len(points))
    first = clusters(points, ids, KMeansParams(seed=seed))
    order = np.random.default_rng(1).permutation(len(points))
    turned = clusters(points[order], ids[order], KMeansParams(seed=seed))
    assert (turned.labels == first.labels[order]).all()
    for threads in (1, 3):
        with threadpool_limits(threads):
            other = clusters(points, ids, KMeansParams(seed=seed))
        assert (other.labels == first.labels).all()


@pytest.mark.parametrize("threads", [1, 4])
def test_every_point_is_with_its_nearest_centre_on_any_number_of_threads(threads):
    points = np.random.default_rng(3).standard_normal((9001, 33), dtype=np.float32)
    with threadpool_limits(1):
        alone = kmeans(points, 20, seed=1)
    with threadpool_limits(threads):
        assert (kmeans(points, 20, seed=1) == alone).all()
    centres = np.array([points[alone == each].mean(axis=0) for each in range(20)])
    away = ((points[:, None] - centres) ** 2).sum(axis=2)
    assert (away.argmin(axis=1) == alone).mean() > 0.95


def test_another_seed_draws_other_centres():
    points = np.random.default_rng(3).standard_normal((500, 8), dtype=np.float32)
    assert (kmeans(points, 20, seed=1) != kmeans(points, 20, seed=2**40)).any()


def test_pca_keeps_what_sklearn_keeps():
    points, _ = blobs([200, 100, 40], wide=30, spread=1.5)
    wanted = PCA(0.95, svd_solver="full").fit(points)
    found = pca(points, 0.95)
    assert found.shape[1] == wanted.n_components_
    theirs = wanted.transform(points)
    np.testing.assert_allclose(np.abs(found), np.abs(theirs), atol=1e-2)
    assert pca(points, 1).shape == points.shape


def test_pca_by_hand():
    points = np.array([[0, 0, 5], [3, 0, 5], [6, 0, 5]], dtype=np.float32)
    np.testing.assert_allclose(pca(points, 0.95), [[-3], [0], [3]], atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_kmeans_is_as_good_as_sklearns(seed):
    points, _ = blobs([40, 80, 10, 150] * 12, wide=16, seed=seed, spread=2.5)
    theirs = [inertia(points, KMeans(48, random_state=each).fit(points).labels_) for each in TRIES]
    ours = [inertia(points, kmeans(points, 48, seed=each)) for each in TRIES]
    assert np.mean(ours) < 1.02 * np.mean(theirs)


def test_fewer_rows_than_clusters():
    points = np.eye(3, dtype=np.float32)
    found = clusters(points, ids_of(3), KMeansParams(k=9))
    assert sorted(found.labels.tolist()) == [0, 1, 2]
    assert found.note == (
        "9 clusters were asked for and there are 3 rows; the number of clusters made is 3"
    )


def test_all_the_same():
    found = clusters(np.ones((20, 4), np.float32), ids_of(20))
    assert found.labels.tolist() == [0] * 20
    assert found.note == (
        "3 clusters were sought; many embeddings are equal, and the number of clusters made is 1"
    )


def test_repeats_make_no_cluster_of_their_own():
    points = np.repeat(np.eye(2, dtype=np.float32), 10, axis=0)
    found = clusters(points, ids_of(20), KMeansParams(k=5))
    assert found.sizes.tolist() == [10, 10]


def test_one_row_and_none():
    found = clusters(np.ones((1, 4), np.float32), ids_of(1))
    assert (found.labels.tolist(), found.note) == ([0], "")
    nothing = clusters(np.full((2, 4), np.nan, np.float32), ids_of(2))
    assert (nothing.labels.tolist(), nothing.note) == ([-1, -1], "no row has a vector")


def test_a_row_without_vector_is_in_no_cluster():
    points, _ = blobs([10, 10])
    points[3] = np.nan
    assert np.flatnonzero(clusters(points, ids_of(20), KMeansParams(k=2)).labels < 0).tolist() == [
        3
    ]
