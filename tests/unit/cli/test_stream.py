"""`edgeseg stream`: what its options do, as a user runs it."""

import json

import pytest
from tinybundle import random_frame, tiny_bundle

from edgeseg.cli import run
from edgeseg.core.image import write_png
from edgeseg.core.report import read_report


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    path = tmp_path_factory.mktemp("bundle") / "tiny"
    tiny_bundle(path)
    return str(path)


@pytest.fixture
def images(tmp_path):
    for i in range(12):
        write_png(tmp_path / "images" / f"{i:02d}.png", random_frame(i))
    return str(tmp_path / "images")


@pytest.fixture
def stream(capsys):
    """Run the verb; returns its exit code, standard output and standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(["stream", *arguments, "--backend", "onnxruntime", "--threads", "1"])
        return (code, *capsys.readouterr())

    return call


@pytest.fixture
def document(stream):
    def call(*arguments: str) -> dict:
        code, out, err = stream(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return call


def test_a_shadow_is_reported_and_harvested(document, bundle, images, tmp_path):
    found = document(
        bundle, images, "--shadow", bundle, "--every", "1", "--alarm", "0.5",
        "--harvest", str(tmp_path / "h"),
    )["shadow"]  # fmt: skip
    assert found["n"] >= 1
    assert found["n"] + found["skipped"] == 12
    assert found["agreement"] == 1.0
    assert (found["alarms"], found["harvested"], found["error"]) == (0, 0, None)
    assert (tmp_path / "h/classes.txt").is_file()


def test_several_cameras_share_the_network_and_have_a_report_each(
    document, bundle, images, tmp_path
):
    found = document(
        bundle, images, f"{tmp_path}/masks-{{n}}/", "--also", f"{images}/0[0-5].png",
        "-o", str(tmp_path / "r.json"),
    )  # fmt: skip
    assert [report["frames"] for report in found["reports"]] == [12, 6]
    for number, n in ((0, 12), (1, 6)):
        assert len(list((tmp_path / f"masks-{number}").iterdir())) == n
        assert read_report(tmp_path / f"r-{number}.json").frames == n


def test_two_cameras_go_into_one_call(document, bundle, images):
    found = document(bundle, images, "--also", images, "--batch", "2")
    assert [report["frames"] for report in found["reports"]] == [12, 12]
    assert [report["run"]["batch"] for report in found["reports"]] == [2, 2]


def test_sustain_repeats_files_and_reports_burst_and_drift(document, bundle, images):
    found = document(bundle, images, "--sustain", "6s", "--pace", "30")
    assert found["frames"] > 20
    assert found["run"]["ended_by"] == "duration"
    assert found["rate"]["seconds"] > 5
    assert found["rate"]["fps_drift"] is not None


def test_hold_makes_a_slower_device_of_this_one(document, bundle, images):
    found = document(bundle, images, "--hold", "30")
    assert found["latency_ms"]["infer"]["p50"] >= 30
    assert found["run"]["held_to_ms"] == 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--harvest", "h"], "need --shadow"),
        (["--alarm", "0.9"], "need --shadow"),
        (["--sustain", "5m", "--frames", "3"], "leave --duration and --frames out"),
        (["--also", "x", "--labels", "y"], "belongs to one SOURCE"),
        (["--duration", "soon"], "is not a time"),
        (["--batch", "2"], "add cameras with --also"),
    ],
)
def test_options_that_cannot_go_together_are_answered(stream, bundle, images, arguments, message):
    code, _, err = stream(bundle, images, *arguments)
    assert code == 2
    assert message in err


def test_one_file_cannot_take_two_cameras(stream, bundle, images):
    code, _, err = stream(bundle, images, "out.mp4", "--also", images)
    assert code == 2
    assert "out-{n}.mp4" in err


def test_the_table_tells_what_happened(stream, bundle, images):
    code, out, err = stream(bundle, images, "--shadow", bundle, "--every", "1")
    assert code == 0, err
    assert "agreement 1.0000" in out
