import cv2
import numpy as np

from edgeseg.core.data.dataset import open_dataset
from edgeseg.core.data.fingerprint import data_sha256
from edgeseg.core.data.views import filter_names, limited, with_ignored


def folder(root, seed=0):
    rng = np.random.default_rng(seed)
    for kind, shape in (("images", (8, 12, 3)), ("masks", (8, 12))):
        (root / kind / "train").mkdir(parents=True)
        for number in range(4):
            picture = rng.integers(0, 3, shape).astype(np.uint8)
            cv2.imwrite(str(root / kind / "train" / f"{number}.png"), picture)
    (root / "classes.txt").write_text("a\nb\nc\n")
    return open_dataset(str(root), "train")


def test_equal_files_are_equal_data_wherever_they_lie(tmp_path):
    one, two = folder(tmp_path / "x" / "d"), folder(tmp_path / "y" / "d")
    assert data_sha256(one) == data_sha256(two)
    assert data_sha256(one) != data_sha256(folder(tmp_path / "z" / "d", seed=1))


def test_a_mask_and_a_choice_of_images_count(tmp_path):
    data = folder(tmp_path / "d")
    whole = data_sha256(data)
    some = {data_sha256(limited(data, 2)), data_sha256(filter_names(data, lambda n: n == "3"))}
    assert len(some | {whole}) == 3
    assert data_sha256(with_ignored(limited(data, 2), 7)) in some
    cv2.imwrite(str(tmp_path / "d" / "masks" / "train" / "2.png"), np.ones((8, 12), np.uint8))
    assert data_sha256(open_dataset(str(tmp_path / "d"), "train")) != whole


def test_painted_frames_are_known_by_their_number_and_size():
    sets = [open_dataset(f"synthetic:{n}", "train", size_hw=(48, 64)) for n in (2, 3, 3)]
    hashes = [data_sha256(each) for each in sets]
    assert hashes[0] != hashes[1] == hashes[2]
