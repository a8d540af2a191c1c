"""Experiments of many trainings: each one resumable, each result with its spread."""

from coursekit.studies.ablation import prefix_study
from coursekit.studies.factorial import Found, Row, Score, Study, run
from coursekit.studies.folds import Folds, crossvalidate, folds_of
from coursekit.studies.report import finding, text, write
from coursekit.studies.spread import effect, summary

__all__ = [
    "Folds",
    "Found",
    "Row",
    "Score",
    "Study",
    "crossvalidate",
    "effect",
    "finding",
    "folds_of",
    "prefix_study",
    "run",
    "summary",
    "text",
    "write",
]
