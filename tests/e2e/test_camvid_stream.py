"""Streaming CamVid's validation clip scores exactly what evaluating it does."""

import dataclasses
import time

import numpy as np
import pytest
from stand_ins import ArgmaxBackend

from edgeseg.core.data.open import open_dataset
from edgeseg.runtime.backends import open_backend
from edgeseg.runtime.evaluation.evaluate import evaluate
from edgeseg.runtime.sources.open import open_source
from edgeseg.runtime.streaming.loop import Loop

pytestmark = pytest.mark.camvid


def test_the_whole_clip_streams_to_the_scores_of_evaluate(camvid, make_bundle):
    bundle = make_bundle("small", (96, 128))
    with open_backend("onnxruntime", bundle, threads=1) as backend:
        dataset = open_dataset(str(camvid), "val")
        result = evaluate(backend, bundle.spec, dataset, boundary=False)
        with open_source(str(camvid / "val"), bundle.spec, labels=camvid / "valannot") as source:
            streamed = Loop(backend, bundle, source).run()
    assert streamed.error is None
    assert streamed.report.frames == len(dataset) == 101
    assert streamed.report.dropped == 0
    accuracy = streamed.report.accuracy
    assert accuracy.miou == pytest.approx(result.scores.miou, abs=1e-9)
    assert accuracy.global_accuracy == pytest.approx(result.scores.global_accuracy, abs=1e-9)
    assert accuracy.class_accuracy == pytest.approx(result.scores.class_accuracy, abs=1e-9)


class Oracle(ArgmaxBackend):
    """Knows the right labels of every frame, and gives them late."""

    def __init__(self, dataset, delay_s: float) -> None:
        super().__init__(sleep_s=delay_s)
        self.io = dataclasses.replace(self.io, frame_shape=(1, 360, 480, 3))
        samples = [dataset[i] for i in range(len(dataset))]
        self._known = {sample.rgb.tobytes(): sample.labels for sample in samples}

    def infer(self, frames):
        time.sleep(self._sleep_s)
        return self._known.get(frames[0].tobytes(), np.zeros((360, 480), np.uint8))[None]


def test_a_paced_clip_pays_for_late_labels_however_right_they_are(camvid, make_bundle):
    bundle = make_bundle("camvid", (360, 480))
    dataset = open_dataset(str(camvid), "val")
    reports = []
    for delay_s in (0.0, 0.4):
        images = str(camvid / "val" / "0016E5_079*.png")
        with open_source(images, bundle.spec, labels=camvid / "valannot", pace_fps=10.0) as source:
            reports.append(Loop(Oracle(dataset, delay_s), bundle, source).run().report)
    fast, slow = reports
    assert fast.accuracy.miou == slow.accuracy.miou == 1.0
    assert slow.dropped > fast.dropped + 5
    # Being one frame late costs what the car moved in that time; four frames late costs more.
    assert slow.accuracy.streaming_miou < fast.accuracy.streaming_miou - 0.05
    assert 0.3 < fast.accuracy.streaming_miou < 1.0
