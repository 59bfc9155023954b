import os
import resource
import signal
import subprocess
import sys

import pytest

from edgeseg.core.files import atomic_dir, atomic_write_bytes, sha256_file


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_a_failed_write_leaves_the_old_content_and_no_litter(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            atomic_write_bytes(path, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_atomic_dir_replaces_the_folder_as_a_whole(tmp_path):
    target = tmp_path / "out"
    with atomic_dir(target) as folder:
        (folder / "one").write_text("1")
    with atomic_dir(target) as folder:
        (folder / "two").write_text("2")
    assert names(target) == ["two"]
    assert names(tmp_path) == ["out"]


def test_atomic_dir_leaves_the_old_folder_when_the_body_raises(tmp_path):
    target = tmp_path / "out"
    with atomic_dir(target) as folder:
        (folder / "one").write_text("1")
    with pytest.raises(OSError, match="missing"), atomic_dir(target) as folder:
        (folder / "missing" / "two").write_text("2")
    assert names(target) == ["one"]
    assert names(tmp_path) == ["out"]


def test_a_killed_writer_leaves_nothing_under_the_name(tmp_path):
    script = (
        "import os, pathlib, signal\n"
        "from edgeseg.core.files import atomic_dir\n"
        f"with atomic_dir(pathlib.Path({str(tmp_path / 'out')!r})) as folder:\n"
        "    (folder / 'half').write_text('x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()


def test_sha256_of_known_bytes(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_file(tmp_path / "abc").startswith("ba7816bf8f01cfea")


def test_a_pipe_is_written_into_and_a_link_followed(tmp_path):
    pipe, link, behind = tmp_path / "pipe", tmp_path / "link", tmp_path / "behind"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)
    atomic_write_bytes(pipe, b"text")
    assert reader.communicate(timeout=10)[0] == b"text"
    assert pipe.is_fifo()
    link.symlink_to(behind)
    atomic_write_bytes(link, b"text")
    assert (link.is_symlink(), behind.read_bytes()) == (True, b"text")
    folder_link, folder = tmp_path / "folder_link", tmp_path / "folder"
    folder_link.symlink_to(folder)
    for _ in range(2):
        with atomic_dir(folder_link) as written:
            (written / "one").write_text("1")
    assert folder_link.is_symlink()
    assert names(folder) == ["one"]
