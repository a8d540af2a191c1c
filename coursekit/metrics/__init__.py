"""Scores: captions against references, and what a caption claims against what is in the scene."""
