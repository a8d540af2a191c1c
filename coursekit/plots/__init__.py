"""Figures in the house style: charts of what was measured, diagrams of how a model runs."""

from coursekit.plots.attention import attention_alt, attention_maps
from coursekit.plots.charts import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALETTE,
    PINK,
    RED,
    SKY,
    bars,
    heat,
    lines,
    loss_curves,
    panels,
    show,
    show_pictures,
    stories,
)
from coursekit.plots.diagrams import recurrent, unrolled

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PALETTE",
    "PINK",
    "RED",
    "SKY",
    "attention_alt",
    "attention_maps",
    "bars",
    "heat",
    "lines",
    "loss_curves",
    "panels",
    "recurrent",
    "show",
    "show_pictures",
    "stories",
    "unrolled",
]
