"""What comes out of FFmpeg is put together, and kept from the user where it is damaged."""

import fractions
import types

import pytest

av = pytest.importorskip("av", reason="PyAV is not installed; pip install 'edgeseg[rtsp]'")

from edgeseg.runtime.sources.av_device import KeyFrameJoin, SoundPictures  # noqa: E402


def packet(data: bytes, pts: int | None, key: bool = False):
    made = av.Packet(data)
    made.pts, made.time_base = pts, fractions.Fraction(1, 90_000)
    made.is_keyframe = key
    return made


def passed(*packets) -> list[list[bytes]]:
    join = KeyFrameJoin()
    return [[bytes(one) for one in join.of(each)] for each in packets]


def test_packets_go_straight_on_where_no_key_frame_was_torn():
    given = passed(packet(b"K", 0, True), packet(b"p", 1), packet(b"K", 2, True), packet(b"q", 3))
    assert given == [[b"K"], [b"p"], [b"K"], [b"q"]]


def test_a_torn_key_frame_is_put_together_once_one_was_seen():
    given = passed(
        packet(b"A", 0, True), packet(b"B", 0, True), packet(b"p", 1),
        packet(b"C", 2, True), packet(b"D", 2, True), packet(b"E", 2, True), packet(b"q", 3),
    )  # fmt: skip
    # The second part of the first one waits too: nobody knows yet how many there are.
    assert given == [[b"A"], [], [b"B", b"p"], [], [], [], [b"CDE", b"q"]]
    join = KeyFrameJoin()
    for each in (packet(b"A", 0, True), packet(b"B", 0, True), packet(b"C", 2, True)):
        join.of(each)
    join.of(packet(b"D", 2, True))
    whole, _ = join.of(packet(b"q", 3))
    assert (bytes(whole), whole.pts, whole.is_keyframe) == (b"CD", 2, True)


def test_key_frames_alone_follow_one_another():
    given = passed(*(packet(bytes([65 + i]), i // 2, True) for i in range(6)))
    assert given == [[b"A"], [], [b"B"], [], [b"CD"], []]


def test_packets_without_a_time_are_not_taken_for_parts():
    given = passed(packet(b"A", None, True), packet(b"B", None, True), packet(b"C", None, True))
    assert given == [[b"A"], [b"B"], [b"C"]]


def shown(*pictures: tuple[int, bool, bool]) -> list[bool]:
    sound = SoundPictures()
    return [
        sound.has(types.SimpleNamespace(pts=pts, key_frame=key, is_corrupt=corrupt))
        for pts, key, corrupt in pictures
    ]


def test_what_is_built_on_a_damaged_key_frame_is_not_shown():
    assert shown(
        (0, True, True), (0, True, True), (1, False, False), (2, True, False), (3, False, False),
        (4, False, True), (5, False, False),
    ) == [False, False, False, True, True, False, True]  # fmt: skip


def test_a_stream_without_one_sound_key_frame_is_shown_where_the_decoder_does_not_complain():
    assert shown(
        (0, True, True), (1, False, False), (2, True, True), (3, False, False), (4, True, True),
        (5, False, False),
    ) == [False, False, False, True, False, True]  # fmt: skip
