import pytest
import torch

from bundle.self_training import RandMix

SIZE = (16, 24)


def foreground() -> torch.Tensor:
    """Three masks, each with another area."""
    mask = torch.zeros(3, 1, *SIZE)
    mask[0, 0, 2:5, 3:9] = 1
    mask[1, 0, 8:14, 15:17] = 1
    mask[2, 0, 0:2, 20:24] = 1
    return mask


def test_all_tensors_are_mixed_alike() -> None:
    torch.manual_seed(0)
    mix = RandMix(prob=1.0)
    # Pixels that know where they are from: image number and position, in one tensor and another.
    position = torch.arange(SIZE[0] * SIZE[1]).view(1, 1, *SIZE).expand(3, 1, *SIZE)
    number = torch.arange(3).view(3, 1, 1, 1).expand(3, 2, *SIZE)
    paste = mix.paste_mask(foreground())
    assert 0 < paste.sum() < paste.numel()
    mixed_position, mixed_number, mixed_again = mix(paste, position, number, 10 * number)
    assert torch.equal(mixed_position, position)  # nothing is moved within the image
    expected = torch.where(paste, number.roll(1, 0), number)
    assert torch.equal(mixed_number, expected)
    assert torch.equal(mixed_again, 10 * expected)
    assert (mixed_number.diff(dim=1) == 0).all()  # all channels


def test_classmix_pastes_the_foreground_of_the_image_that_shows() -> None:
    mix = RandMix(prob=1.0, class_prob=1.0)
    mask = foreground()
    paste = mix.paste_mask(mask)
    (mixed,) = mix(paste, mask)
    for i in range(3):
        other = mask[i - 1] > 0
        assert torch.equal(paste[i], other)
        assert torch.equal(mixed[i] > 0, (mask[i] > 0) | other)


def test_cutmix_pastes_one_box_of_the_chosen_share() -> None:
    torch.manual_seed(0)
    mix = RandMix(prob=1.0, class_prob=0.0, area=(0.1, 0.4))
    shares = []
    for _ in range(30):
        for box in mix.paste_mask(foreground())[:, 0]:
            xs, ys = box.any(dim=1).nonzero(), box.any(dim=0).nonzero()
            height, width = xs.max() - xs.min() + 1, ys.max() - ys.min() + 1
            assert box.sum() == height * width
            shares.append((box.sum() / box.numel()).item())
    # A side may be a pixel longer or shorter than its share.
    assert 0.06 < min(shares) < 0.15
    assert 0.33 < max(shares) < 0.48


def test_prob() -> None:
    torch.manual_seed(0)
    mask = foreground()
    assert not RandMix(prob=0.0).paste_mask(mask).any()
    mixed = sum(RandMix(prob=0.5).paste_mask(mask).flatten(1).any(dim=1).sum().item() for _ in range(100))
    assert 110 < mixed < 190  # of 300


def test_seed_decides() -> None:
    def paste(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return RandMix(prob=1.0, class_prob=0.0).paste_mask(foreground())

    assert torch.equal(paste(3), paste(3))
    assert not torch.equal(paste(3), paste(4))


@pytest.mark.parametrize("batch", [1, 2])
def test_small_batches(batch) -> None:
    mask = foreground()[:batch]
    mix = RandMix(prob=1.0)
    (mixed,) = mix(mix.paste_mask(mask), mask)
    assert mixed.shape == mask.shape
    if batch == 1:
        assert torch.equal(mixed, mask)  # its next image is itself
