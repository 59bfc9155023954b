import dataclasses

import numpy as np
import pytest
from stand_ins import ArgmaxBackend, ListSource
from tinybundle import NAMES, PALETTE, SIZE_HW, expected_labels, random_frame, spec, tiny_bundle

from edgeseg.core.data.dataset import Sample
from edgeseg.core.data.fingerprint import digest_of_samples
from edgeseg.errors import DataError
from edgeseg.runtime.evaluation.evaluate import evaluate, predict
from edgeseg.runtime.streaming.loop import Loop, LoopOptions


@dataclasses.dataclass
class Frames:
    """The frames of ListSource as a dataset, with some of the truth made wrong."""

    n: int
    size_hw: tuple[int, int] = SIZE_HW
    labelled: bool = True
    class_names: tuple[str, ...] = NAMES
    name = "frames"
    palette = PALETTE
    ignore_index = 255
    fingerprint = digest_of_samples

    def __len__(self):
        return self.n

    @property
    def names(self):
        return tuple(map(str, range(self.n)))

    def __getitem__(self, index):
        rgb = random_frame(index, self.size_hw)
        return Sample(str(index), rgb, expected_labels(rgb) if self.labelled else None)


def test_scores_are_the_counts_of_all_images():
    result = evaluate(ArgmaxBackend(), spec(), Frames(3))
    document = result.to_json()
    assert document["n_images"] == 3
    assert document["miou"] == document["global_accuracy"] == document["bf"] == 1.0
    assert document["per_class"]["red"] == {"iou": 1.0, "accuracy": 1.0, "bf": 1.0}
    assert list(document["per_class"]) == list(NAMES)


@pytest.mark.parametrize("size_hw", [SIZE_HW, (96, 100), (30, 70)])
def test_the_loop_and_evaluate_agree_to_the_bit(tmp_path, size_hw):
    bundle = tiny_bundle(tmp_path / "b")
    result = evaluate(ArgmaxBackend(), bundle.spec, Frames(4, size_hw))
    source = ListSource(4, size_hw=size_hw)
    options = LoopOptions(boundary=True)
    streamed = Loop(ArgmaxBackend(), bundle, source, options=options).run().report.accuracy
    assert streamed.miou == result.scores.miou
    assert streamed.global_accuracy == result.scores.global_accuracy
    assert streamed.class_accuracy == result.scores.class_accuracy
    assert streamed.bf == result.bf


def test_a_class_that_never_occurs_is_null():
    class Red(Frames):
        def __getitem__(self, index):
            rgb = np.zeros((*SIZE_HW, 3), np.uint8)
            rgb[..., 0] = 255
            return Sample("red", rgb, expected_labels(rgb))

    document = evaluate(ArgmaxBackend(), spec(), Red(1), boundary=False).to_json()
    assert document["per_class"]["blue"] == {"iou": None, "accuracy": None, "bf": None}
    assert document["bf"] is None
    assert document["miou"] == 1.0


def test_other_classes_and_missing_truth_are_refused():
    with pytest.raises(DataError, match="has the classes a, b, c; the model knows red"):
        evaluate(ArgmaxBackend(), spec(), Frames(1, class_names=("a", "b", "c")))
    with pytest.raises(DataError, match="no labelled image"):
        evaluate(ArgmaxBackend(), spec(), Frames(1, labelled=False))


def test_progress_counts_images():
    seen = []
    evaluate(ArgmaxBackend(), spec(), Frames(3), boundary=False, progress=seen.append)
    assert seen == [1, 2, 3]


class Spoiled(Frames):
    """Frame i has i rows of wrong truth and one row of void."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        truth = sample.labels.copy()
        truth[:index] = (truth[:index] + 1) % len(NAMES)
        truth[-1] = self.ignore_index
        return Sample(sample.name, sample.rgb, truth)


def test_the_worst_frames_are_kept_in_order_and_counts_add_up():
    result = evaluate(ArgmaxBackend(), spec(), Spoiled(5), boundary=False, keep_worst=2)
    height, width = SIZE_HW
    assert [frame.name for frame in result.worst] == ["4", "3"]
    assert result.worst[0].wrong == pytest.approx(4 / (height - 1))
    wrong = int(result.counts.sum() - np.trace(result.counts[:, :-1]))
    assert wrong == (0 + 1 + 2 + 3 + 4) * width
    assert result.counts.sum() == 5 * (height - 1) * width
    document = result.to_json()
    assert document["confusion"] == result.counts.tolist()
    assert document["worst"][0] == {"name": "4", "wrong": result.worst[0].wrong}


def test_predict_gives_labels_of_the_pictures_size_that_stay():
    backend = ArgmaxBackend()
    labels = predict(backend, spec(), random_frame(0))
    predict(backend, spec(), random_frame(1))
    assert np.array_equal(labels, expected_labels(random_frame(0)))
    assert predict(backend, spec(), random_frame(0, (33, 71))).shape == (33, 71)
