"""The search for the dense CRF's parameters."""

import dataclasses

import numpy as np
import pytest
from tinybundle import NAMES, PALETTE, SIZE_HW, spec, tiny_bundle

from edgeseg.core.crf.options import CrfOptions
from edgeseg.core.data.dataset import Sample
from edgeseg.core.data.fingerprint import digest_of_samples
from edgeseg.errors import DataError
from edgeseg.runtime.backends import open_backend
from edgeseg.runtime.backends.dense_crf import CrfBackend
from edgeseg.runtime.evaluation.crf_search import CrfGrid, search_crf
from edgeseg.runtime.evaluation.evaluate import evaluate

GRID = CrfGrid(
    appearance=(0.0, 3.0), position=(8.0,), colour=(40.0,), smoothness=(0.0, 2.0), radius=(1.0,)
)


class Blocks:
    """Two areas, red and blue, whose pixels are noisy enough that some look like another class."""

    name = "blocks"
    class_names = NAMES
    palette = PALETTE
    ignore_index = 255
    fingerprint = digest_of_samples

    def __init__(self, n=2, labels=True):
        self.n, self.labels = n, labels

    def __len__(self):
        return self.n

    @property
    def names(self):
        return tuple(map(str, range(self.n)))

    def __getitem__(self, index):
        random = np.random.default_rng(index)
        truth = np.zeros(SIZE_HW, np.uint8)
        truth[:, 20 + 10 * index :] = 2
        rgb = np.where(truth[..., None] == 0, (150, 90, 110), (110, 90, 150)).astype(float)
        rgb += random.normal(0, 25, rgb.shape)
        rgb = rgb.clip(0, 255).astype(np.uint8)
        return Sample(f"{index}.png", rgb, truth if self.labels else None)


@pytest.fixture
def tiny(tmp_path):
    with open_backend("onnxruntime", tiny_bundle(tmp_path / "b"), threads=1) as backend:
        yield backend


def test_candidates_are_ranked_by_what_eval_gives(tiny):
    seen = []
    start = CrfOptions(smoothness=0.0, iterations=3)
    network, *trials = search_crf(
        tiny, spec(), Blocks(), grid=GRID, start=start, progress=seen.append
    )
    assert seen == [1, 2, 3, 4]
    plain = evaluate(tiny, spec(), Blocks(), boundary=False)
    assert network.options is None
    assert network.scores.miou == pytest.approx(plain.scores.miou)
    assert {trial.options for trial in trials} == {
        dataclasses.replace(start, appearance=a, position=8.0, colour=40.0, smoothness=s, radius=r)
        for a, s, r in ((0.0, 0.0, start.radius), (3.0, 0.0, start.radius),
                        (3.0, 0.0, 1.0), (3.0, 2.0, 1.0))
    }  # fmt: skip
    mious = [trial.scores.miou for trial in trials]
    assert mious == sorted(mious, reverse=True)
    assert mious[0] > network.scores.miou + 0.05
    best = trials[0].options
    assert best is not None
    assert best.appearance == 3.0
    refined = evaluate(CrfBackend(tiny, 3, best), spec(), Blocks(), boundary=False)
    assert refined.scores.miou == pytest.approx(mious[0])


def test_images_without_labels_are_refused(tiny):
    with pytest.raises(DataError, match="no labelled image"):
        search_crf(tiny, spec(), Blocks(labels=False), grid=GRID)
