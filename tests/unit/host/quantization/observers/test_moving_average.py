import pytest
import torch

from edgeseg.host.quantization.observers.moving_average import EmaObserver


def test_moving_average_follows_jacob() -> None:
    observer = EmaObserver(start=1.0, momentum=0.9)
    assert observer.update(torch.tensor([-2.0, 0.5])) == pytest.approx(1.1)
    assert observer.amax() == pytest.approx(1.1)
