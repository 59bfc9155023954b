import threading
import time

import pytest

from edgeseg.runtime.single_slot import Outcome, SingleSlot


def test_lossless_keeps_every_item_in_order():
    slot: SingleSlot[int] = SingleSlot()

    def produce():
        for i in range(200):
            assert slot.put(i)
        slot.close()

    thread = threading.Thread(target=produce)
    thread.start()
    got = []
    while (item := slot.get(1.0)) is not Outcome.END:
        got.append(item)
    thread.join(1)
    assert got == list(range(200))
    assert slot.overwritten == 0


def test_newest_replaces_and_counts():
    slot: SingleSlot[int] = SingleSlot(newest=True)
    for i in range(5):
        assert slot.put(i)
    assert slot.get() == 4
    assert slot.overwritten == 4
    assert slot.get(0.01) is Outcome.TIMEOUT


def test_an_error_comes_after_the_last_item_and_the_first_error_wins():
    slot: SingleSlot[int] = SingleSlot()
    slot.put(1)
    slot.close(RuntimeError("first"))
    slot.close(RuntimeError("second"))
    assert slot.get() == 1
    with pytest.raises(RuntimeError, match="first"):
        slot.get()


def test_discard_drops_the_waiting_item():
    slot: SingleSlot[int] = SingleSlot()
    slot.put(1)
    slot.close(discard=True)
    assert slot.get() is Outcome.END
    assert slot.put(2) is False


def test_a_wait_for_room_can_have_a_limit_that_is_not_the_end():
    slot: SingleSlot[int] = SingleSlot()
    assert slot.put(1, 0.01)
    assert not slot.put(2, 0.01)
    assert not slot.closed
    assert slot.get() == 1
    assert slot.put(3, 0.01)
    assert slot.get() == 3
    slot.close()
    assert slot.closed


def test_closing_wakes_a_waiting_producer_and_a_waiting_consumer():
    full: SingleSlot[int] = SingleSlot()
    empty: SingleSlot[int] = SingleSlot()
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
