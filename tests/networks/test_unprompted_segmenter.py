import torch
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet

from bundle.networks import UnpromptedSegmenter
from tests.integration.commands import ROOT


def test_clicks_change_nothing_and_the_image_does():
    torch.manual_seed(0)
    unet = BasicUNet(spatial_dims=2, in_channels=1, out_channels=1, features=(4, 4, 4, 4, 8, 4))
    network = UnpromptedSegmenter(unet).eval()
    image = torch.randn(2, 3, 48, 32)
    out = network(image)
    assert out.shape == (2, 2, 48, 32) and not out[:, 1].any()
    torch.testing.assert_close(out[:, :1], unet(image[:, :1]))
    clicked, other = image.clone(), image.clone()
    clicked[:, 1:] = 1
    other[:, 0] += torch.randn(2, 48, 32)
    torch.testing.assert_close(network(clicked), out)
    assert (network(other) - out).abs().max() > 1e-3


def test_training_reaches_every_weight():
    network = UnpromptedSegmenter(
        BasicUNet(spatial_dims=2, in_channels=1, out_channels=1, features=(4, 4, 4, 4, 8, 4), bias=False)
    )
    network(torch.randn(1, 3, 32, 32))[:, :1].square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


def test_the_preset_has_as_many_weights_as_the_promptable_network():
    counts = []
    for overlays in ([], ["configs/presets/basic_unet.json"]):
        parser = ConfigParser()
        parser.read_config([str(ROOT / name) for name in ["configs/train.json", *overlays]])
        counts.append(sum(weight.numel() for weight in parser.get_parsed_content("network_def").parameters()))
    assert counts == [1_297_634, 1_306_865]  # as docs/results.md has them
