"""The protocol of a data set, and which two may be mixed."""

import pytest

from edgeseg.core.data.dataset import check_same_classes
from edgeseg.core.data.pairs import PairFolder
from edgeseg.errors import DataError


def test_data_of_other_classes_may_not_be_mixed_in() -> None:
    def named(*names: str) -> PairFolder:
        palette = tuple((i, i, i) for i in range(len(names)))
        return PairFolder("-".join(names), (), names, palette, 255)

    check_same_classes(named("sky", "road"), named("sky", "road"))
    with pytest.raises(DataError, match=r"its label 1 is 'car', not 'road'; give .* 2 classes"):
        check_same_classes(named("sky", "road"), named("sky", "car"))
    with pytest.raises(DataError, match="its label 1 is nothing, not 'road'"):
        check_same_classes(named("sky", "road"), named("sky"))
    with pytest.raises(DataError, match="its label 2 is 'car', not nothing"):
        check_same_classes(named("sky", "road"), named("sky", "road", "car"))
