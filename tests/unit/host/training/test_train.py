import dataclasses
import json

import numpy as np
import pytest
import safetensors.torch
import torch

from edgeseg.core.data.dataset import Sample
from edgeseg.core.data.fingerprint import digest_of_samples
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import CheckpointError, DataError, EdgesegError, UsageError
from edgeseg.host.checkpoint import load_checkpoint, module_from_checkpoint
from edgeseg.host.models import build_model
from edgeseg.host.training.augment import Augment
from edgeseg.host.training.crops import TrainSet, collate
from edgeseg.host.training.optim import WeightAverage, build_optimizer
from edgeseg.host.training.options import TrainOptions
from edgeseg.host.training.resume_state import load_state, save_state
from edgeseg.host.training.train import LAST, STATE, train
from edgeseg.host.training.validate import score_module

SPEC = ModelSpec(
    "segnet-basic",
    class_names=("dark", "bright"),
    palette=((0, 0, 0), (255, 255, 255)),
    ignore_index=2,
    size_hw=(48, 64),
    options={"channels": 8, "kernel": 3},
)
OPTIONS = TrainOptions(
    epochs=4,
    batch=4,
    lr=5e-3,
    validate_every=2,
    ema=0.8,
    bf16=False,
    augment=Augment(crop_hw=(32, 48), photometry="mild", scale=(0.8, 1.2)),
)


class Blobs:
    """Bright rectangles on a dark ground; which is which is the label."""

    class_names, palette, ignore_index = SPEC.class_names, SPEC.palette, 2
    fingerprint = digest_of_samples

    def __init__(self, count, seed=0, labelled=True):
        self.count, self.seed, self.labelled = count, seed, labelled
        self.name = f"blobs-{count}-{seed}"
        self.names = [str(index) for index in range(count)]

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        rng = np.random.default_rng((self.seed, index))
        labels = np.zeros((48, 64), np.uint8)
        top, left = rng.integers(0, 24), rng.integers(0, 32)
        labels[top : top + 20, left : left + 28] = 1
        rgb = labels[..., None] * 120 + rng.integers(20, 80, (48, 64, 3))
        return Sample(str(index), rgb.astype(np.uint8), labels if self.labelled else None)


def fresh():
    torch.manual_seed(3)
    return build_model(SPEC)


def test_training_learns_and_leaves_what_it_promises(tmp_path):
    options = dataclasses.replace(OPTIONS, epochs=6)
    before = score_module(SPEC, fresh().eval(), Blobs(6, 9)).miou
    result = train(
        SPEC,
        fresh(),
        Blobs(16),
        options,
        tmp_path,
        validation=Blobs(6, 9),
        extra=[(Blobs(5, 1), 0.5)],
    )
    after = score_module(SPEC, result.module, Blobs(6, 9)).miou
    assert after > 0.7 > 0.5 > before
    assert [row.epoch for row in result.rows] == [1, 2, 3, 4, 5, 6]
    assert [row.epoch for row in result.rows if row.scores] == [2, 4, 6]
    best = max(row.miou for row in result.rows)
    assert result.best.scores["validation"]["miou"] == best
    assert {p.name for p in tmp_path.iterdir()} == {
        "best.safetensors", "last.safetensors", "state.safetensors", "curves.csv", "curves.svg",
    }  # fmt: skip
    again = module_from_checkpoint(load_checkpoint(tmp_path / LAST))
    x = torch.randn(2, 3, 32, 48)
    weights, trained = again.state_dict(), result.module.state_dict()
    assert weights.keys() == trained.keys()
    assert all(torch.equal(weights[key], trained[key]) for key in weights)
    # Not bit for bit: the trained module is channels_last, whose convolutions sum in another order.
    torch.testing.assert_close(again(x), result.module(x), atol=1e-4, rtol=1e-4)


