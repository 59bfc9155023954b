"""The tutorial for own data: its blocks run one after the other and give the figures it prints."""

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

import edgeseg
from edgeseg.core.synthetic.drive import SyntheticDrive

PAGE = Path(edgeseg.__file__).parent.parent / "docs" / "own-data.md"
if not PAGE.is_file():
    pytest.skip("the documents are not installed", allow_module_level=True)
# What another machine's arithmetic may change of an mIoU after three epochs.
ROOM = 0.06


def write_film(path: Path) -> None:
    drive = SyntheticDrive((120, 160), 7, 60)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (160, 120))
    for index in range(60):
        video.write(drive.frame(index)[0][..., ::-1])
    video.release()


def test_every_command_of_the_page_is_run() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(re.findall(r"```sh", text)) == len(re.findall(r"<!-- own-data -->\n```sh", text))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_blocks_run_and_the_figures_are_what_comes_out(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- own-data -->\n```sh\n(.*?)```", text, re.DOTALL)
    write_film(tmp_path / "clip.mp4")
    script = f'set -e\nedgeseg() {{ "{sys.executable}" -m edgeseg.cli "$@"; }}\n' + "".join(blocks)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "frames" / "images").iterdir())) == 2
    (census,) = re.findall(r"^5 classes: .* 12 val$", text, re.MULTILINE)
    assert census in done.stderr
    trained, int8 = map(float, re.findall(r"^mIoU (0\.\d+)$", text, re.MULTILINE))
    record = tmp_path / "runs" / "train" / "deeplabv3plus-mobilenetv2" / "scores.json"
    assert json.loads(record.read_text())["scores"]["miou"] == pytest.approx(trained, abs=ROOM)
    row = next(line for line in done.stdout.splitlines() if "onnxruntime" in line)
    assert float(row.split()[-2]) == pytest.approx(int8, abs=ROOM)
    assert (tmp_path / "seen.mp4").stat().st_size > 0
