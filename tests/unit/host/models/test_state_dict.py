"""State dicts of others: what claims more than it holds is refused before memory is taken."""

import zipfile
from pathlib import Path

import pytest
import torch

from edgeseg.core.spec import ModelSpec
from edgeseg.errors import CheckpointError, SpecError
from edgeseg.host.models import MODELS, build_model
from edgeseg.host.models.state_dict import read_state


def test_a_tensor_that_claims_more_values_than_it_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a.weight": torch.ones(1).expand(10**6, 10**6)}, path)
    assert path.stat().st_size < 10_000
    with pytest.raises(CheckpointError, match="claims 1,000,000,000,000 values"):
        read_state(path)


def test_a_packed_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", b"")
        archive.writestr("w/data/0", bytes(64 << 20))
    with pytest.raises(CheckpointError, match="would unpack to 67,108,864 bytes"):
        read_state(path)


def test_what_torch_saves_is_read(tmp_path: Path) -> None:
    state = {"a.weight": torch.arange(6.0).reshape(2, 3).T, "a.bias": torch.zeros(40_000)}
    torch.save(state, tmp_path / "w.pth")
    read = read_state(tmp_path / "w.pth")
    assert all(torch.equal(read[name], state[name]) for name in state)


@pytest.mark.parametrize("arch", [name for name in MODELS if name.startswith("deeplabv3plus")])
def test_a_network_of_terabytes_is_refused_before_it_is_built(arch: str) -> None:
    spec = ModelSpec(arch, options={"decoder_channels": 1_000_000, "dropout": 0.1})
    with pytest.raises(SpecError, match="parameters, at most 500,000,000 are built"):
        build_model(spec)
