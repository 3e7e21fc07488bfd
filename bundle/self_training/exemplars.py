"""Rejects predicted instances that look unlike every clicked one."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from bundle.errors import SettingError
from bundle.self_training.components import Components


def describe_components(features: list[torch.Tensor], labels: torch.Tensor, count: int) -> torch.Tensor:
    """Average the features over each component; each level is scaled to unit length.

    Args:
        features: levels (B,C,h,w) of strides that divide H and W.
        labels: (B,H,W) of :class:`Components`.
        count: n.

    Returns:
        (n, sum of C). Zeros for a level that is too coarse to sample the component.
    """
    levels = []
    for level in features:
        stride = labels.shape[1] // level.shape[2]
        where = labels[:, stride // 2 :: stride, stride // 2 :: stride].reshape(-1)
        values = level.permute(0, 2, 3, 1).reshape(-1, level.shape[1]).float()
        total = torch.zeros(count + 1, values.shape[1], device=values.device).index_add_(0, where, values)
        levels.append(F.normalize(total[1:], dim=1))
    return torch.cat(levels, dim=1)


class ExemplarBank(nn.Module):
    """Find predicted instances that resemble no clicked instance (ours).

    The clicked instances show what right ones look like. The teacher's features, averaged over an instance, are
    compared with those of the latest clicked instances of *other* images: its score is the mean cosine similarity to
    the nearest of them. Clicked instances get a score in the same way. The threshold for the others is the score that a
    share ``recall`` of them reaches.

    Args:
        size: number of clicked instances that are remembered.
        neighbours: number of nearest exemplars over which the similarity is averaged.
        recall: share of the clicked instances above the threshold, in (0, 1]; 1 rejects fewest.

    Raises:
        SettingError: when ``recall`` is out of range.
    """

    exemplars: torch.Tensor
    exemplar_images: torch.Tensor
    others: torch.Tensor
    scores: torch.Tensor

    def __init__(self, size: int = 256, neighbours: int = 5, recall: float = 0.8) -> None:
        super().__init__()
        if not 0 < recall <= 1:
            raise SettingError(f"recall must be in (0, 1], got {recall}")
        self.size = size
        self.neighbours = neighbours
        self.recall = recall
        # Not persistent: a state dict wants buffers of the same size again, and these grow.
        self.register_buffer("exemplars", torch.zeros(0), persistent=False)
        self.register_buffer("exemplar_images", torch.zeros(0, dtype=torch.long), persistent=False)
        self.register_buffer("others", torch.zeros(0), persistent=False)
        self.register_buffer("scores", torch.zeros(0), persistent=False)

    def get_extra_state(self) -> dict[str, torch.Tensor]:
        """Return the remembered tensors, for a resumed run."""
        return dict(self.named_buffers())

    def set_extra_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take over the tensors of :meth:`get_extra_state`."""
        for name, value in state.items():
            setattr(self, name, value)

    @torch.no_grad()
    def forward(
        self, features: list[torch.Tensor], mask: torch.Tensor, clicks: torch.Tensor, images: torch.Tensor
    ) -> torch.Tensor:
        """Find the doubtful instances of a batch, then remember its clicked ones.

        Args:
            features: levels (B,C,h,w).
            mask: (B,1,H,W) bool, the predicted instances.
            clicks: (B,1,H,W) bool, given foreground clicks.
            images: (B,) long, number of the image in the data set.

        Returns:
            (B,1,H,W) bool, True in doubtful instances. False everywhere until enough clicked instances are remembered.
        """
        self.to(mask.device)  # a resumed run's tensors come from a file, on the CPU
        if len(self.exemplars) == 0 and not clicks.any():  # without points nothing can ever be compared
            return torch.zeros_like(mask)
        components = Components(mask)
        labels, count = components.labels, components.count
        doubtful = torch.zeros(count + 1, dtype=torch.bool, device=mask.device)
        if count > 0:
            described = describe_components(features, labels, count)
            image_of = torch.zeros(count + 1, dtype=torch.long, device=mask.device)
            image_of[labels.reshape(-1)] = images.repeat_interleave(labels[0].numel())
            clicked = torch.zeros_like(doubtful)
            clicked[labels[clicks[:, 0]]] = True
            clicked, image_of = clicked[1:], image_of[1:]  # without the background, number 0
            score = self._score(described, image_of)
            self._remember(described, image_of, clicked, score)
            if len(self.scores) >= 4 * self.neighbours:  # enough scores for a quantile
                doubtful[1:] = ~clicked & (score < self.scores.quantile(1 - self.recall))
        return doubtful[labels].unsqueeze(1)

    def _score(self, described: torch.Tensor, image_of: torch.Tensor) -> torch.Tensor:
        """Mean similarity (n,) to the nearest exemplars of other images; NaN where there are too few."""
        if len(self.exemplars) < self.neighbours:
            return torch.full_like(described[:, 0], float("nan"))
        # Without the mean that all instances share, cosines spread over [-1, 1].
        centre, spread = self.others.mean(dim=0), self.others.std(dim=0) + 1e-6
        a = F.normalize((described - centre) / spread, dim=1)
        b = F.normalize((self.exemplars - centre) / spread, dim=1)
        similarity = a @ b.T
        # Instances of one image resemble each other whatever they are.
        similarity[image_of[:, None] == self.exemplar_images[None]] = float("nan")
        usable = similarity.isfinite().sum(dim=1) >= self.neighbours
        nearest = similarity.nan_to_num(nan=-1.0).topk(self.neighbours, dim=1).values.mean(dim=1)
        return torch.where(usable, nearest, torch.full_like(nearest, float("nan")))

    def _remember(
        self, described: torch.Tensor, image_of: torch.Tensor, clicked: torch.Tensor, score: torch.Tensor
    ) -> None:
        self.exemplars = _latest(self.exemplars, described[clicked], self.size)
        self.exemplar_images = _latest(self.exemplar_images, image_of[clicked], self.size)
        self.others = _latest(self.others, described, 4 * self.size)  # most instances are not clicked
        self.scores = _latest(self.scores, score[clicked & score.isfinite()], self.size)


def _latest(old: torch.Tensor, new: torch.Tensor, size: int) -> torch.Tensor:
    return new[-size:] if len(old) == 0 else torch.cat((old, new))[-size:]
