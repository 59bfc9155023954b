import json

import pytest

from edgeseg.core.spec import CAMVID_CLASSES, CAMVID_PALETTE, ModelSpec, Preprocess
from edgeseg.errors import SpecError


def test_json_round_trip_gives_an_equal_spec():
    spec = ModelSpec(
        "segnet", size_hw=(64, 96), preprocess=Preprocess(normalize="per_image"), options={"w": 0.5}
    )
    assert ModelSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_all_problems_are_reported_at_once():
    with pytest.raises(SpecError) as caught:
        ModelSpec("", palette=CAMVID_PALETTE[:3], size_hw=(8, 8), ignore_index=4)
    for part in ("arch is empty", "3 colours for 11 classes", "size_hw", "ignore_index 4"):
        assert part in str(caught.value)


def test_unknown_keys_are_named():
    document = ModelSpec("segnet").to_json() | {"stride": 3}
    with pytest.raises(SpecError, match="'stride'"):
        ModelSpec.from_json(document)


@pytest.mark.parametrize("key", ["class_names", "size_hw", "preprocess"])
def test_a_missing_key_is_a_spec_error(key):
    document = ModelSpec("segnet").to_json()
    del document[key]
    with pytest.raises(SpecError, match=key):
        ModelSpec.from_json(document)


@pytest.mark.parametrize(
    "bad", [{"normalize": "grey"}, {"resize": "crop"}, {"std": (1.0, 0.0, 1.0)}]
)
def test_preprocess_refuses_what_no_graph_can_do(bad):
    with pytest.raises(SpecError):
        Preprocess(**bad)


def test_camvid_has_eleven_classes_with_distinct_colours():
    assert len(CAMVID_CLASSES) == len(set(CAMVID_PALETTE)) == 11
