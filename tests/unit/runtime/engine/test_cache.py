"""Engines that another user may have written are built again."""

import hashlib
import json
import os

import pytest
from tinybundle import tiny_bundle

from edgeseg.runtime.cuda.gpu import Gpu
from edgeseg.runtime.engine import cache as module
from edgeseg.runtime.engine.build import Built
from edgeseg.runtime.engine.cache import EngineOptions, engine_from_bundle
from edgeseg.runtime.engine.layer_report import LayerReport

GPU = Gpu("Orin", "8.7", "12.6")


@pytest.fixture
def place(tmp_path):
    """A cache with one engine in it, and a function that asks for that engine."""
    bundle, cache = tiny_bundle(tmp_path / "b", precision="int8"), tmp_path / "cache"
    reasons = []

    def build(request, *, progress):
        return Built(b"plan", b"", LayerReport(()), {})

    def ask():
        engine = engine_from_bundle(
            bundle, EngineOptions(), GPU, cache,
            version="10.3.0", strongly_typed=False, build=build,
        )  # fmt: skip
        reasons.append(engine.reason)
        return engine

    assert ask().reason == "no engine yet"
    assert ask().reason == ""
    return cache, ask


def test_folders_made_here_are_private(place):
    cache, ask = place
    assert cache.stat().st_mode & 0o777 == 0o700
    assert ask().path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("which", ["cache", "folder", "plan", "sidecar"])
def test_what_others_may_write_is_built_again(place, which):
    cache, ask = place
    plan = ask().path
    path = {
        "cache": cache,
        "folder": plan.parent,
        "plan": plan,
        "sidecar": plan.with_suffix(".json"),
    }
    path[which].chmod(path[which].stat().st_mode | 0o002)
    assert "other users may write" in ask().reason


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_forged_plan_of_another_user_is_built_again(place):
    _, ask = place
    plan = ask().path
    plan.write_bytes(b"attacker's")
    sidecar = plan.with_suffix(".json")
    document = json.loads(sidecar.read_text())
    document["sha256"] = hashlib.sha256(b"attacker's").hexdigest()
    sidecar.write_text(json.dumps(document))
    assert ask().reason == "", "its own user is trusted"
    for path in (plan, sidecar):
        os.chown(path, 65534, 65534)
    assert "belongs to another user (uid 65534)" in ask().reason
    assert module.sha256_file(plan) == hashlib.sha256(b"plan").hexdigest()
