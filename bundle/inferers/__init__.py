from .click_session import ClickSession
from .prompted_sliding_window import PromptedSlidingWindowInferer

__all__ = ["ClickSession", "PromptedSlidingWindowInferer"]
