"""Whether a bundle gives here what it gave where it was exported."""

import pytest
from click.testing import CliRunner
from tinybundle import expected_labels, tiny_bundle

from edgeseg.cli.verify import command
from edgeseg.errors import AccuracyMissed
from edgeseg.runtime.backends.base import Backend, BackendIo
from edgeseg.runtime.evaluation import verify as module
from edgeseg.runtime.evaluation.verify import MIN_AGREEMENT, Verification, verify


def test_the_golden_labels_come_back(tmp_path):
    pytest.importorskip("onnxruntime")
    bundle = tiny_bundle(tmp_path / "b", precision="int8")
    found = verify(bundle, ["onnxruntime"], lambda name: {"threads": 1})
    assert found.min_agreement == MIN_AGREEMENT["int8"]
    assert [row["agreement"] for row in found.results] == [1.0]
    assert found.ok
    found.check()
    strict = verify(bundle, ["onnxruntime"], lambda name: {"threads": 1}, min_agreement=1.0)
    assert strict.to_json()["results"][0]["threads"] == 1


@pytest.mark.parametrize(
    ("agreement", "preprocess", "message"),
    [
        (0.5, None, "agree too little on mine 0.5000"),
        (
            1.0,
            {"opencv": "9", "max_difference": 7, "tolerance": 1, "ok": False},
            "by up to 7 of 255",
        ),
    ],
)
def test_what_differs_is_refused_with_the_figure(agreement, preprocess, message):
    rows = [{"backend": "mine", "agreement": agreement, "expected": 0.9, "ok": agreement >= 0.9}]
    found = Verification("b", 0.9, rows, preprocess)
    assert not found.ok
    with pytest.raises(AccuracyMissed, match=message):
        found.check()


class Runtime(Backend):
    """Gives labels that hang on a grey level at `unsteady` of the pixels, wrong ones at `wrong`."""

    io = BackendIo("mine 1", "cpu", "f32", 1, (1, 48, 64, 3))

    def __init__(self, unsteady, wrong):
        self.unsteady, self.wrong = round(48 * unsteady), round(48 * wrong)

    def close(self):
        pass

    def infer(self, frames):
        labels = expected_labels(frames)
        labels[:, : self.unsteady] = frames[:, : self.unsteady, :, 0] % 3
        labels[:, 48 - self.wrong :] = (labels[:, 48 - self.wrong :] + 1) % 3
        return labels


@pytest.mark.parametrize(
    ("unsteady", "wrong", "ok"), [(0.5, 0.0, True), (0.0, 0.25, False), (0.25, 0.5, False)]
)
def test_a_runtime_is_not_held_to_more_than_it_agrees_with_itself(
    tmp_path, monkeypatch, unsteady, wrong, ok
):
    bundle = tiny_bundle(tmp_path / "b")
    monkeypatch.setattr(module, "open_backend", lambda *given, **options: Runtime(unsteady, wrong))
    (row,) = verify(bundle, ["mine"]).results
    # The noise of -1, 0 or 1 leaves a third of the unsteady pixels alone.
    assert row["steadiness"] == pytest.approx(1 - unsteady * 2 / 3, abs=0.02)
    # Where red leads it is 245, whose remainder is 2 and never 0; elsewhere a third agrees.
    assert row["agreement"] == pytest.approx(1 - unsteady * 7 / 9 - wrong, abs=0.02)
    assert row["ok"] is ok
    # Who names a limit has it.
    assert not verify(bundle, ["mine"], min_agreement=0.9).ok


def test_the_help_tells_the_limits_that_hold():
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert all(f"{least} for {name}" in text for name, least in MIN_AGREEMENT.items())
