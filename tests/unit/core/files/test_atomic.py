import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgeseg.core.files import atomic as files
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


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o022])
def test_new_files_and_folders_follow_the_umask_and_old_ones_keep_their_mode(tmp_path, umask):
    before = os.umask(umask)
    try:
        atomic_write_bytes(tmp_path / "file", b"x")
        with atomic_dir(tmp_path / "folder") as folder:
            (folder / "one").write_text("1")
        (tmp_path / "private").touch(0o600)
        (tmp_path / "private").chmod(0o600)
        atomic_write_bytes(tmp_path / "private", b"x")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"file": 0o666 & ~umask, "folder": 0o777 & ~umask, "private": 0o600}


def test_there_is_no_moment_without_the_folder(tmp_path):
    target, missing, ends = tmp_path / "out", [], threading.Event()

    def write(text: str) -> None:
        with atomic_dir(target) as folder:
            (folder / "one").write_text(text)

    def look() -> None:
        while not ends.is_set():
            if not (target / "one").is_file():
                missing.append(1)

    write("first")
    threads = [threading.Thread(target=look)]
    threads += [
        threading.Thread(target=lambda: [write("more") for _ in range(40)]) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join()
    ends.set()
    threads[0].join()
    assert missing == []
    assert names(tmp_path) == ["out"]


def test_a_file_system_that_cannot_exchange_names_renames_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(files.ctypes, "CDLL", lambda *args, **kwargs: object())
    for text in "ab":
        with atomic_dir(tmp_path / "out") as folder:
            (folder / text).write_text(text)
    assert names(tmp_path / "out") == ["b"]
    assert names(tmp_path) == ["out"]


def test_a_file_is_not_taken_for_a_folder(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(FileExistsError, match="a folder is to go"), atomic_dir(tmp_path / "out"):
        pass
    assert (tmp_path / "out").read_text() == "mine"
    assert names(tmp_path) == ["out"]


def test_a_bundle_and_its_folder_are_synced(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(
        files.os,
        "fsync",
        lambda handle: (
            synced.append(str(Path(f"/proc/self/fd/{handle}").readlink())),
            real(handle),
        ),
    )
    with atomic_dir(tmp_path / "out") as folder:
        (folder / "one").write_text("1")
    assert any(name.endswith("/one") for name in synced)
    assert synced[-1] == str(tmp_path)
