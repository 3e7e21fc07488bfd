import pytest
import torch
from ignite.engine import Events

from bundle import keys as K
from bundle.engines import SourceTrainer
from bundle.losses import MultitaskLoss
from tests.engines.steps import losses, source_batch, trainable, unchanged, weights
from tests.networks.tiny import tiny_segmenter


def trainer(batches: list, network: torch.nn.Module | None = None, **changes) -> SourceTrainer:
    network = network or tiny_segmenter()
    settings = {
        "device": "cpu",
        "max_epochs": 1,
        "epoch_length": len(batches),
        "train_data_loader": batches,
        "network": network,
        "optimizer": torch.optim.SGD(network.parameters(), lr=1.0),
        "loss_function": MultitaskLoss(),
        "loss_weights": {"seg": 1.0, "det": 10.0},
    }
    return SourceTrainer(**{**settings, **changes})


def test_one_step_trains_all_but_the_contrastive_head() -> None:
    network = tiny_segmenter()
    before = weights(network)
    trainer([source_batch()], network).run()
    idle = {name for name in trainable(network) if "contrastive_head" in name}
    assert idle
    assert unchanged(before, network) & trainable(network) == idle
    assert torch.equal(network.prompt_encoder.frequencies, before["prompt_encoder.frequencies"])


def test_loss_is_the_weighted_sum_of_the_parts() -> None:
    network, batch = tiny_segmenter(), source_batch()
    with torch.no_grad():
        seg, det = MultitaskLoss()(network(batch[K.IMAGE]), batch[K.LABEL], batch[K.DENSITY])
    engine = trainer([batch], network, loss_weights={"seg": 0.5, "det": 3.0})
    engine.run()
    expected = {"loss": (0.5 * seg + 3 * det).item(), "loss_seg": seg.item(), "loss_det": det.item()}
    assert losses(engine) == pytest.approx(expected, rel=1e-5)


def test_clicks_are_seen() -> None:
    bare = source_batch()
    bare[K.IMAGE][:, 1:] = 0
    found = []
    for batch in (source_batch(), bare):
        engine = trainer([batch])
        engine.run()
        found.append(losses(engine)["loss_seg"])
    assert abs(found[0] - found[1]) > 1e-3


@pytest.mark.parametrize("limit", [0.01, None])
def test_gradient_is_cut_to_its_largest_norm(limit) -> None:
    network = tiny_segmenter()
    before = weights(network)
    trainer([source_batch()], network, max_grad_norm=limit).run()
    step = torch.cat([(p - before[name]).flatten() for name, p in network.named_parameters()]).norm().item()
    if limit is None:
        assert step > 0.1
    else:
        assert step == pytest.approx(limit, rel=1e-3)  # the learning rate is 1


def test_steps_do_not_add_up_gradients() -> None:
    network = tiny_segmenter()
    engine = trainer([source_batch()] * 2, network, optimizer=torch.optim.SGD(network.parameters(), lr=0.0))
    norms = []

    @engine.on(Events.ITERATION_COMPLETED)
    def remember() -> None:
        norms.append(network.mask_decoder.mask_token.grad.norm().item())

    engine.run()
    assert norms[0] > 0
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_network_is_trained_in_training_mode() -> None:
    network = tiny_segmenter().eval()
    trainer([source_batch()], network).run()
    assert network.training
