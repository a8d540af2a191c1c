"""Captions you can look at: pictures, what people and models say of them, and where the models looked."""

from coursekit.gallery.gallery import Gallery, build, run
from coursekit.gallery.telling import ORDERS

__all__ = ["ORDERS", "Gallery", "build", "run"]
