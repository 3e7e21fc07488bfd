"""Questions: regions of images whose candidates somebody shall judge."""

from .questionnaire import Questionnaire

__all__ = ["Questionnaire"]
