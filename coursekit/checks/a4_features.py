"""The check of assignment a4 about what a model keeps at its places: the features of a picture."""

import numpy as np
import torch

from coursekit.checks.a3_language import weight
from coursekit.checks.core import Wrong, as_array, exercise, expect_close, expect_shape

SIZES = dict(colours=5, side=3, dim=6, heads=3, layers=2, dropout=0.4)
PICTURES = torch.tensor([[3, 0, 4, 4, 1, 2, 3], [1, 1, 3, 0, 2, 4, 4], [0, 4, 2, 3, 1, 0, 3],
                         [2, 2, 0, 1, 4, 3, 1], [4, 1, 0, 0, 3, 3, 2]])  # fmt: skip
# One list for each layer, one row for each picture
FEATURES = [
    [[-0.2517, -0.0295, 0.1526, 0.2326, 0.0627, 0.0530],
     [-0.2354, 0.0959, 0.1897, 0.2443, 0.1856, 0.1136],
     [-0.2846, 0.1179, 0.0224, 0.2446, 0.1442, -0.0074],
     [-0.1724, 0.0819, 0.1602, 0.2453, 0.2187, 0.1437],
     [-0.3066, 0.0188, -0.1169, 0.1488, 0.1302, -0.0103]],
    [[-3.0019, 0.5478, -1.2856, -0.4505, 0.2270, 0.5362],
     [-3.2444, 1.0593, -1.8824, -0.8107, 0.9513, 0.6931],
     [-3.6848, 1.2953, -2.5227, -1.2102, 0.9914, 0.7978],
     [-3.2365, 0.9700, -1.9131, -0.9398, 0.8665, 0.9825],
     [-3.4914, 1.1343, -2.3923, -1.0579, 0.9414, 0.6664]],
    [[-1.4663, 0.4963, -0.5204, -0.3897, 0.8109, 0.9017],
     [-1.4423, 0.6693, -0.9750, -0.5138, 1.2224, 0.4792],
     [-1.4155, 0.6958, -1.1851, -0.5730, 1.2217, 0.7804],
     [-1.5150, 0.6301, -1.0045, -0.5129, 1.1495, 0.8352],
     [-1.4594, 0.6404, -1.0423, -0.5017, 1.1893, 0.6769]],
]  # fmt: skip
# Features of the first picture by layer, as they come out with a mistake
MISTAKES = {
    0: [
        ([-0.3280, -0.0428, 0.1040, 0.1293, 0.2037, 0.1017],
         "the pixels are read as they are; the start comes first, and the last pixel goes"),
        ([-0.4182, 0.0924, 0.1057, 0.2246, 0.1431, -0.0465],
         "the start is token start_id, and not colour 0"),
        ([-0.1500, -0.1488, 0.1336, 0.1119, 0.1921, 0.0272],
         "all pixels are read behind the start; the last one goes"),
        ([-0.0851, -0.0890, 0.0370, 0.4179, 0.0111, 0.0441],
         "no positions are added"),
        ([-3.0019, 0.5478, -1.2856, -0.4505, 0.2270, 0.5362],
         "one block too many"),
        ([-5.2213, 0.9095, -2.9508, -1.7055, -0.4048, -0.0689],
         "all blocks are used; the first `layer` of them are asked for"),
        ([-0.5283, 0.1277, 0.3402, -0.2883, 0.5674, 0.3701],
         "the norm belongs to the last layer alone"),
        ([-0.3759, 0.8046, 0.0773, 0.5713, 0.8068, 0.0741],
         "these are the numbers at the last place; the mean over all is wanted"),
        ([1.1072, -0.4375, -0.0126, 0.0291, -0.0781, 0.5324],
         "these are the numbers at the first place, where the start stands; the mean over all is wanted"),
        ([-1.7620, -0.2065, 1.0685, 1.6284, 0.4387, 0.3708],
         "the sum over the places; the mean is wanted"),
        ([1.1072, 0.8046, 1.1745, 0.9818, 0.8068, 0.6992],
         "the largest over the places; the mean is wanted"),
        ([-0.4782, 0.0385, 0.1802, 0.2666, 0.0861, -0.0269],
         "the mean leaves out the first place; it counts, too"),
        ([-0.6534, -0.0766, 0.3963, 0.6039, 0.1627, 0.1375],
         "divided by its length: the mean alone is wanted"),
    ],
    1: [
        ([-3.8216, 1.6082, -2.9925, -1.8349, 1.7585, 1.6550],
         "the pixels are read as they are; the start comes first, and the last pixel goes"),
        ([-2.7546, 0.8428, -1.3323, -0.5561, 0.4991, 0.3905],
         "the start is token start_id, and not colour 0"),
        ([-2.8130, 0.5839, -1.4506, -0.9361, 0.3447, 0.8042],
         "all pixels are read behind the start; the last one goes"),
        ([-3.1675, 1.2071, -2.5443, -1.6964, 0.9180, 1.0062],
         "no positions are added"),
        ([-0.2517, -0.0295, 0.1526, 0.2326, 0.0627, 0.0530],
         "one block too few"),
        ([-5.2213, 0.9095, -2.9508, -1.7055, -0.4048, -0.0689],
         "one block too many"),
        ([-5.2213, 0.9095, -2.9508, -1.7055, -0.4048, -0.0689],
         "all blocks are used; the first `layer` of them are asked for"),
        ([-2.9733, 1.1345, -2.1133, -1.2071, 1.0589, 1.0694],
         "causal=False; the model reads as it does when it draws"),
        ([-1.2559, 0.3672, -0.3786, -0.3446, 0.7980, 0.8402],
         "the norm belongs to the last layer alone"),
        ([-4.3722, 2.5541, -3.3744, -0.1151, 3.0026, 0.9931],
         "these are the numbers at the last place; the mean over all is wanted"),
        ([-1.2382, -2.4015, 1.4908, 0.3902, -4.4982, -0.0589],
         "these are the numbers at the first place, where the start stands; the mean over all is wanted"),
        ([-21.0132, 3.8343, -8.9991, -3.1534, 1.5891, 3.7532],
         "the sum over the places; the mean is wanted"),
        ([-1.2382, 2.5541, 2.9864, 1.5447, 3.0026, 3.4870],
         "the largest over the places; the mean is wanted"),
        ([-3.2958, 1.0393, -1.7483, -0.5906, 1.0145, 0.6353],
         "the mean leaves out the first place; it counts, too"),
        ([-0.8850, 0.1615, -0.3790, -0.1328, 0.0669, 0.1581],
         "divided by its length: the mean alone is wanted"),
    ],
    2: [
        ([-0.8936, 0.8884, -1.4164, -0.8022, 1.3324, 0.4365],
         "the pixels are read as they are; the start comes first, and the last pixel goes"),
        ([-1.5350, 0.5605, -0.7035, -0.3913, 0.9636, 0.6867],
         "the start is token start_id, and not colour 0"),
        ([-1.3381, 0.5237, -0.6427, -0.4762, 0.8633, 1.0090],
         "all pixels are read behind the start; the last one goes"),
        ([-1.0214, 0.8829, -1.3989, -0.6102, 1.1283, 0.2640],
         "no positions are added"),
        ([-1.2559, 0.3672, -0.3786, -0.3446, 0.7980, 0.8402],
         "one block too few"),
        ([-1.1134, 0.8031, -0.1386, -0.6345, 0.7876, 0.0115],
         "this block alone is used; the first `layer` of them are asked for"),
        ([-0.8769, 0.7430, -0.9985, -0.6721, 1.0282, 0.5573],
         "causal=False; the model reads as it does when it draws"),
        ([-5.2213, 0.9095, -2.9508, -1.7055, -0.4048, -0.0689],
         "the norm is missing: it belongs to the last layer"),
        ([-1.6658, 0.7693, -1.7491, -0.5644, 1.6386, 0.6166],
         "these are the numbers at the last place; the mean over all is wanted"),
        ([-1.5376, -0.1291, 1.5469, -0.0110, -0.5204, 1.9506],
         "these are the numbers at the first place, where the start stands; the mean over all is wanted"),
        ([-10.2644, 3.4738, -3.6429, -2.7282, 5.6766, 6.3118],
         "the sum over the places; the mean is wanted"),
        ([-0.8342, 0.8632, 2.6043, 0.0594, 1.6386, 2.1773],
         "the largest over the places; the mean is wanted"),
        ([-1.4545, 0.6005, -0.8650, -0.4529, 1.0328, 0.7269],
         "the mean leaves out the first place; it counts, too"),
        ([-2.4750, 0.7384, -1.0819, -0.4406, 1.0854, 1.3949],
         "the norm comes behind the mean; it belongs in front of it"),
        ([-0.7080, 0.2396, -0.2513, -0.1882, 0.3915, 0.4353],
         "divided by its length: the mean alone is wanted"),
    ],
}  # fmt: skip
WHERE = {0: "the embeddings, positions added", 1: "what comes out of the first block"}