def test_a_killed_run_resumes_to_the_same_weights(tmp_path):
    whole = train(SPEC, fresh(), Blobs(8), OPTIONS, tmp_path / "whole")
    train(SPEC, fresh(), Blobs(8), OPTIONS, tmp_path / "cut", stop_after=2)
    resumed = train(SPEC, fresh(), Blobs(8), OPTIONS, tmp_path / "cut", resume=True)
    for key, value in whole.last.weights.items():
        assert torch.equal(value, resumed.last.weights[key]), key
    assert len(resumed.rows) == 4


def test_stopping_after_an_epoch_twice_trains_no_further(tmp_path):
    for _ in range(2):
        result = train(SPEC, fresh(), Blobs(8), OPTIONS, tmp_path, stop_after=1, resume=True)
    assert len(result.rows) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lr": 0.5, "seed": 9}, r"lr 0\.005, now 0\.5; seed 0, now 9"),
        ({"epochs": 9}, "epochs 4, now 9"),
        (
            {"augment": dataclasses.replace(OPTIONS.augment, classmix=0.5)},
            r"run with classmix 0\.0, now 0\.5; give",
        ),
    ],
)
def test_a_run_is_not_resumed_with_other_options(tmp_path, change, said):
    train(SPEC, fresh(), Blobs(8), OPTIONS, tmp_path, stop_after=1)
    before = (tmp_path / LAST).read_bytes()
    with pytest.raises(UsageError, match=said):
        train(
            SPEC,
            fresh(),
            Blobs(8),
            dataclasses.replace(OPTIONS, **change),
            tmp_path,
            resume=True,
        )
    assert (tmp_path / LAST).read_bytes() == before


def test_nor_with_other_data_or_from_another_start(tmp_path):
    def go(data, sha, **more):
        train(SPEC, fresh(), data, OPTIONS, tmp_path, learnt_from={"start": [sha]}, **more)

    go(Blobs(8), "a", stop_after=1)
    with pytest.raises(UsageError, match=r"blobs-8-0.*blobs-8-1"):
        go(Blobs(8, seed=1), "a", resume=True)
    with pytest.raises(UsageError, match="start's sha256"):
        go(Blobs(8), "b", resume=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size_hw": (64, 96)}, r"size_hw \[48, 64\], now \[64, 96\]"),
        ({"class_names": ("dog", "cat")}, "class_names"),
        ({"preprocess": dataclasses.replace(SPEC.preprocess, normalize="per_image")}, "per_image"),
    ],
)
def test_nor_as_another_network_than_it_began_with(tmp_path, change, said):
    train(SPEC, fresh(), Blobs(8), OPTIONS, tmp_path, stop_after=1)
    before = (tmp_path / LAST).read_bytes()
    other = dataclasses.replace(SPEC, **change)
    with pytest.raises(UsageError, match=said):
        train(other, fresh(), Blobs(8), OPTIONS, tmp_path, resume=True)
    assert (tmp_path / LAST).read_bytes() == before


def test_a_batch_of_one_is_refused_where_a_norm_would_see_one_value(tmp_path):
    spec = dataclasses.replace(
        SPEC, arch="deeplabv3-mobilenetv2", options={"width": 0.25, "aspp_channels": 8}
    )
    options = dataclasses.replace(OPTIONS, batch=1)
    with pytest.raises(UsageError, match="batch 1 gives the batch norm of the pooled branch"):
        train(spec, build_model(spec), Blobs(4), options, tmp_path)
    assert not (tmp_path / LAST).exists()


def test_masks_without_one_labelled_pixel_are_refused(tmp_path):
    class Void(Blobs):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return dataclasses.replace(sample, labels=np.full_like(sample.labels, 2))

    with pytest.raises(DataError, match=r"every pixel of its 8 masks is void \(2\)"):
        train(SPEC, fresh(), Void(8), OPTIONS, tmp_path)


