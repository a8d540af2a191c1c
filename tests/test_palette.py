"""Palettes: the exact one is the best there is, tokens go there and back, and a cost that adds up to 8 bits."""

from itertools import combinations

import numpy as np
import pytest
import torch

from coursekit.datasets.digits import load_digits
from coursekit.errors import CourseError
from coursekit.palette import Palette, histogram, reduced


def pictures(*greys):
    """One picture a row high of the greys given."""
    return torch.tensor([[list(greys)]], dtype=torch.uint8)


def random_pictures(seed, shape, most=256):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(most, shape, generator=generator).to(torch.uint8)


# --- making palettes


def least_error(values, counts, colours):
    """The least squared error of any cut into runs, by trying all of them."""
    best = np.inf
    for inner in combinations(range(1, len(values)), colours - 1):
        cuts = [0, *inner, len(values)]
        total = 0.0
        for i, j in zip(cuts, cuts[1:], strict=False):
            mean = np.average(values[i:j], weights=counts[i:j])
            total += (counts[i:j] * (values[i:j] - mean) ** 2).sum()
        best = min(best, total)
    return best


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("colours", [1, 2, 3, 5])
def test_no_cut_is_better_than_the_exact_one(seed, colours):
    rng = np.random.default_rng(seed)
    values = (
        np.sort(rng.choice(26, 9, replace=False)) * 10
    )  # so far apart that rounding moves no border
    counts = rng.integers(1, 40, 9)
    images = torch.from_numpy(np.repeat(values, counts).astype(np.uint8)).view(1, 1, -1)
    found = Palette.exact(images, colours).error(images) * counts.sum()
    # Centres are rounded to whole greys: by half a grey each at most
    best = least_error(values.astype(float), counts.astype(float), colours)
    assert best - 1e-6 <= found <= best + 0.25 * counts.sum() + 1e-6


def test_exact_is_no_worse_than_mini_batches_on_digits():
    images = load_digits("train", count=100).images
    for colours in (3, 8):
        exact, drawn = Palette.exact(images, colours), Palette.kmeans(images, colours)
        assert len(exact) == colours and exact.error(images) <= drawn.error(images) + 1e-9


def test_two_lumps_of_greys_have_their_means():
    images = pictures(10, 10, 16, 200, 210)
    for palette in (Palette.exact(images, 2), Palette.kmeans(images, 2)):
        assert palette.colours.tolist() == [12, 205] and palette.colours.dtype == torch.uint8


def test_fewer_greys_than_colours():
    images = pictures(0, 0, 255, 7)
    assert Palette.exact(images, 8).colours.tolist() == [0, 7, 255]
    assert Palette.kmeans(images, 8).colours.tolist() == [0, 7, 255]
    assert Palette.exact(images, 8).error(images) == 0
    assert Palette.exact(pictures(9, 9), 4).colours.tolist() == [9]


def test_a_seed_decides_the_mini_batches():
    images = random_pictures(0, (6, 20, 20))
    first, again = (Palette.kmeans(images, 5, seed=3) for _ in range(2))
    assert torch.equal(first.colours, again.colours)


def test_colours_dark_to_bright():
    images = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    images[0, :, 0, 0] = torch.tensor([255, 255, 255])
    images[0, :, 0, 1] = torch.tensor([0, 0, 255])  # blue is darker than green to the eye
    images[0, :, 1, 0] = torch.tensor([0, 255, 0])
    palette = Palette.kmeans(images, 4)
    assert palette.colours.tolist() == [[0, 0, 0], [0, 0, 255], [0, 255, 0], [255, 255, 255]]
    assert palette.encode(images).tolist() == [[3, 1, 2, 0]]
    last = images.permute(0, 2, 3, 1)
    assert torch.equal(palette.encode(last), palette.encode(images))
    assert torch.equal(palette.decode(palette.encode(images)), last) and palette.error(last) == 0
    assert torch.equal(Palette.kmeans(last, 4).colours, palette.colours)


@pytest.mark.parametrize("make", [Palette.exact, Palette.kmeans])
@pytest.mark.parametrize("images", [torch.zeros(0, 4, 4, dtype=torch.uint8), torch.zeros(2, 4, 4)])
def test_nothing_to_make_a_palette_of(make, images):
    with pytest.raises(CourseError, match="give at least one picture|convert them first"):
        make(images, 4)


@pytest.mark.parametrize("count", [0, -2, 257])
def test_a_count_that_is_none(count):
    for make in (Palette.exact, Palette.kmeans):
        with pytest.raises(CourseError, match=f"palette of {count} colours .*from 1 to 256"):
            make(pictures(1, 2, 3), count)


