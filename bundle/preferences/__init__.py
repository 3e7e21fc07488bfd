"""Preferences: candidates, questions, annotators and the store of judgements."""
