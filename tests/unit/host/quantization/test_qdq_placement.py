from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.errors import UsageError
from edgeseg.host.fx.tracing import trace
from edgeseg.host.models.blocks import ConvBNReLU, IndexedMaxPool2d, MaxUnpool2d
from edgeseg.host.quantization.fake_quant.layers import ActivationQuantizer, QuantConv2d
from edgeseg.host.quantization.qdq_placement import Plan, apply_plan, plan


class Net(nn.Module):
    """Named layers and a forward given from outside."""

    def __init__(self, forward: Callable[..., torch.Tensor], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.classifier = nn.Conv2d(8, 5, 1)
        self._forward = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._forward(self, x)


def conv(inputs: int = 8, outputs: int = 8) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def planned(net: nn.Module, keep_float: tuple[str, ...] = ()) -> Plan:
    return plan(trace(net), keep_float)


def pairs(decided: Plan) -> dict[str, str]:
    return {point.node: point.group for point in decided.points}


def test_a_chain_is_quantized_at_every_input_but_not_at_the_logits() -> None:
    net = Net(
        lambda s, x: s.classifier(s.drop(F.relu(s.b(F.relu(s.a(x)))))),
        a=conv(3), b=conv(), drop=nn.Dropout(0.1),
    )  # fmt: skip
    decided = planned(net)
    assert pairs(decided) == {"x": "x", "relu": "relu", "relu_1": "relu_1"}
    assert [(r.layer, r.input, r.weight) for r in decided.layers] == [
        ("a", "x", "axis 0"),
        ("b", "relu", "axis 0"),
        ("classifier", "relu_1", "float"),
    ]


def test_the_skip_is_quantized_and_the_added_convolution_is_not() -> None:
    def forward(s: Net, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(s.a(x))
        return s.classifier(F.relu(x + s.c(F.relu(s.b(x)))))

    decided = planned(Net(forward, a=conv(3), b=conv(), c=conv()))
    assert decided.adds == (("add", ("relu",), ("c",)),)
    assert set(pairs(decided)) == {"x", "relu", "relu_1", "relu_2"}


def test_of_two_convolutions_the_shallow_branch_is_quantized() -> None:
    def forward(s: Net, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(s.a(x))
        return s.classifier(F.relu(s.c(F.relu(s.b(x))) + s.shortcut(x)))

    decided = planned(Net(forward, a=conv(3), b=conv(), c=conv(), shortcut=conv()))
    assert decided.adds == (("add", ("shortcut",), ("c",)),)
    assert "shortcut" in pairs(decided)
    assert "c" not in pairs(decided)


def test_a_sum_with_no_private_convolution_has_every_operand_quantized() -> None:
    def forward(s: Net, x: torch.Tensor) -> torch.Tensor:
        y = s.a(x)
        return s.classifier(y + F.relu(s.b(y)) + 1.0)

    assert planned(Net(forward, a=conv(3), b=conv())).adds == (("add", ("a", "relu"), ()),)


def test_a_concatenation_and_its_inputs_share_one_scale_also_through_a_pool() -> None:
    def forward(s: Net, x: torch.Tensor) -> torch.Tensor:
        a = F.relu(s.a(x))
        wide = torch.cat([F.max_pool2d(a, 2), F.relu(s.b(a))], 1)
        up = F.interpolate(s.c(wide), size=x.shape[-2:], mode="bilinear")
        return s.classifier(s.d(torch.cat([up, a], 1)))

    net = Net(forward, a=conv(3), b=nn.Conv2d(8, 8, 3, stride=2, padding=1), c=conv(16), d=conv(16))
    decided = planned(net)
    groups = pairs(decided)
    tied = {groups[n] for n in ("relu", "relu_1", "cat", "interpolate", "cat_1")}
    assert tied == {"relu"}
    # The bilinear resize reads the convolution's own result; the pair comes after it.
    assert "c" not in groups
    assert {p.node for p in decided.points if not p.observe} == {"cat", "cat_1"}
    assert [group for _, group, _ in decided.concats] == ["relu", "relu"]


def test_the_pooled_tensor_is_quantized_before_the_pool_and_again_after_the_unpool() -> None:
    def forward(s: Net, x: torch.Tensor) -> torch.Tensor:
        before = s.a(x)
        values, indices = s.pool(before)
        return s.classifier(s.c(s.unpool(F.relu(s.b(values)), indices, before)))

    net = Net(
        forward, a=ConvBNReLU(3, 8), b=conv(), c=conv(),
        pool=IndexedMaxPool2d(), unpool=MaxUnpool2d(),
    )  # fmt: skip
    decided = planned(net)
    groups = pairs(decided)
    assert groups == {"x": "x", "a_2": "a_2", "relu": "relu", "unpool": "relu", "c": "c"}
    graph = trace(net.eval())
    apply_plan(graph, decided)
    (pool,) = (node for node in graph.graph.nodes if node.target == "pool")
    assert pool.args[0].target == "activation.a_2"


def test_global_pooling_is_quantized_on_both_sides() -> None:
    def forward(s: Net, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(s.a(x))
        return s.classifier(s.b(s.pool(x)))

    groups = pairs(
        planned(Net(forward, a=conv(3), b=nn.Conv2d(8, 8, 1), pool=nn.AdaptiveAvgPool2d(1)))
    )
    assert {"relu", "pool"} <= set(groups)


def test_a_transposed_convolution_has_one_weight_scale() -> None:
    net = Net(lambda s, x: s.classifier(s.up(x)), up=nn.ConvTranspose2d(3, 8, 2, stride=2))
    assert planned(net).layers[0].weight == "per tensor"


def test_a_layer_kept_in_float_is_left_alone() -> None:
    net = Net(lambda s, x: s.classifier(s.b(s.a(x))), a=conv(3), b=conv())
    decided = planned(net, ("a",))
    assert decided.layers[0] == type(decided.layers[0])("a", "float", "float")
    assert "x" not in pairs(decided)
    graph = trace(net)
    apply_plan(graph, decided)
    assert type(graph.a) is nn.Conv2d
    assert type(graph.b) is QuantConv2d
    assert type(graph.classifier) is nn.Conv2d


def test_an_unknown_layer_to_keep_is_refused_with_the_nearest() -> None:
    net = Net(lambda s, x: s.classifier(s.stem(x)), stem=conv(3))
    with pytest.raises(UsageError, match=r"'stam'.*did you mean 'stem'"):
        planned(net, ("stam",))


def test_without_a_classifier_the_last_convolution_is_the_head() -> None:
    assert planned(nn.Sequential(conv(3), nn.ReLU(), conv())).head == "2"


def test_applied_pairs_are_modules_shared_within_a_group() -> None:
    net = Net(
        lambda s, x: s.classifier(torch.cat([s.a(x), s.b(x)], 1)[:, :8]), a=conv(3), b=conv(3)
    )
    graph = trace(net)
    apply_plan(graph, planned(net))
    quantizers = [m for m in graph.modules() if isinstance(m, ActivationQuantizer)]
    assert len(quantizers) == len(planned(net).groups)
    assert graph(torch.randn(2, 3, 8, 12)).shape == (2, 5, 8, 12)
