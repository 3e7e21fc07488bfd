from .prompted_sliding_window import PromptedSlidingWindowInferer

__all__ = ["PromptedSlidingWindowInferer"]
