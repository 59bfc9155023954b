"""The study that trials are kept in: shared between processes, resumed, and asked for its best."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from edgeseg.core.run_key import changes
from edgeseg.core.text.redact import public_uri, redact, remember
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import Checkpoint

STUDY = "edgeseg-tune"
# User attribute of a trial: the process that runs it.
WORKER = "worker"
# Of a database's message.
MOST_WORDS = 200


def open_study(storage: str, name: str, seed: int, about: Mapping[str, Any]) -> optuna.Study:
    """Open a study, new or one that another run or machine has begun.

    Args:
        storage: a path ending in .log (a journal file), or a database URL.
        name: the study's name in it.
        seed: of the sampler.
        about: what all who join must agree on: checkpoint, target, kind of cost.

    Raises:
        UsageError: the study there is about something else, or the database cannot be opened.
    """
    shown = public_uri(storage)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    place: Any = storage
    if "://" not in storage:
        backend = optuna.storages.journal.JournalFileBackend(storage)
        place = optuna.storages.JournalStorage(backend)
    try:
        study = optuna.create_study(
            study_name=name,
            storage=place,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=6),
        )
    except Exception as error:
        if "://" not in storage:
            raise
        # A database's own words, over many lines, repeat its address with the password.
        remember(storage)
        why = redact(" ".join(str(error).split())[:MOST_WORDS])
        raise UsageError(
            f"{shown} cannot be opened as a database ({type(error).__name__}: {why}); check the "
            "address, and that its driver is installed"
        ) from None
    held = study.user_attrs.get("about")
    if held is None:
        study.set_user_attr("about", dict(about))
    elif differ := changes(held, about):
        raise UsageError(f"{shown} holds a study with {'; '.join(differ)}; give another --storage")
    return study


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that ended, met the target or not, in order."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def revive(study: optuna.Study) -> None:
    """Queue the trials again whose process, of this machine, has ended.

    A process of another machine cannot be seen from here; its killed trials stay as they are.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        host, _, pid = str(trial.user_attrs.get(WORKER, "")).rpartition(":")
        if host == platform.node() and not _alive(int(pid)):
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(dict(trial.params))


def worker() -> str:
    """Return the name of this process, as WORKER holds it."""
    return f"{platform.node()}:{os.getpid()}"


def _alive(pid: int) -> bool:
    """Tell whether a process other than this one, which has no trial yet, has this number."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def asked_before(study: optuna.Study, trial: Trial) -> bool:
    """Tell whether an earlier trial, of any process, has the same shape."""
    return any(
        other.number < trial.number
        and other.state != TrialState.FAIL
        and other.params == trial.params
        for other in study.get_trials(deepcopy=False)
    )


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """Return the completed trial with the best score, None where no trial met the target."""
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return max(ended, key=lambda trial: trial.value or 0.0, default=None)


def digest_of(checkpoint: Checkpoint) -> str:
    """Return a short hash of the weights, so that all who join a study start from the same."""
    digest = hashlib.sha256()
    for name in sorted(checkpoint.weights):
        digest.update(name.encode())
        digest.update(checkpoint.weights[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
