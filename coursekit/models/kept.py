"""The cache of `cache.py` behind the attention of transformers' models."""

from transformers import Cache
from transformers.cache_utils import DynamicLayer

from coursekit.models.cache import extended


class KeptLayer(DynamicLayer):
    """A layer's past, a pair or None, used as it lies: transformers' own layer would copy it before every step."""

    def __init__(self, past=None):
        super().__init__()
        self.past = past
        if past is not None:
            self.lazy_initialization(*past)
            self.keys, self.values = past

    def update(self, keys, values, *_, **__):
        """Keys and values of new places (B, heads, T, E / heads) → those of all places."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        self.past = extended(self.past, keys, values)
        self.keys, self.values = self.past
        return self.keys, self.values


def kept(pasts):
    """A Cache over the pasts of all layers, or over nothing read yet (None)."""
    if not pasts:
        return Cache(layer_class_to_replicate=KeptLayer)
    return Cache(layers=[KeptLayer(past) for past in pasts])