def test_frames_of_another_size_are_trained_and_scored_as_the_device_fits_them(
    tmp_path, monkeypatch
):
    """Else a network is scored, and the best one picked, that is never deployed."""

    class Large(Blobs):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            rgb, labels = (part.repeat(3, 0).repeat(2, 1) for part in (sample.rgb, sample.labels))
            return dataclasses.replace(sample, rgb=rgb, labels=labels)

    trained, scored = set(), set()

    class Recorded(TrainSet):
        def __init__(self, main, *args, extra, **options):
            trained.update(data[0].rgb.shape for data in (main, extra[0][0]))
            super().__init__(main, *args, extra=extra, **options)

    def record(network, inputs):
        if not network.training:
            scored.add(tuple(inputs[0].shape))

    monkeypatch.setattr("edgeseg.host.training.train.TrainSet", Recorded)
    module = fresh()
    module.register_forward_pre_hook(record)
    data, options = Large(8), dataclasses.replace(OPTIONS, epochs=1, validate_every=1)
    train(SPEC, module, data, options, tmp_path, extra=[(Large(4), 0.5)], validation=Large(2))
    assert trained == {(48, 64, 3)}
    assert scored == {(1, 3, 48, 64)}


def test_a_run_of_an_edgeseg_with_fewer_options_goes_on_with_their_defaults(tmp_path):
    train(SPEC, fresh(), Blobs(8), OPTIONS, tmp_path, stop_after=1)
    state = tmp_path / STATE
    with safetensors.safe_open(str(state), framework="pt") as archive:
        header = json.loads(archive.metadata()["edgeseg_state"])
    written = {**header["made_with"], "augment": {}}
    for name in ("encoder_lr", "follow_ranges"):
        del written[name]
    for name in Augment.__dataclass_fields__:
        value = written.pop(name)
        if name != "classmix":
            written["augment"][name] = value
    header["made_with"] = written
    tensors = safetensors.torch.load_file(str(state))
    safetensors.torch.save_file(tensors, str(state), {"edgeseg_state": json.dumps(header)})
    mixed = dataclasses.replace(OPTIONS.augment, classmix=0.5)
    with pytest.raises(UsageError, match=r"run with classmix 0\.0, now 0\.5; give"):
        train(
            SPEC, fresh(), Blobs(8), dataclasses.replace(OPTIONS, augment=mixed), tmp_path,
            resume=True,
        )  # fmt: skip
    assert len(train(SPEC, fresh(), Blobs(8), OPTIONS, tmp_path, resume=True).rows) == 4


def test_how_often_is_validated_may_change_on_the_way(tmp_path):
    train(SPEC, fresh(), Blobs(8), OPTIONS, tmp_path, stop_after=1)
    often = dataclasses.replace(OPTIONS, validate_every=1)
    assert len(train(SPEC, fresh(), Blobs(8), often, tmp_path, resume=True).rows) == 4


def test_the_average_is_resumed_into_the_tensors_that_are_there(tmp_path):
    """They are on the run's device, of which a file knows nothing."""
    module = fresh()
    optimizer = build_optimizer(module, "adamw", lr=1e-3, weight_decay=0.0)
    average = WeightAverage(module, 0.9)
    save_state(tmp_path / STATE, module, optimizer, average, [], {})
    kept = dict(average.state)
    for value in average.state.values():
        value.zero_()
    load_state(tmp_path / STATE, module, optimizer, average, {})
    assert all(average.state[key] is value for key, value in kept.items())
    assert any(value.any() for value in average.state.values())


def test_moments_of_another_order_of_parameters_are_refused(tmp_path):
    module = fresh()
    optimizer = build_optimizer(module, "adamw", lr=1e-3, weight_decay=0.1)
    module(torch.randn(2, 3, 32, 48)).sum().backward()
    optimizer.step()
    save_state(tmp_path / STATE, module, optimizer, None, [], {})
    other = torch.optim.AdamW(list(module.parameters())[::-1])
    with pytest.raises(CheckpointError, match="moments of shape"):
        load_state(tmp_path / STATE, module, other, None, {})


def test_a_validation_without_a_labelled_pixel_scores_nothing_and_loses_nothing(tmp_path):
    class Void(Blobs):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return dataclasses.replace(sample, labels=np.full_like(sample.labels, 2))

    result = train(SPEC, fresh(), Blobs(8), OPTIONS, tmp_path, validation=Void(2))
    assert [row.miou for row in result.rows] == [-1.0] * 4
    assert (tmp_path / LAST).is_file()


