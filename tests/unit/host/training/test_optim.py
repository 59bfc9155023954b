import pytest
import torch
from torch import nn

from edgeseg.errors import UsageError
from edgeseg.host.training.optim import SCHEDULES, WeightAverage, build_optimizer, learning_rate


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warm_up_rises_to_the_peak_and_the_rest_never_does(schedule):
    rates = [learning_rate(schedule, 0.1, step=s, steps=100, warmup=10) for s in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[9] == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    if schedule != "constant":
        assert rates[-1] < 0.005


def test_biases_and_norms_are_not_decayed():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    decayed, plain = build_optimizer(net, "adamw", lr=1e-3, weight_decay=0.1).param_groups
    assert [p.ndim for p in decayed["params"]] == [4]
    assert plain["weight_decay"] == 0.0
    assert len(plain["params"]) == 3


def test_the_encoder_trains_at_its_own_rate_and_nothing_is_left_out_or_taken_twice():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    encoder = ("0.weight", "0.bias", "1.weight", "1.bias")
    groups = build_optimizer(
        net, "adamw", lr=1e-3, weight_decay=0.1, encoder=encoder, encoder_lr=0.1
    ).param_groups
    factors = {id(p): group["lr_factor"] for group in groups for p in group["params"]}
    assert len(factors) == sum(len(group["params"]) for group in groups) == 6
    assert {key for key, p in net.named_parameters() if factors[id(p)] == 0.1} == set(encoder)


def test_unknown_names_are_usage_errors():
    with pytest.raises(UsageError, match="adamw, sgd"):
        build_optimizer(nn.Conv2d(1, 1, 1), "lion", lr=1, weight_decay=0)
    with pytest.raises(UsageError, match="poly, cosine"):
        learning_rate("step", 1, step=0, steps=1, warmup=0)


def test_the_average_converges_to_a_constant_and_lags_behind_a_jump():
    net = nn.BatchNorm2d(2)
    average = WeightAverage(net, 0.9)
    with torch.no_grad():
        net.weight.fill_(3.0)
    average.update(net)
    assert 1.0 < float(average.state["weight"][0]) < 3.0
    for _ in range(200):
        average.update(net)
    torch.testing.assert_close(average.state["weight"], net.weight.detach())
    assert average.state["num_batches_tracked"] == net.num_batches_tracked
