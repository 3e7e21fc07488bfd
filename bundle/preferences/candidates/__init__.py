"""Candidate masks: how they are made, kept in files and compared."""

from .maker import CandidateMaker

__all__ = ["CandidateMaker"]
