import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from bundle.handlers import MeanTeacher


class Scalar(nn.Module):
    """One weight, one floating-point buffer and a counter."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value))
        self.register_buffer("mean", torch.tensor(value))
        self.register_buffer("count", torch.tensor(int(value)))

    def become(self, value: float) -> None:
        with torch.no_grad():
            self.weight.fill_(value)
        self.mean.fill_(value)
        self.count.fill_(int(value))


def run(handler: MeanTeacher, student: Scalar, values: list[float], start: int = 0) -> list[float]:
    """Let the student take values in turn, in the first epoch or, after ``start`` steps, in the second.

    Returns the teacher's weight after each step.
    """
    followed = []

    def step(engine: Engine, _batch: None) -> None:
        student.become(values[engine.state.iteration - start - 1])

    engine = Engine(step)
    handler.attach(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: followed.append(handler.teacher.weight.item()))
    if start:
        engine.load_state_dict({"iteration": start, "epoch_length": start, "max_epochs": 2})
    engine.run([None] * len(values), max_epochs=2 if start else 1)
    return followed


def test_decay_by_hand() -> None:
    teacher, student = Scalar(100.0), Scalar(8.0)
    followed = run(MeanTeacher(teacher, student, alpha=0.7), student, [4.0, 12.0, 8.0, 0.0])
    # Begins at 8, not at 100. Decay 1/2, 2/3, then min(3/4, 0.7), min(4/5, 0.7).
    # 1/2 * 8 + 1/2 * 4 = 6;  2/3 * 6 + 1/3 * 12 = 8;  0.7 * 8 + 0.3 * 8 = 8;  0.7 * 8 + 0 = 5.6
    assert followed == pytest.approx([6.0, 8.0, 8.0, 5.6])


def test_first_steps_are_the_plain_mean() -> None:
    teacher, student = Scalar(0.0), Scalar(1.0)
    followed = run(MeanTeacher(teacher, student, alpha=0.99), student, [2.0, 3.0, 4.0, 5.0])
    assert followed == pytest.approx([1.5, 2.0, 2.5, 3.0])  # of all students so far, the one at the start too


def test_buffers_are_averaged_or_copied_by_type() -> None:
    teacher, student = Scalar(0.0), Scalar(8.0)
    run(MeanTeacher(teacher, student), student, [4.0])
    assert (teacher.mean.item(), teacher.count.item()) == (6.0, 4)


def test_student_is_left_alone_and_shares_nothing() -> None:
    teacher, student = Scalar(0.0), Scalar(8.0)
    run(MeanTeacher(teacher, student), student, [4.0])
    assert (student.weight.item(), student.mean.item()) == (4.0, 4.0)
    assert teacher.weight.data_ptr() != student.weight.data_ptr()
    assert student.weight.requires_grad


def test_resumed_run_keeps_its_teacher_and_its_decay() -> None:
    teacher, student = Scalar(100.0), Scalar(8.0)
    # Steps 4, 5 and 6 of a run: the teacher stays 100, decay 4/5, 5/6 and 6/7.
    followed = run(MeanTeacher(teacher, student, alpha=0.99), student, [0.0, 0.0, 0.0], start=3)
    assert followed == pytest.approx([80.0, 80 * 5 / 6, 80 * 5 / 7])


def test_wrapped_student_is_looked_through() -> None:
    teacher, student = Scalar(0.0), Scalar(8.0)
    assert MeanTeacher(teacher, nn.DataParallel(student)).student is student


def test_alpha_of_0_is_the_student() -> None:
    teacher, student = Scalar(0.0), Scalar(8.0)
    assert run(MeanTeacher(teacher, student, alpha=0.0), student, [4.0, 7.0]) == [4.0, 7.0]


@pytest.mark.parametrize("alpha", [1.0, -0.1, 2.0])
def test_alpha_out_of_range(alpha) -> None:
    with pytest.raises(ValueError, match=r"alpha must be in \[0, 1\)"):
        MeanTeacher(Scalar(0.0), Scalar(0.0), alpha)
