"""The teacher: an exponential moving average of the student."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events
from torch import nn

from bundle.errors import SettingError


class MeanTeacher:
    """Average the student's weights into the teacher after each iteration (Prompt-DAS, stage 1).

    teacher <- a teacher + (1 - a) student, with a = min(1 - 1/(step + 1), alpha), step counted from 1. Buffers that are
    not floating point are copied. When training starts the teacher takes the student's weights; a resumed run keeps
    the teacher of its checkpoint. Place it behind the handlers that load weights, and before
    :class:`Feedback`, whose candidates the teacher makes.

    Args:
        teacher: changed in place, without gradient.
        student: may be wrapped for several devices.
        alpha: largest a, in [0, 1); 0.99 to 0.999.

    Raises:
        SettingError: when ``alpha`` is out of range.
    """

    ahead_of = ("Feedback",)

    def __init__(self, teacher: nn.Module, student: nn.Module, alpha: float = 0.99) -> None:
        if not 0 <= alpha < 1:
            raise SettingError(f"alpha must be in [0, 1), got {alpha}")
        self.teacher = teacher
        self.student = getattr(student, "module", student)
        self.alpha = alpha

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        engine.add_event_handler(Events.STARTED, self.copy)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.update)

    def copy(self, engine: Engine) -> None:
        """On STARTED: take the student's weights, unless the run is resumed."""
        if engine.state.iteration == 0:
            self.teacher.load_state_dict(self.student.state_dict())

    @torch.no_grad()
    def update(self, engine: Engine) -> None:
        """On ITERATION_COMPLETED: average."""
        # At first a plain mean of the students so far, so that the teacher forgets its start.
        a = min(1 - 1 / (engine.state.iteration + 1), self.alpha)
        student, averaged, latest = self.student.state_dict(), [], []
        for name, value in self.teacher.state_dict().items():
            if value.is_floating_point():
                averaged.append(value)
                latest.append(student[name])
            else:
                value.copy_(student[name])
        torch._foreach_lerp_(averaged, latest, 1 - a)  # one call for all: on a GPU one kernel, not one a tensor
