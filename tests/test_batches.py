from typing import get_type_hints

import pytest

from bundle import batches, keys

TYPES = [batches.SourceBatch, batches.TargetBatch, batches.AdaptationBatch, batches.PreferenceBatch]


@pytest.mark.parametrize("batch", TYPES)
def test_the_names_of_a_batch_are_keys(batch):
    names = {value for name, value in vars(keys).items() if name.isupper()}
    assert set(get_type_hints(batch)) <= names


def test_the_target_has_no_label():
    assert not {keys.LABEL, keys.DENSITY, keys.INSTANCES} & set(get_type_hints(batches.TargetBatch))
