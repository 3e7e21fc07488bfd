"""Questions: regions of images whose candidates an annotator judges."""

from .questionnaire import Questionnaire

__all__ = ["Questionnaire"]