def test_resuming_a_damaged_state_says_what_to_do(tmp_path):
    train(SPEC, fresh(), Blobs(8), OPTIONS, tmp_path, stop_after=1)
    (tmp_path / STATE).write_bytes(b"junk")
    with pytest.raises(CheckpointError, match="remove it to start anew"):
        train(SPEC, fresh(), Blobs(8), OPTIONS, tmp_path, resume=True)


def test_a_teacher_pulls_the_student_towards_its_logits(tmp_path):
    torch.manual_seed(11)
    teacher = build_model(SPEC).eval()
    x, _ = collate(
        next(TrainSet(Blobs(8), OPTIONS.augment, seed=1, batch=8).epoch(0)),
        normalize="fixed",
        mean=SPEC.preprocess.mean,
        std=SPEC.preprocess.std,
    )
    distance = {}
    for weight in (0.0, 20.0):
        options = dataclasses.replace(OPTIONS, distill=weight, epochs=10, ema=0.0)
        module = train(
            SPEC, fresh(), Blobs(8), options, tmp_path / str(weight), teacher=teacher
        ).module
        with torch.no_grad():
            distance[weight] = float((module(x).softmax(1) - teacher(x).softmax(1)).abs().mean())
    assert distance[20.0] < distance[0.0]


def test_an_exploding_loss_stops_with_advice(tmp_path):
    module = fresh()
    with torch.no_grad():
        module.classifier.weight.fill_(float("nan"))
    with pytest.raises(EdgesegError, match="lower lr"):
        train(SPEC, module, Blobs(8), OPTIONS, tmp_path)


def test_data_that_cannot_be_trained_on_is_refused(tmp_path):
    with pytest.raises(DataError, match="a batch needs 4"):
        train(SPEC, fresh(), Blobs(3), OPTIONS, tmp_path)
    with pytest.raises(DataError, match="has no labels"):
        train(SPEC, fresh(), Blobs(8, labelled=False), OPTIONS, tmp_path)
    with pytest.raises(DataError, match="no labels to score"):
        score_module(SPEC, fresh(), Blobs(2, labelled=False))


def test_mixed_in_data_without_labels_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"blobs-5-0: . has no labels"):
        train(SPEC, fresh(), Blobs(8), OPTIONS, tmp_path, extra=[(Blobs(5, labelled=False), 0.5)])


def test_options_report_every_problem_at_once():
    with pytest.raises(UsageError, match=r"epochs is 0.*lr is -1"):
        TrainOptions(epochs=0, lr=-1)


def test_ranks_split_every_batch_without_overlap():
    trainset = TrainSet(Blobs(8), OPTIONS.augment, seed=1, batch=4, extra=[(Blobs(3, 5), 0.5)])
    assert trainset.steps_per_epoch() == 3
    whole = [crop.rgb.tobytes() for batch in trainset.epoch(2) for crop in batch]
    parts = [
        [crop.rgb.tobytes() for batch in trainset.epoch(2, rank=rank, ranks=2) for crop in batch]
        for rank in range(2)
    ]
    assert sorted(parts[0] + parts[1]) == sorted(whole)
    assert len(whole) == 12


def test_classmix_pastes_over_some_crops_and_leaves_the_others_as_they_were():
    def labels(share):
        augment = dataclasses.replace(OPTIONS.augment, classmix=share)
        trainset = TrainSet(Blobs(8), augment, seed=1, batch=8)
        return [crop.labels for epoch in range(4) for crop in next(trainset.epoch(epoch))]

    plain, some, every = labels(0), labels(0.5), labels(1)
    changed = [not np.array_equal(*pair) for pair in zip(plain, some, strict=True)]
    assert 4 < sum(changed) < 28
    assert sum(not np.array_equal(*pair) for pair in zip(plain, every, strict=True)) > 24
