import copy

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from bundle.errors import SettingError
from bundle.networks import ConvEncoder, PromptableSegmenter, place

CPU = torch.device("cpu")
DECODER = {"upscaled_channels": [16, 8], "depth": 1, "num_heads": 2, "mlp_dim": 16, "detection_channels": 8}


@pytest.fixture
def network():
    torch.manual_seed(0)
    torch._dynamo.reset()
    yield PromptableSegmenter(ConvEncoder((8, 16, 16), (1, 1, 1)), max_points=4, decoder=DECODER)
    torch._dynamo.reset()


@pytest.fixture
def image():
    drawn = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    drawn[:, 1:] = 0
    drawn[0, 1, 5, 8] = drawn[1, 2, 3, 3] = drawn[1, 1, 9, 20] = 1
    return drawn


def counted(network):
    """The network with its modules compiled by a backend that counts its graphs; and the counter."""
    counter = CompileCounterWithBackend("eager")
    for name in ("image_encoder", "mask_decoder"):
        network.get_submodule(name).compile(backend=counter)
    return counter


@pytest.mark.parametrize("backend", ["eager", pytest.param("aot_eager", marks=pytest.mark.slow)])
def test_a_compiled_network_is_the_same_one(network, image, backend) -> None:
    before, names = network(image), list(network.state_dict())
    assert place(network, CPU, compile_backend=backend) is network
    assert list(network.state_dict()) == names == [name for name in names if "_orig_mod" not in name]
    torch.testing.assert_close(network(image), before)
    network(image).sum().backward()
    grads = {name: weight.grad for name, weight in network.named_parameters() if not name.endswith("k_proj.bias")}
    unused = {name.split(".")[1] for name, grad in grads.items() if grad is None or not grad.any()}
    assert unused == {"contrastive_head"}  # whose embeddings nobody asked for


def test_what_runs_is_compiled(network, image, monkeypatch) -> None:
    """Also where no one calls forward: the trainers encode and decode."""
    called = []
    for name in ("image_encoder", "mask_decoder"):
        module = network.get_submodule(name)
        monkeypatch.setattr(
            type(module), "compile", lambda self, backend: called.append((type(self).__name__, backend))
        )
    place(network, CPU)
    assert called == []
    place(network, CPU, compile_backend="inductor")
    assert called == [("ConvEncoder", "inductor"), ("MaskDecoder", "inductor")]
    monkeypatch.undo()
    counter = counted(network)
    embedding, fine = network.encode(image[:, :1])
    assert counter.frame_count == 1
    network.decode(embedding, fine, torch.rand(2, 3, 2), torch.ones(2, 3, dtype=torch.long))
    assert counter.frame_count == 2


def test_other_numbers_of_points_are_soon_compiled_once_for_all(network, image) -> None:
    counter = counted(network)
    embedding, fine = network.encode(image[:, :1])
    graphs = []
    for points in (3, 4, 2, 7, 5, 9):
        network.decode(embedding, fine, torch.rand(2, points, 2), torch.ones(2, points, dtype=torch.long))
        graphs.append(counter.frame_count - 1)
    assert graphs == [1, 2, 2, 2, 2, 2]


def test_copies_and_scripts_are_of_the_network_itself(network, image) -> None:
    before = network(image)
    place(network, CPU, channels_last=True, compile_backend="eager")
    copied = copy.deepcopy(network)
    assert all(module._compiled_call_impl is None for module in copied.modules())
    torch.testing.assert_close(copied(image), before)
    torch.testing.assert_close(torch.jit.script(copied.eval())(image), before)
    other = PromptableSegmenter(ConvEncoder((8, 16, 16), (1, 1, 1)), max_points=4, decoder=DECODER)
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(other(image), before)


def test_channels_last_is_an_order_in_memory(network, image) -> None:
    before, weights = network(image), copy.deepcopy(network.state_dict())
    place(network, CPU, channels_last=True)
    kernel = network.image_encoder.stage8[0].conv1.conv.weight
    assert kernel.is_contiguous(memory_format=torch.channels_last) and not kernel.is_contiguous()
    embedding, _ = network.encode(image[:, :1])
    assert embedding.is_contiguous(memory_format=torch.channels_last) and not embedding.is_contiguous()
    torch.testing.assert_close(network(image), before)
    assert all(torch.equal(weight, weights[name]) for name, weight in network.state_dict().items())


def test_a_backend_that_is_none(network) -> None:
    with pytest.raises(SettingError, match=r"compile_backend is 'inducktor', expected one of .*inductor.*, or null"):
        place(network, CPU, compile_backend="inducktor")
    assert all(module._compiled_call_impl is None for module in network.modules())