@exercise("features")
def features(answer, build, sizes=SIZES, tokens=PICTURES, key=0.0, expected=FEATURES):
    """answer(model, tokens (M, T), layer, batch) -> (M, E); build(**sizes) -> a model of the given layers.

    Its buffer `most`, if it has one, is the largest number of pictures that went through a block at once.
    """
    model = _built(build, sizes, key)
    before = {name: part.clone() for name, part in _weights(model).items()}
    for layer, wanted in enumerate(expected):
        _layer(answer, model, tokens, layer, wanted, sizes, known=tokens is PICTURES)
        model.train()
    after = _weights(model)
    if any(not torch.equal(part, after[name]) for name, part in before.items()):
        raise Wrong("the model's weights are left as they were", "they were changed", None)
    for batch in (1, 2, len(tokens)):
        _batch(answer, _built(build, sizes, key), tokens, sizes, batch, expected[-1])


def _built(build, sizes, key):
    """A model with given weights, in training mode: so dropout is at work where nobody turns it off."""
    model = build(**sizes)
    shapes = {name: part.shape for name, part in model.named_parameters()}
    model.load_state_dict(
        {name: weight(name, shape, key) for name, shape in shapes.items()}, strict=False
    )
    model.train()
    return model


def _weights(model):
    parts = {name: torch.as_tensor(part) for name, part in model.state_dict().items()}
    return {name: part for name, part in parts.items() if name != "most"}