def test_exact_is_for_greys():
    with pytest.raises(CourseError, match="use Palette.kmeans for coloured"):
        Palette.exact(random_pictures(0, (2, 3, 4, 4)), 2)


# --- tokens


def test_nearest_colour_row_by_row():
    palette = Palette(torch.tensor([200, 0, 100], dtype=torch.uint8))
    assert palette.colours.tolist() == [0, 100, 200] and len(palette) == 3
    images = torch.tensor([[[0, 50, 51], [149, 151, 255]]], dtype=torch.uint8)
    tokens = palette.encode(images)  # 50 lies between two colours: the darker one
    assert tokens.tolist() == [[0, 0, 1, 1, 2, 2]] and tokens.dtype == torch.int64
    assert palette.decode(tokens, side=3).tolist() == [[[0, 0, 100], [100, 200, 200]]]


@pytest.mark.parametrize("colours", [1, 2, 7, 16])
def test_decoded_pictures_encode_to_the_same_tokens(colours):
    images = random_pictures(colours, (3, 11, 11))
    palette = Palette.exact(images, colours)
    tokens = palette.encode(images)
    restored = palette.decode(tokens)
    assert tokens.shape == (3, 121) and restored.shape == images.shape
    assert torch.equal(palette.encode(restored), tokens)
    assert ((images.double() - restored.double()) ** 2).mean() == pytest.approx(palette.error(images))  # fmt: skip


def test_rows_that_are_no_square():
    palette = Palette(torch.tensor([0, 255], dtype=torch.uint8))
    images = 255 * random_pictures(1, (2, 4, 7), most=2)
    assert torch.equal(palette.decode(palette.encode(images), side=7), images)
    half = palette.encode(images)[:, :14]
    assert torch.equal(palette.decode(half, side=7), images[:, :2])


@pytest.mark.parametrize(
    "tokens, side, sentence",
    [
        ([[0, 1, 2, 3]], None, "go from 0 to 2"),
        ([[0, -1, 2, 1]], None, "go from 0 to 2"),
        ([[0, 1, 2]], None, "3 tokens do not fill rows of 2"),
        ([[0, 1, 2, 1]], 3, "4 tokens do not fill rows of 3"),
        ([[]], None, "whole numbers|0 tokens"),
        ([0, 1, 2, 1], None, "one row a picture"),
        ([[0.0, 1.0, 1.0, 1.0]], None, "whole numbers"),
    ],
)
def test_tokens_that_are_no_picture(tokens, side, sentence):
    palette = Palette(torch.tensor([0, 100, 200], dtype=torch.uint8))
    with pytest.raises(CourseError, match=sentence):
        palette.decode(torch.tensor(tokens), side)


def test_pictures_of_the_other_kind():
    grey = Palette(torch.tensor([0, 255], dtype=torch.uint8))
    colour = Palette(torch.tensor([[0, 0, 0], [255, 0, 0]], dtype=torch.uint8))
    for palette, images in ((grey, (2, 3, 4, 4)), (colour, (2, 4, 4))):
        for use in (palette.encode, palette.error):
            with pytest.raises(CourseError, match="convert them first"):
                use(random_pictures(0, images))
    with pytest.raises(CourseError, match="neither one nor three channels"):
        grey.encode(random_pictures(0, (2, 4, 4, 4)))


@pytest.mark.parametrize(
    "colours", [torch.zeros(2, 2, dtype=torch.uint8), torch.zeros(3), torch.zeros(0).byte()]
)
def test_what_is_no_palette(colours):
    with pytest.raises(CourseError, match="give such colours|cannot be made"):
        Palette(colours)


# --- cost


def test_cost_of_a_colour_that_stands_for_several_greys():
    palette = Palette(torch.tensor([0, 200], dtype=torch.uint8))
    # token 0: 0 twice, 1 and 2 once each: 1, 2 and 2 bits; token 1: 200 alone, nothing to tell
    images = pictures(0, 0, 1, 2, 200, 200, 200, 200)
    greys = sum(shares * bits for shares, bits in ((2 / 8, 1), (1 / 8, 2), (1 / 8, 2)))
    # the other greys of the token are unseen, 98 (3 to 100) and 154: each counts half a time
    low, high = np.log2((4 + 98 / 2) / 4), np.log2((4 + 154 / 2) / 4)
    assert palette.cost(images) == pytest.approx(greys + (low + high) / 2)


def test_with_all_greys_seen_the_costs_are_entropies():
    images = torch.arange(256).repeat(3).to(torch.uint8).view(3, 16, 16)
    for colours, bits in ((1, 8), (2, 7), (16, 4), (256, 0)):
        assert Palette.exact(images, colours).cost(images) == pytest.approx(bits, abs=1e-2)


