"""The export commands of MONAI, and whether what they wrote answers as the network does."""

import onnxruntime
import pytest
import torch
from monai.bundle import ConfigParser, onnx_export, verify_net_in_out

from tests.integration.commands import ADAPT, NETWORK, ROOT, call, command

META = "configs/metadata.json"
DYNAMIC = {0: "batch", 2: "x", 3: "y"}
# An example of two images: with one the exporter takes the batch for a constant.
ONNX = {
    "use_trace": True,
    "input_shape": [2, 3, 256, 256],
    "converter_kwargs": {
        "input_names": ["image"],
        "output_names": ["pred"],
        "dynamic_axes": {"image": DYNAMIC, "pred": DYNAMIC},
    },
}


def prompted(batch, width, height, clicks):
    """Noise with clicks of both kinds."""
    torch.manual_seed(batch * width * height)
    image = torch.cat((torch.randn(batch, 1, width, height), torch.zeros(batch, 2, width, height)), dim=1)
    for i in range(clicks):
        image[i % batch, 1 + i % 2, 3 + 5 * i, height - 7 - 3 * i] = 1
    return image


INPUTS = [prompted(*shape) for shape in ((2, 256, 256, 0), (2, 256, 256, 5), (1, 72, 56, 3), (3, 40, 88, 6))]


@pytest.fixture(scope="module")
def network(source_weights):
    parser = ConfigParser()
    parser.read_config([str(ROOT / file) for file in ADAPT])
    parser.update(NETWORK)
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(source_weights, weights_only=True))
    return network


@pytest.mark.parametrize("settings", [NETWORK, {}], ids=["tiny", "default"])
def test_metadata_says_what_the_network_does(in_root, settings):
    verify_net_in_out("network_def", META, ADAPT[0], device="cpu", **settings)


@pytest.mark.slow
def test_export_command_writes_torchscript(network, source_weights, tmp_path):
    file = tmp_path / "model.ts"
    settings = (part for name, value in NETWORK.items() for part in (f"--{name}", str(value)))
    inputs = ["--ckpt_file", str(source_weights), "--meta_file", META, "--config_file", ADAPT[0]]
    done = call(command("ckpt_export", "network_def", "--filepath", str(file), *inputs, *settings))
    assert done.returncode == 0, done.stderr
    scripted = torch.jit.load(file)
    for image in INPUTS:
        with torch.no_grad():
            torch.testing.assert_close(scripted(image), network(image), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_onnx_answers_as_the_network_at_other_sizes(network, source_weights, tmp_path, in_root):
    file = tmp_path / "model.onnx"
    onnx_export("network_def", file, str(source_weights), META, ADAPT[0], **ONNX, **NETWORK)
    session = onnxruntime.InferenceSession(file)
    for image in INPUTS:
        (answer,) = session.run(["pred"], {"image": image.numpy()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(answer), network(image), rtol=1e-3, atol=1e-4)


def test_clicks_count_in_an_export(network):
    """Else the tests above would hold for a network that is blind to them."""
    without = INPUTS[1].clone()
    without[:, 1:] = 0
    with torch.no_grad():
        assert (network(INPUTS[1]) - network(without)).abs().max() > 1e-3
