"""Nearest neighbours against scikit-learn and against a count by hand (section 3.8, k = 200)."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from mixup.data import Split, nearest
from mixup.data import neighbours as module
from mixup.data.sources.toys import digits
from mixup.errors import UserError

CPU = torch.device("cpu")


def split(pixels: np.ndarray, labels: np.ndarray) -> Split:
    return Split(torch.from_numpy(pixels), torch.from_numpy(labels), torch.zeros(len(labels), dtype=torch.bool))


def find(data: Split, count: int, tmp_path, *, within_class: bool = False) -> np.ndarray:
    return nearest(data, count, within_class=within_class, root=str(tmp_path), device=CPU)


@pytest.mark.parametrize("within_class", [False, True])
@pytest.mark.parametrize("chunk", [1000, 97])
def test_neighbours_are_scikit_learns(tmp_path, monkeypatch, within_class, chunk):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", chunk)
    data = digits().train
    pixels, labels = data.inputs.numpy(), data.labels.numpy()
    ours = find(data, 20, tmp_path, within_class=within_class)
    flat = pixels.reshape(len(data), -1).astype(np.float64)
    groups = [labels == label for label in range(10)] if within_class else [np.ones(len(data), bool)]
    for group in groups:
        members = np.flatnonzero(group)
        reference = NearestNeighbors(n_neighbors=20, algorithm="brute").fit(flat[members])
        distances, _ = reference.kneighbors()  # of the fitted points, themselves left out
        found = np.linalg.norm(flat[ours[members]] - flat[members, None], axis=2)
        assert np.allclose(found, distances), "equal distances may come in another order"
        assert np.isin(ours[members], members).all()
    assert (ours != np.arange(len(data))[:, None]).all()


def test_equal_distances_go_by_index_and_a_small_class_has_fewer(tmp_path):
    pixels = np.array([0, 4, 8, 4, 255], np.uint8).reshape(5, 1, 1, 1)
    data = split(pixels, np.array([0, 0, 0, 1, 2]))
    assert find(data, 3, tmp_path).tolist() == [[1, 3, 2], [3, 0, 2], [1, 3, 0], [1, 0, 2], [2, 1, 3]]
    assert find(data, 3, tmp_path, within_class=True).tolist() == [[1, 2, -1], [0, 2, -1], [1, 0, -1], [-1] * 3, [-1] * 3]


def test_computed_once_and_again_for_other_images_labels_or_counts(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (30, 4, 4, 3), dtype=np.uint8), rng.integers(0, 3, 30)
    first = find(split(pixels, labels), 5, tmp_path, within_class=True)
    computed = []
    compute = module.compute
    monkeypatch.setattr(module, "compute", lambda *arguments: computed.append(1) or compute(*arguments))
    assert np.array_equal(find(split(pixels, labels), 5, tmp_path, within_class=True), first)
    assert not computed
    find(split(pixels[::-1].copy(), labels), 5, tmp_path, within_class=True)
    find(split(pixels, (labels + 1) % 3), 4, tmp_path, within_class=True)
    find(split(pixels, labels[::-1].copy()), 5, tmp_path, within_class=True)
    assert len(computed) == 3
    find(split(pixels, labels), 5, tmp_path)
    find(split(pixels, labels[::-1].copy()), 5, tmp_path)
    assert len(computed) == 4, "labels do not matter where partners are of all classes"


def test_what_has_no_pixels_or_too_few_examples_is_refused_with_the_remedy(tmp_path):
    features = Split(torch.rand(5, 3), torch.arange(5), torch.zeros(5, dtype=torch.bool))
    with pytest.raises(UserError, match="images in memory"):
        find(features, 2, tmp_path)
    data = split(np.zeros((5, 2, 2, 1), np.uint8), np.arange(5))
    with pytest.raises(UserError, match=r"mixup\.neighbours=5: there are 4 other"):
        find(data, 5, tmp_path)