def test_tokens_and_cost_together_are_the_picture():
    """A unigram over tokens plus the palette's cost is the entropy of the greys, whatever the palette."""
    images = torch.cat([torch.arange(256).to(torch.uint8).view(1, 16, 16), random_pictures(2, (5, 16, 16), 90)])  # fmt: skip
    share = histogram(images) / images.numel()
    entropy = -(share * np.log2(share)).sum()
    for colours in (2, 5, 16):
        palette = Palette.exact(images, colours)
        tokens = palette.encode(images).flatten().bincount().double()
        tokens = -(tokens * (tokens / tokens.sum()).log2()).sum() / tokens.sum()
        assert float(tokens) + palette.cost(images) == pytest.approx(entropy)


def test_cost_is_fitted_on_other_pictures():
    palette = Palette(torch.tensor([0, 200], dtype=torch.uint8))
    fit = pictures(0, 0, 0, 0, 1, 200)
    rare, common = palette.cost(pictures(1), fit), palette.cost(pictures(0), fit)
    assert rare == pytest.approx(common + 2)
    assert rare + 1 == pytest.approx(palette.cost(pictures(2), fit))  # never seen: half a time
    with pytest.raises(CourseError, match="no pixels to count"):
        palette.cost(fit[:0])


# --- reducing, saving


def test_reduced_takes_means_of_areas():
    images = torch.tensor([[[0, 4, 255, 255], [4, 0, 255, 255], [1, 2, 0, 0], [3, 4, 0, 8]]])
    assert reduced(images.byte(), 2).tolist() == [[[2, 255], [2, 2]]]  # 2.5 rounds to the even 2
    assert torch.equal(reduced(images.byte(), 4), images.byte())
    assert reduced(images.byte(), 1).tolist() == [[[65]]]


@pytest.mark.parametrize("side", [28, 20, 14, 7, 1])
def test_reduced_keeps_the_mean_of_digits(side):
    images = load_digits("dev", count=50).images
    small = reduced(images, side)
    assert small.shape == (50, side, side) and small.dtype == torch.uint8
    if 28 % side == 0:
        assert abs(small.double().mean() - images.double().mean()) < 0.3


def test_reduced_colours_keep_their_order():
    first = random_pictures(0, (2, 3, 8, 8))
    small = reduced(first, 4)
    assert small.shape == (2, 3, 4, 4)
    assert torch.equal(reduced(first.permute(0, 2, 3, 1), 4), small.permute(0, 2, 3, 1))
    assert torch.equal(reduced(first[:, 0], 4), small[:, 0])


@pytest.mark.parametrize("side", [0, 29, -3])
def test_a_side_that_is_none(side):
    with pytest.raises(CourseError, match=f"cannot be reduced to {side}; choose a side from 1 to 28"):  # fmt: skip
        reduced(torch.zeros(1, 28, 28, dtype=torch.uint8), side)


def test_saved_and_loaded(tmp_path):
    for colours in (torch.tensor([3, 9, 200]), torch.tensor([[0, 0, 9], [255, 1, 2]])):
        palette = Palette(colours.byte())
        palette.save(tmp_path / "new" / "palette.npy")
        assert torch.equal(Palette.load(tmp_path / "new" / "palette.npy").colours, palette.colours)
    assert np.load(tmp_path / "new" / "palette.npy").dtype == np.uint8


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00", b"<html>", np.zeros(3), np.zeros((2, 2), np.uint8), np.array([None])])  # fmt: skip
def test_a_file_that_holds_no_palette(tmp_path, content):
    path = tmp_path / "palette.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    with pytest.raises(CourseError, match="palette"):
        Palette.load(path)
    with pytest.raises(CourseError, match="There is no palette"):
        Palette.load(tmp_path / "none.npy")


@pytest.mark.shared
def test_cost_on_mnist(shared_data, tmp_path):
    """The figures of the course: 0.850 bits a pixel at 8 greys, 0.667 at 16."""
    import gzip

    def read(name):
        data = gzip.decompress(
            (shared_data / "mnist" / f"{name}-images-idx3-ubyte.gz").read_bytes()
        )
        return torch.frombuffer(bytearray(data[16:]), dtype=torch.uint8).view(-1, 28, 28)

    train, test = read("train"), read("t10k")
    for colours, bits in ((8, 0.850), (16, 0.667)):
        palette = Palette.exact(train, colours)
        assert palette.cost(test, fit=train) == pytest.approx(bits, abs=0.001)
