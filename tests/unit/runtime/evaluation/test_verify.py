"""Whether a bundle gives here what it gave where it was exported."""

import pytest
from click.testing import CliRunner
from tinybundle import tiny_bundle

from edgeseg.cli.verify import command
from edgeseg.errors import AccuracyMissed
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
    rows = [{"backend": "mine", "agreement": agreement, "ok": agreement >= 0.9}]
    found = Verification("b", 0.9, rows, preprocess)
    assert not found.ok
    with pytest.raises(AccuracyMissed, match=message):
        found.check()


def test_the_help_tells_the_limits_that_hold():
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert all(f"{least} for {name}" in text for name, least in MIN_AGREEMENT.items())
