"""The job of `edgeseg train`: a float network from a data set, new or gone on with."""

from __future__ import annotations

from pathlib import Path

import torch

from edgeseg.core.data.dataset import Dataset
from edgeseg.core.files import sha256_file
from edgeseg.core.files.lock import one_writer
from edgeseg.core.progress import ProgressCallback, silent, tell
from edgeseg.core.spec import ModelSpec, Preprocess
from edgeseg.core.suggest import unknown
from edgeseg.core.zoo import find_checkpoint
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import module_from_checkpoint
from edgeseg.host.finetuning.start import fit_start, load_start
from edgeseg.host.foreign.build import is_foreign
from edgeseg.host.foreign.trust import trusting
from edgeseg.host.jobs.options import TrainJobOptions
from edgeseg.host.models import MODELS, build_model
from edgeseg.host.models.pretrained import expected_statistics, load_encoder_weights
from edgeseg.host.pruning.rounds import PRUNED
from edgeseg.host.training.data import fitting, mixed_in, splits
from edgeseg.host.training.distributed import ALONE, Ranks
from edgeseg.host.training.loss.teachers import load_teachers
from edgeseg.host.training.options import train_options
from edgeseg.host.training.run_folder import RunResult, recorded, run_folder
from edgeseg.host.training.train import LAST, ProgressListener, train

DEFAULT_SIZE = (360, 480)


@trusting
@one_writer
def train_job(
    options: TrainJobOptions, progress: ProgressCallback = silent, *, ranks: Ranks = ALONE
) -> RunResult:
    """Train a network as `edgeseg train` does, and leave the run in its folder.

    Args:
        options: what to train, on what, and how.
        progress: told of every step, validation and message.
        ranks: this process among those that train together.

    Raises:
        CheckpointError: a file is no checkpoint.
        DataError: the data cannot be read or trained on.
        UsageError: options contradict each other, or the folder holds a run already.
    """
    _check(options)
    if not ranks.first:
        progress = silent
    init = find_checkpoint(options.init) if options.init else None
    start = load_start(init, options.arch, options.size) if init else None
    size = options.size or (start.spec.size_hw if start else DEFAULT_SIZE)
    training, validation = splits(
        options.data, options.hold_out, size, options.seed, options.val_limit, options, progress
    )
    # A fresh last layer is drawn like this.
    torch.manual_seed(options.seed)
    if init and start:
        start = fit_start(start, init, training, progress)
        training, validation = fitting(init, start.spec, training, validation)
    spec = start.spec if start else _new_spec(options, training, size)
    extra = mixed_in(options, training, size, progress)
    how = train_options(
        options,
        size,
        encoder_lr=options.encoder_lr,
        # A short run must not end inside its warm-up.
        warmup_epochs=min(2.0, options.epochs / 10),
        classmix=options.classmix,
    )
    teacher = load_teachers(options.teacher, spec)
    folder = run_folder(
        "train",
        options.arch,
        options.out,
        used_by=(LAST, PRUNED),
        again=options.resume,
        holds=ranks.first,
    )
    torch.manual_seed(options.seed)
    module = module_from_checkpoint(start) if start else build_model(spec)
    if options.encoder_weights:
        loaded = load_encoder_weights(module, options.encoder_weights)
        tell(progress, f"{options.encoder_weights}: {loaded.summary()}")
    images = f"{len(training)} images, {options.epochs} epochs"
    tell(progress, f"training {options.arch} on {training.name}: {images} -> {folder}")
    trained = train(
        spec,
        module,
        training,
        how,
        folder,
        kind="finetune" if init else "train",
        steps_before=start.steps if start else (),
        extra=extra,
        validation=validation,
        teacher=teacher,
        learnt_from=_sources(options, init),
        resume=options.resume,
        stop_after=options.stop_after,
        ranks=ranks,
        listener=ProgressListener(progress, "train", options.epochs),
    )
    return recorded(trained, folder, options, training, validation, write=ranks.first)


def _check(options: TrainJobOptions) -> None:
    """Refuse options that contradict each other, before anything is read."""
    if options.init and is_foreign(options.arch):
        pass
    elif is_foreign(options.arch):
        raise UsageError(
            f"{options.arch} is another package's network; import it first, then train it on: "
            f"edgeseg import {options.arch} --classes classes.txt --size HxW --mean R,G,B --std "
            f"R,G,B -o net.safetensors; edgeseg train {options.arch} --init net.safetensors"
        )
    elif options.arch not in MODELS:
        raise UsageError(unknown("model", options.arch, MODELS))
    if options.init and options.encoder_weights:
        raise UsageError("--init and --encoder-weights both give the start; leave one out")
    if options.init and (options.settings or options.normalize):
        raise UsageError("--init has its own options and normalization: no --set or --normalize")
    if not options.teacher:
        options.refuse_given(("distill",), "there is no --teacher")


def _new_spec(options: TrainJobOptions, data: Dataset, size_hw: tuple[int, int]) -> ModelSpec:
    """Describe a network that starts afresh, for the classes of `data`."""
    settings = dict(options.settings)
    stride = settings.pop("output_stride", MODELS.load(options.arch).stride)
    normalize = options.normalize or "fixed"
    return ModelSpec(
        options.arch,
        class_names=data.class_names,
        palette=data.palette,
        ignore_index=data.ignore_index,
        size_hw=size_hw,
        preprocess=Preprocess(*expected_statistics(MODELS.load(options.arch)), normalize)
        if options.encoder_weights
        else Preprocess(normalize=normalize),
        output_stride=stride,
        options=settings,
    )


def _sources(options: TrainJobOptions, init: Path | None) -> dict[str, list[str]]:
    """Return the SHA-256 of every file that the network learns from, by role."""
    files = {
        "start": [init] if init else [],
        "teachers": list(options.teacher),
        "encoder_weights": [options.encoder_weights] if options.encoder_weights else [],
    }
    return {role: [sha256_file(path) for path in paths] for role, paths in files.items() if paths}
