"""A model from Python: pictures of every kind, streams and messages."""

import io

import cv2
import numpy as np
import pytest

import edgeseg
from edgeseg.core.images.io import write_png
from edgeseg.core.spec import CAMVID_CLASSES, CAMVID_PALETTE
from edgeseg.errors import BundleError, DataError, UsageError


@pytest.fixture(scope="module")
def model(colour_bundle):
    pytest.importorskip("onnxruntime")
    with edgeseg.load(colour_bundle.path, threads=1) as loaded:
        yield loaded


@pytest.fixture
def halves() -> np.ndarray:
    """Left half in class 3's colour, right half in class 5's; twice the network's size."""
    picture = np.empty((128, 192, 3), np.uint8)
    picture[:, :96], picture[:, 96:] = CAMVID_PALETTE[3], CAMVID_PALETTE[5]
    return picture


def test_labels_come_back_at_the_pictures_own_size(model, halves):
    result = model(halves)
    assert result.labels.shape == (128, 192)
    assert (result.labels[:, :96] == 3).all()
    assert (result.labels[:, 96:] == 5).all()
    assert result.names == CAMVID_CLASSES
    assert result.shares[CAMVID_CLASSES[3]] == result.shares[CAMVID_CLASSES[5]] == 0.5
    assert sum(result.shares.values()) == 1


def test_bgr_paths_lists_and_grey(model, halves, tmp_path):
    write_png(tmp_path / "a b ü.png", halves)
    first, second = model([halves[..., ::-1], halves[..., ::-1]], color="bgr")
    assert np.array_equal(first.labels, second.labels)
    assert np.array_equal(first.labels, model(halves).labels)
    found = model(tmp_path / "a b ü.png")
    assert np.array_equal(found.labels, first.labels)
    assert found.source.endswith("a b ü.png")
    grey = np.full((9, 7), 128, np.uint8)
    assert model(grey).labels.shape == (9, 7)
    assert model(np.zeros((1, 1, 3), np.uint8)).labels.shape == (1, 1)


def test_a_rotated_photo_is_turned_upright(model, halves, tmp_path):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    data = io.BytesIO()
    exif = image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees clockwise to view
    image.fromarray(halves).save(data, "png", exif=exif)
    opened = image.open(data)
    assert model(opened).labels.shape == (192, 128)
    assert (model(opened).labels[:90] == 3).all()


def test_the_pictures_of_a_result(model, halves, tmp_path):
    result = model(halves)
    assert (result.mask()[0, 0] == CAMVID_PALETTE[3]).all()
    assert np.array_equal(result.overlay(0.0), halves)
    assert result.picture("side").shape == (128, 384, 3)
    result.save(tmp_path / "labels.png", "labels")
    assert np.array_equal(cv2.imread(str(tmp_path / "labels.png"), -1), result.labels)
    assert result._repr_png_().startswith(b"\x89PNG")
    legend = result.overlay(legend=True)
    assert not np.array_equal(legend[:40, :60], result.overlay()[:40, :60])
    assert np.array_equal(legend[-20:], result.overlay()[-20:])
    with pytest.raises(UsageError, match="JPEG changes labels"):
        result.save(tmp_path / "labels.jpg", "labels")


def test_polygons_outline_each_area(model, halves):
    areas = model(halves).polygons(min_area=100)
    assert [area["name"] for area in areas] == [CAMVID_CLASSES[3], CAMVID_CLASSES[5]]
    assert areas[0]["area"] == 95 * 127
    assert set(areas[0]["points"]) == {(0, 0), (95, 0), (95, 127), (0, 127)}
    assert model(halves).polygons(min_area=1e6) == []


def test_a_stream_gives_a_result_for_each_frame(model, tmp_path):
    for i in range(3):
        write_png(tmp_path / f"{i}.png", np.full((64, 96, 3), CAMVID_PALETTE[i], np.uint8))
    found = list(model.stream(tmp_path))
    assert [int(result.labels[0, 0]) for result in found] == [0, 1, 2]
    assert [result.source for result in found] == ["0.png", "1.png", "2.png"]


def test_scores_of_labelled_data(model):
    found = model.evaluate("synthetic:3")
    assert found.n_images == 3
    assert 0 <= found.scores.miou < 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((4, 4, 3), np.float32), "type float32 was given, expected a uint8 array"),
        (np.zeros((4, 4, 4), np.uint8), "drop an alpha channel"),
        (np.zeros((0, 4, 3), np.uint8), "expected a uint8 array"),
        (7, "type int was given"),
    ],
)
def test_what_is_no_picture_is_refused(model, given, said):
    with pytest.raises(UsageError, match=said):
        model(given)


def test_files_that_are_no_models_or_pictures(model, tmp_path):
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="not an image"):
        model(tmp_path / "x.png")
    (tmp_path / "net.safetensors").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"edgeseg import .* --weights .*net\.safetensors"):
        edgeseg.load(tmp_path / "net.safetensors")
    with pytest.raises(UsageError, match="unknown bundle"):
        edgeseg.load("deeplabv3plus-mobilenetv1-camvid")


def test_a_bundle_is_read_by_name():
    name = "deeplabv3plus-mobilenetv2-camvid"
    assert edgeseg.read_bundle(name).path.name == name
