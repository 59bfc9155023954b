"""train_options: how a job's options become those of its training."""

from pathlib import Path

from edgeseg.host.jobs.options import PruneJobOptions, TrainJobOptions
from edgeseg.host.training.augment import Augment
from edgeseg.host.training.job_options import TrainingOptions
from edgeseg.host.training.options import TrainOptions, train_options


def test_every_option_of_a_training_arrives():
    job = TrainJobOptions.of(
        arch="unet", data="synthetic", epochs=3, batch=2, lr=0.1, seed=5, validate_every=2,
        class_weights=0.25, photometry="mild", crop=(64, 96), distill=0.5,
    )  # fmt: skip
    assert train_options(job, (360, 480), classmix=0.5, warmup_epochs=0.3) == TrainOptions(
        epochs=3, batch=2, lr=0.1, seed=5, validate_every=2, class_weight_exponent=0.25,
        distill=0.5, warmup_epochs=0.3,
        augment=Augment(crop_hw=(64, 96), photometry="mild", classmix=0.5),
    )  # fmt: skip


def test_a_crop_is_no_larger_than_the_input_and_a_verb_has_its_own_defaults():
    job = PruneJobOptions.of(checkpoint=Path("a.safetensors"), epochs=1)
    found = train_options(job, (48, 640))
    assert found.augment.crop_hw == (48, 320)
    assert (found.lr, found.distill) == (5e-4, 0.0)


def test_what_a_job_does_not_tell_is_given_or_stays():
    found = train_options(TrainingOptions.of(), (48, 64), epochs=2, validate_every=2)
    assert (found.epochs, found.validate_every) == (2, 2)
    assert found.class_weight_exponent == TrainOptions().class_weight_exponent
