"""What the architectures' own parts compute."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from small_models import small
from torch import nn

from edgeseg.core.spec import ModelSpec
from edgeseg.errors import SpecError
from edgeseg.host.models import build_model
from edgeseg.host.models.backbones.inverted_residual import (
    InvertedResidual,
    PooledInvertedResidual,
    _rounded,
)
from edgeseg.host.models.blocks import IndexedMaxPool2d, learnt_upsampling, start_bilinear


@pytest.mark.parametrize(("factor", "kernel"), [(2, 4), (2, 8), (8, 16), (32, 64)])
def test_learnt_upsampling_starts_as_bilinear_interpolation(factor, kernel):
    layer = learnt_upsampling(3, factor, kernel)
    start_bilinear(layer)
    x = torch.randn(2, 3, 7, 9)
    expected = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    found = layer(x)
    assert found.shape == expected.shape
    # At the rim interpolation repeats the last line, where a transposed convolution sees zeros.
    inner = (..., slice(factor, -factor), slice(factor, -factor))
    assert torch.allclose(found[inner], expected[inner], atol=1e-5)


def test_fresh_fcn_scores_are_upsampled_bilinearly():
    model = build_model(small("fcn-32s")).eval()
    assert float(model.classifier.weight[0, 1].detach().abs().max()) == 0.0
    assert float(model.classifier.weight[0, 0].detach().max()) == pytest.approx((63 / 64) ** 2)


@pytest.mark.parametrize(("arch", "stride"), [("fcn-32s", 32), ("fcn-16s", 16), ("fcn-8s", 8)])
def test_fixed_upsampling_is_interpolation_of_the_same_scores(arch, stride):
    """Freshly made, the learnt one starts as interpolation too: the same logits off the rim."""
    torch.manual_seed(0)
    learnt = build_model(small(arch)).eval()
    fixed = build_model(small(arch, upsampling="fixed")).eval()
    names = ["score", *(f"skip_scores.{level}" for level in range(learnt.skips))]
    scores = dict(zip([f"scores.{n}" for n in range(learnt.skips)], names, strict=False))
    scores["classifier"] = names[-1]
    theirs = learnt.state_dict()
    renamed = {
        f"{new}.{part}": theirs[f"{old}.{part}"]
        for new, old in scores.items()
        for part in ("weight", "bias")
    }
    ours = {k: v for k, v in theirs.items() if k.split(".")[0] in ("encoder", "fc6", "fc7")}
    fixed.load_state_dict({**ours, **renamed})
    x = torch.randn(1, 3, 256, 320)
    with torch.no_grad():
        logits = fixed(x)
        assert logits.shape == (1, 11, 256 // stride, 320 // stride)
        large = F.interpolate(logits, (256, 320), mode="bilinear", align_corners=False)
        wanted = learnt(x)
    inner = (..., slice(96, -96), slice(96, -96))
    assert torch.allclose(large[inner], wanted[inner], atol=1e-4 * float(wanted.abs().max()))
    assert sum(p.numel() for p in fixed.parameters()) < sum(p.numel() for p in learnt.parameters())


def test_upsampling_and_aspp_of_another_name_are_refused():
    with pytest.raises(SpecError, match="upsampling is 'cubic', expected learnt or fixed"):
        build_model(small("fcn-8s", upsampling="cubic"))
    with pytest.raises(SpecError, match="aspp is 'M', expected S or L"):
        build_model(small("deeplabv2-resnet101", aspp="M"))


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({}, (6, 12, 18, 24)),
        ({"aspp": "L"}, (6, 12, 18, 24)),
        ({"aspp": "S"}, (2, 4, 8, 12)),
        ({"aspp": "S", "atrous_rates": [1, 3]}, (1, 3)),
    ],
)
def test_deeplabv2_has_the_rates_of_aspp_s_and_l(options, rates):
    model = build_model(small("deeplabv2-resnet101", **options))
    assert tuple(branch.dilation[0] for branch in model.aspp) == rates
    assert model(torch.randn(2, 3, 64, 96)).shape == (2, 11, 8, 12)


def test_deeplabv2_starts_as_the_sum_of_its_branches():
    model = build_model(small("deeplabv2-resnet101")).eval()
    features = torch.randn(1, model.backbone.out_channels, 8, 12)
    branches = [branch(features) for branch in model.aspp]
    summed = model.classifier(torch.cat(branches, 1))
    assert torch.allclose(summed, sum(branches), atol=1e-4)


@pytest.mark.parametrize(
    ("arch", "stride", "rates"),
    [
        ("deeplabv3-resnet50", 16, (6, 12, 18)),
        ("deeplabv3-resnet50", 8, (12, 24, 36)),
        ("deeplabv3plus-xception", 8, (12, 24, 36)),
        ("deeplabv3plus-mobilenetv2", 16, (3, 6, 9)),
        ("deeplabv3plus-mobilenetv2", 8, (3, 6, 9)),
    ],
)
def test_rates_are_the_papers_and_double_at_stride_8(arch, stride, rates):
    with torch.device("meta"):
        model = build_model(ModelSpec(arch, output_stride=stride))
    found = []
    for branch in model.aspp.atrous:
        conv = next(m for m in branch.modules() if isinstance(m, nn.Conv2d))
        found.append(conv.dilation[0])
    assert tuple(found) == rates


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize(
    "arch",
    [
        *(f"deeplabv3-{backbone}" for backbone in ("mobilenetv2", "resnet50", "resnet101")),
        "deeplabv3-xception",
        "deeplabv3plus-efficientnetlite0",
        "deeplabv3plus-efficientnetlite2",
    ],
)
def test_backbones_keep_the_output_stride(arch, stride):
    spec = small(arch)
    model = build_model(ModelSpec(spec.arch, output_stride=stride, options=spec.options)).eval()
    low, high = model.backbone(torch.randn(1, 3, 64, 96))
    assert low.shape[-2:] == (16, 24)
    assert high.shape[-2:] == (64 // stride, 96 // stride)
    assert low.shape[1] == model.backbone.low_channels
    assert high.shape[1] == model.backbone.out_channels


def test_a_width_that_leaves_too_little_is_refused():
    for arch in ("segnet", "unet", "deeplabv3-resnet50", "deeplabv3-xception"):
        with pytest.raises(SpecError, match="fewer than 8"):
            build_model(small(arch, width=0.1))


@pytest.mark.parametrize(
    ("arch", "name", "value"),
    [
        ("segnet-basic", "channels", 0), ("segnet-basic", "channels", 8.5),
        ("segnet-basic", "channels", "abc"), ("segnet-basic", "kernel", -1),
        ("segnet", "width", float("nan")), ("deeplabv3plus-mobilenetv2", "width", -1),
        ("deeplabv3plus-mobilenetv2", "aspp_channels", True),
        ("deeplabv3plus-mobilenetv2", "dropout", 2),
        ("deeplabv3plus-mobilenetv2", "atrous_rates", [0]),
        ("deeplabv3plus-mobilenetv2", "atrous_rates", 6),
    ],
)  # fmt: skip
def test_a_value_no_network_can_have_is_named(arch, name, value):
    with pytest.raises(SpecError, match=rf"{arch}: {name} is .*, expected"):
        build_model(ModelSpec(arch, options={name: value}))


def test_what_torch_refuses_later_is_refused_too():
    with pytest.raises(SpecError, match="segnet-basic refuses options"):
        build_model(ModelSpec("segnet-basic", options={"kernels": 3}))


def test_single_channel_decoders_see_one_channel_each():
    model = build_model(small("segnet-basic-singlechanneldecoder"))
    assert all(decode[0].groups == decode[0].in_channels for decode in model.decoder)


@pytest.mark.parametrize(
    ("options", "stride", "shape"),
    [
        ({}, 32, (23, 31)),
        ({"unpool_stages": 4}, 32, (45, 61)),
        ({"unpool_stages": 1}, 32, (6, 8)),
        ({}, 16, (45, 61)),
    ],
)
def test_each_unpooling_doubles_a_light_segnets_logits(options, stride, shape):
    spec = small("segnet-mobilenetv2", size_hw=(90, 122), **options)
    spec = dataclasses.replace(spec, output_stride=stride)
    model = build_model(spec).eval()
    assert model(torch.randn(1, 3, 90, 122)).shape == (1, 11, *shape)
    _, high = model.backbone(torch.randn(1, 3, 96, 128))
    assert high.shape[-2:] == (96 // stride, 128 // stride)


def test_a_light_segnets_unpooling_is_what_its_encoder_can_give():
    with pytest.raises(SpecError, match="unpool_stages 4 is not 1 to 3"):
        build_model(
            dataclasses.replace(small("segnet-mobilenetv2", unpool_stages=4), output_stride=16)
        )
    with pytest.raises(SpecError, match="unpool_stages is 0, expected a whole number"):
        build_model(small("segnet-mobilenetv2", unpool_stages=0))
    with pytest.raises(SpecError, match="upsampling 'nearest' is not one of indices, bilinear"):
        build_model(small("segnet-mobilenetv2", upsampling="nearest"))


@pytest.mark.parametrize(
    ("upsampling", "positions", "values"),
    [
        ("indices", True, False),
        ("bilinear", False, False),
        ("skip", True, True),
        ("addition", True, True),
    ],
)
def test_what_crosses_from_a_light_segnets_encoder_to_its_decoder(upsampling, positions, values):
    """Scale, then shift, what the poolings read, the pooled path held fixed.

    Scaling leaves the order of a window's cells and so their indices; a shift moves them.
    """
    torch.manual_seed(0)
    model = build_model(small("segnet-efficientnetlite0", upsampling=upsampling)).eval()
    with torch.no_grad():
        x, seen = model.backbone.pooled(torch.randn(1, 3, 64, 96))
        x = model.context(x)

        def logits(change):
            y = x
            for block, (_, read) in zip(model.decoder, reversed(seen), strict=True):
                # Distinct values, so that no window has two equal cells.
                before = change(torch.arange(read.numel()).sin().view_as(read))
                y = block(y, IndexedMaxPool2d()(before)[1], before)
            return model.classifier(y)

        start = logits(lambda before: before)
        scaled = logits(lambda before: 2 * before)
        moved = logits(lambda before: before.roll(1, -1))
    assert bool((scaled != start).any()) == values
    assert bool((moved != start).any()) == positions


def test_a_pooled_block_starts_from_the_strided_blocks_weights():
    torch.manual_seed(0)
    strided = InvertedResidual(8, 12, 2, stride=2, dilation=1).eval()
    pooled = PooledInvertedResidual(8, 12, 2, dilation=1).eval()
    pooled.load_state_dict(strided.state_dict())
    x = torch.randn(1, 8, 9, 14)
    with torch.no_grad():
        y, (indices, before) = pooled.pooled(x)
        # The strided convolution computes every other cell of what is pooled.
        assert torch.allclose(strided.body[1](strided.body[0](x)), before[..., ::2, ::2], atol=1e-6)
        best = before.flatten(2).gather(2, indices.flatten(2)).view_as(indices)
        assert torch.equal(y, pooled.body[2](best))
        assert torch.equal(pooled(x), y)
    assert y.shape == strided(x).shape


def test_the_encoders_maps_reach_the_decoder_only_where_they_are_added():
    """Perturb the shallowest encoder map alone: only variants with addition see it in the logits.

    The pooled path is cut by zeroing what follows, so what is left is the skip.
    """
    x = torch.randn(1, 3, 32, 48)
    for arch, added in (("fcn-basic", True), ("fcn-basic-noaddition", False)):
        torch.manual_seed(0)
        model = build_model(small(arch)).eval()
        with torch.no_grad():
            nn.init.zeros_(model.reduce[0].weight)
            logits = model(x)
        assert bool(logits.std((2, 3)).max() > 1e-6) == added


@pytest.mark.parametrize(
    ("channels", "rounded"),
    [(32, 32), (24 * 0.75, 24), (112 * 0.75, 88), (40 * 0.5, 24), (32 * 0.35, 16), (3, 8)],
)
def test_scaled_widths_are_those_of_the_papers_code(channels, rounded):
    assert _rounded(channels) == rounded
