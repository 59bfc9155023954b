import threading
import time

import pytest

from edgeseg.runtime.single_slot import Handoff, Outcome


def test_lossless_keeps_every_item_in_order():
    handoff: Handoff[int] = Handoff()

    def produce():
        for i in range(200):
            assert handoff.put(i)
        handoff.close()

    thread = threading.Thread(target=produce)
    thread.start()
    got = []
    while (item := handoff.get(1.0)) is not Outcome.END:
        got.append(item)
    thread.join(1)
    assert got == list(range(200))
    assert handoff.overwritten == 0


def test_newest_replaces_and_counts():
    handoff: Handoff[int] = Handoff(newest=True)
    for i in range(5):
        assert handoff.put(i)
    assert handoff.get() == 4
    assert handoff.overwritten == 4
    assert handoff.get(0.01) is Outcome.TIMEOUT


def test_an_error_comes_after_the_last_item_and_the_first_error_wins():
    handoff: Handoff[int] = Handoff()
    handoff.put(1)
    handoff.close(RuntimeError("first"))
    handoff.close(RuntimeError("second"))
    assert handoff.get() == 1
    with pytest.raises(RuntimeError, match="first"):
        handoff.get()


def test_discard_drops_the_waiting_item():
    handoff: Handoff[int] = Handoff()
    handoff.put(1)
    handoff.close(discard=True)
    assert handoff.get() is Outcome.END
    assert handoff.put(2) is False


def test_a_wait_for_room_can_have_a_limit_that_is_not_the_end():
    handoff: Handoff[int] = Handoff()
    assert handoff.put(1, 0.01)
    assert not handoff.put(2, 0.01)
    assert not handoff.closed
    assert handoff.get() == 1
    assert handoff.put(3, 0.01)
    assert handoff.get() == 3
    handoff.close()
    assert handoff.closed


def test_closing_wakes_a_waiting_producer_and_a_waiting_consumer():
    full: Handoff[int] = Handoff()
    empty: Handoff[int] = Handoff()
    full.put(1)
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(full.put(2))),
        threading.Thread(target=lambda: results.append(empty.get())),
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.02)
    full.close(discard=True)
    empty.close()
    for thread in threads:
        thread.join(1)
    assert set(results) == {False, Outcome.END}
