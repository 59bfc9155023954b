"""The parts of the synthetic drive."""

import numpy as np
import pytest

from edgeseg.core.synthetic.cars import TOP, body
from edgeseg.core.synthetic.light import HAZE_LEVELS, PLAIN, SHADE, SUNNY, Light, _darkened
from edgeseg.core.synthetic.street import MOUTH_M, SEE_M, Street
from edgeseg.core.synthetic.textures import level_for, noise_tile, pyramid
from edgeseg.core.synthetic.view import NEAR_M, SUBPIXEL, Camera, View

VIEW = View((72, 96), 90.0, 1.5, 30.0, -1.7, 100.0, 0.02, 0.003)


def test_corners_and_point_agree() -> None:
    points = np.array([[3.0, 0.0, 110.0], [-4.0, 2.5, 180.0], [0.0, 1.0, 90.0]])
    expected = [VIEW.point(*point) for point in points.tolist()]
    assert VIEW.corners(points) / (1 << SUBPIXEL) == pytest.approx(
        np.array(expected), abs=1 / (1 << SUBPIXEL)
    )


def test_perspective_by_hand() -> None:
    column, row = VIEW.point(-1.7 + 2.0, 0.5, 110.0)
    assert row == pytest.approx(30.0 + 1.0 * 90.0 / 10.0)
    assert column == pytest.approx(48.0 + 90.0 * 0.02 + 2.0 * 9.0 + 0.5 * 90.0 * 0.003 * 10.0)
    assert VIEW.point(0.0, 1.5, 180.0)[1] == 30.0
    assert VIEW.point(1.0, 0.0, 50.0) == VIEW.point(1.0, 0.0, 100.0 + NEAR_M)


def test_the_camera_drives_on_smoothly() -> None:
    camera = Camera(np.random.default_rng(3), (72, 96), 1.7)
    steps = np.diff([camera.at(k / 15).z for k in range(300)])
    assert steps.min() > 0.3
    assert steps.max() < 0.8
    assert camera.at(2.0) == camera.at(2.0)


def test_noise_tiles_without_a_seam() -> None:
    tile = noise_tile(np.random.default_rng(0), 64, 1.5)
    inside, seam = np.abs(np.diff(tile, axis=1)), np.abs(tile[:, 0] - tile[:, -1])
    assert tile.std() == pytest.approx(1.0, rel=1e-4)
    assert seam.mean() < 1.5 * inside.mean()


def test_halvings_fit_the_size_on_screen() -> None:
    levels = pyramid(np.zeros((100, 80, 4), np.uint8))
    assert [len(level) for level in levels] == [100, 50, 25, 12]
    assert [level_for(100, len(levels), rows) for rows in (300.0, 100.0, 60.0, 30.0, 1.0)] == [
        0, 0, 1, 2, 3,
    ]  # fmt: skip


def test_light_leaves_labels_alone_and_tints_as_its_tables_do() -> None:
    light = Light(np.random.default_rng(1), (40, 50))
    for level in range(HAZE_LEVELS):
        for lit in (SHADE, PLAIN, SUNNY):
            table = light.table(level, lit)[0]
            assert (table[:, 3] == np.arange(256)).all()
            assert light.tint((10, 90, 250), level, lit) == tuple(
                int(table[value, c]) for c, value in enumerate((10, 90, 250))
            )
    assert light.level(0.0) == 0
    assert light.level(5.0) <= light.level(50.0) <= light.level(500.0) < HAZE_LEVELS


@pytest.mark.parametrize("style", sorted(TOP))
@pytest.mark.parametrize("heading", [-1, 1])
def test_bodies_stay_within_their_box(style: str, heading: int) -> None:
    for side in (-1, 0, 1):
        shape = body(style, heading, side, True)
        low, high = shape.corners.min(0), shape.corners.max(0)
        assert (low >= (-1, 0, 0)).all()
        assert (high <= (1, 1, 1)).all()
        covered = sorted((face.start, face.stop) for face in shape.faces)
        assert covered[0][0] == 0
        assert covered[-1][1] == len(shape.corners)
        assert len(body(style, heading, side, False).faces) < len(shape.faces)


def test_nothing_stands_in_the_mouth_of_a_side_street() -> None:
    street = Street(2)
    chunk = next(k for k in range(100) if street.is_crossing(k))
    low, high = (24.0 * chunk + m for m in MOUTH_M)
    standing = [
        item
        for item in street._chunk(chunk)
        if item.kind in ("post", "car") or item.family in ("sign", "light", "bike")
    ]
    assert standing
    assert not [item for item in standing if low < item.z < high]


def test_the_car_ahead_is_never_met() -> None:
    street = Street(4)
    lane = street.layout.hand * 1.75
    for second in range(0, 300, 7):
        own = [i for i in street.items(0.0, 0.0, float(second)) if i.kind == "car" and i.x == lane]
        assert len(own) == 1
        assert 6.0 < own[0].z < SEE_M


def test_the_vignette_rounds_as_every_processor_can():
    levels, shares = np.meshgrid(np.arange(256), np.arange(256))
    rgb, share = (np.repeat(x[..., None].astype(np.uint8), 3, axis=2) for x in (levels, shares))
    wanted = (levels * shares / 255).round()
    assert np.array_equal(_darkened(rgb, share)[..., 0], wanted)
