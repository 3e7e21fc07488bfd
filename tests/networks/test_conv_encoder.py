import pytest
import torch

from bundle.networks import ConvEncoder


@pytest.mark.parametrize("size", [(16, 40), (64, 24)])
def test_features_at_strides_8_4_and_2(size) -> None:
    encoder = ConvEncoder((8, 16, 24), (1, 1, 2))
    embedding, fine = encoder(torch.randn(2, 1, *size))
    assert encoder.stride == 8
    assert embedding.shape == (2, encoder.embed_dim, size[0] // 8, size[1] // 8)
    assert [f.shape[1] for f in fine] == list(encoder.skip_channels) == [16, 8]
    assert [tuple(f.shape[2:]) for f in fine] == [(size[0] // 4, size[1] // 4), (size[0] // 2, size[1] // 2)]


def test_images_of_a_batch_do_not_influence_each_other_in_training() -> None:
    encoder = ConvEncoder((8, 8, 16), (1, 1, 1)).train()
    images = torch.randn(3, 1, 16, 24)
    together, _ = encoder(images)
    alone, _ = encoder(images[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-2


def test_number_of_blocks() -> None:
    encoder = ConvEncoder((8, 8, 8), (1, 2, 3))
    assert [len(s) for s in (encoder.stage2, encoder.stage4, encoder.stage8)] == [1, 2, 3]


@pytest.mark.parametrize("channels", [(8, 8), (8, 12, 16), (0, 8, 16)])
def test_channels_that_do_not_fit(channels) -> None:
    with pytest.raises(ValueError, match="three multiples of 8"):
        ConvEncoder(channels)


@pytest.mark.parametrize("blocks", [(1, 1), (1, 0, 1)])
def test_blocks_that_do_not_fit(blocks) -> None:
    with pytest.raises(ValueError, match="three numbers of at least 1"):
        ConvEncoder((8, 8, 8), blocks)
