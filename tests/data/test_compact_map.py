import pytest
import torch

from bundle.data import CompactMap

PLACES = [
    (slice(0, 40), slice(0, 50)),
    (slice(7, 19), slice(3, 30)),
    (slice(39, 40), slice(49, 50)),
    (slice(0, 1), slice(0, 1)),
]


def maps() -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    gray = torch.randint(256, (1, 40, 50), generator=g).float()
    label = torch.zeros(1, 40, 50)
    label[0, 5:20, 5:25], label[0, 25:, 40:] = 7, 9
    clicks = torch.zeros(2, 40, 50)
    clicks[0, 10, 12] = clicks[1, 39, 49] = clicks[0, 0, 0] = 1
    return {
        "8 bits": (gray - 17.3) / 41.9,
        "16 bits": torch.randint(2**16, (1, 40, 50), generator=g).float() / 7,
        "instances": label,
        "clicks": clicks,
        "prompted": torch.cat((gray, clicks)),
        "constant": torch.ones(1, 40, 50),
    }


@pytest.mark.parametrize("name", maps())
@pytest.mark.parametrize("place", PLACES)
def test_crops_are_those_of_the_map(name, place) -> None:
    values = maps()[name]
    crop = CompactMap(values).crop(place)
    assert crop.dtype == values.dtype and torch.equal(crop, values[(slice(None), *place)])
    crop.fill_(-1)  # new memory: a transform may write into it
    assert torch.equal(CompactMap(values).crop(place), values[(slice(None), *place)])


def test_more_values_than_codes() -> None:
    values = torch.arange(300 * 300).float().reshape(1, 300, 300)
    compact = CompactMap(values)
    assert torch.equal(compact.crop((slice(3, 280), slice(0, 9))), values[:, 3:280, :9])
    assert compact.nbytes == 4 * 300 * 300


def test_bytes_of_each_form() -> None:
    compact = {name: CompactMap(values) for name, values in maps().items()}
    assert compact["8 bits"].nbytes <= 40 * 50 + 4 * 256
    assert compact["clicks"].nbytes < 200
    assert compact["prompted"].nbytes < 40 * 50 + 4 * 256 + 200