def _batch(answer, model, tokens, sizes, batch, wanted):
    M = len(tokens)
    got = answer(model, tokens.clone(), sizes["layers"], batch)
    why = "each part of at most `batch` pictures, the last short one too, in the order of the pictures"
    name = f"features of {M} pictures, {batch} at once,"
    expect_shape(got, (M, sizes["dim"]), name, why)
    expect_close(got, wanted, name, 2e-4, why)
    most = int(torch.as_tensor(model.state_dict().get("most", 0)))
    if most > batch:
        why = "memory would run out: parts of `batch` pictures, as split makes them; chunk makes `batch` parts"
        raise Wrong(f"at most {batch} pictures in the model at once", f"{most}", why)


def _asked(answer, model, tokens, layer):
    """What an answer returns; a call of the model itself does not count as nothing written."""
    try:
        return answer(model, tokens, layer, 100)
    except NotImplementedError as error:
        if "forward" not in str(error):
            raise
        why = "take its parts, one after the other: tokens, positions, blocks, norm"
        raise Wrong(
            "features by the layers of the model", "a call of the model itself", why
        ) from None


def _layer(answer, model, tokens, layer, wanted, sizes, known):
    given, (M, T) = tokens.clone(), tokens.shape
    name = f"features of layer {layer}"
    got = _asked(answer, model, given, layer)
    if not torch.equal(given, tokens):
        raise Wrong(
            "the given tokens are left as they were", "they were changed", "make a new tensor"
        )
    array = expect_shape(got, (M, sizes["dim"]), name, _why_shape(got, M, T, sizes))
    close = np.abs(array - np.array(wanted)).max() <= 2e-4
    if not close:
        model.train()
        again = as_array(answer(model, given, layer, 100), name)
        if np.abs(again - array).max() > 1e-5:
            raise Wrong(
                f"the same {name} at each call", "others", "dropout is at work: model.eval() first"
            )
        rows = MISTAKES.get(layer, []) if known else []
        near = [why for row, why in rows if np.allclose(array[0], row, atol=3e-4)]
        meant = (
            WHERE.get(layer) if layer < sizes["layers"] else "behind the last block, and its norm"
        )
        expect_close(array, wanted, name, 2e-4, near[0] if near else meant)
    if getattr(got, "requires_grad", False):
        why = "torch.no_grad(): with all graphs of all pictures, memory would run out"
        raise Wrong(f"{name} without a gradient", "with one", why)


def _why_shape(got, M, T, sizes):
    E = sizes["dim"]
    return {
        (M, T, E): "the mean over the places is missing",
        (M, T): "the mean is over the T places, axis 1, not over the E numbers",
        (T, E): "the mean is over the T places of each picture, not over the pictures",
        (M, T * E): "the mean over the places, not all of them side by side",
        (E,): "one row of E numbers for each picture",
        (1, E): "one row of E numbers for each picture",
        (M, sizes["colours"]): "these are logits: features are taken in front of the head",
        (M, 1, E): "(M, E): the axis of the places goes",
        (1, M, E): "torch.cat puts the parts one below the other; torch.stack makes a new axis",
        (0, E): "the last part may be shorter than `batch`; it counts, too",
    }.get(tuple(np.shape(got)) if got is not None else ())
