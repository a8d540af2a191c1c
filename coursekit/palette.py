"""Pictures to tokens and back: each pixel becomes the nearest of a few colours, row by row.

    images (B, H, W) ──reduced──▶ (B, side, side) ──encode──▶ tokens (B, H · W) ──decode──▶ images

Source: Chen et al., "Generative Pretraining from Pixels", 2020, section 3: pixels are clustered by k-means
and read in raster order.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from coursekit.errors import CourseError, writing

GREYS = 256
LUMA = torch.tensor(
    [0.299, 0.587, 0.114]
)  # how bright red, green and blue are to the eye (ITU-R BT.601)
PIXELS_AT_ONCE = 1 << 16  # of colour pictures, whose distances to all colours lie in memory
UNSEEN = 0.5  # how often a grey value counts that the histogram has never seen


def reduced(images, side):
    """Pictures with `side` × `side` pixels, each the mean of the area it covers: 28 to 14 takes means of 2 × 2.

    images: uint8 (B, H, W) grey, or (B, 3, H, W) or (B, H, W, 3) colour → uint8 of the same order.
    Raises CourseError for a side that is not from 1 to that of the pictures.
    """
    pixels = _channels_first(images)  # (B, C, H, W)
    if not 1 <= side <= min(pixels.shape[2:]):
        raise CourseError(
            f"Pictures of {pixels.shape[2]} × {pixels.shape[3]} cannot be reduced to {side}; choose a side from 1 to {min(pixels.shape[2:])}."
        )
    # In double precision, so that a mean of exactly one half rounds alike on every machine
    small = (
        F.adaptive_avg_pool2d(pixels.double(), side).round().to(torch.uint8)
    )  # (B, C, side, side)
    if images.ndim == 3:
        return small[:, 0]
    return small if images.shape[1] == 3 else small.permute(0, 2, 3, 1).contiguous()


@dataclass(frozen=True, eq=False)
class Palette:
    """V colours, dark to bright: `colours` uint8 (V,) for grey pictures, (V, 3) for coloured ones.

    Raises CourseError for colours of another shape or kind, or not from 1 to 256 of them.
    """

    colours: torch.Tensor

    def __post_init__(self):
        colours = torch.as_tensor(self.colours)
        grey = colours.ndim == 1
        if colours.dtype != torch.uint8 or not (
            grey or colours.ndim == 2 and colours.shape[1] == 3
        ):
            raise CourseError(
                f"A palette is uint8 (V,) or (V, 3), not {colours.dtype} {tuple(colours.shape)}; give such colours."
            )
        _check_count(len(colours), most=GREYS if grey else 1 << 16)
        brightness = colours.double() if grey else colours.double() @ LUMA.double()
        object.__setattr__(self, "colours", colours[brightness.argsort(stable=True)].contiguous())

    def __len__(self):
        return len(self.colours)

    def __str__(self):
        kind = "greys" if self.grey else "colours"
        shown = ", ".join(str(each) for each in self.colours[:16].tolist())
        return f"{len(self)} {kind}: {shown}{', …' if len(self) > 16 else ''}"

    @property
    def grey(self):
        """Whether it is for grey pictures."""
        return self.colours.ndim == 1

    @classmethod
    def exact(cls, images, colours):
        """The best palette of so many greys for grey pictures: no other has a smaller mean squared error.

        One-dimensional k-means by dynamic programming over the histogram of 256 values (Wang and Song,
        "Ckmeans.1d.dp", 2011), so its time does not depend on the number of pictures.  Centres are means, rounded;
        pictures with fewer different values than `colours` give a palette of those values.
        images: uint8 (B, H, W).  Raises CourseError for coloured pictures, none at all, or a count below 1.
        """
        counts = histogram(images)
        _check_count(colours)
        used = counts.nonzero()[0]
        if len(used) <= colours:
            return cls(torch.from_numpy(used.astype(np.uint8)))
        return cls(torch.from_numpy(_best_centres(used.astype(float), counts[used], colours)))

    @classmethod
    def kmeans(cls, images, colours, seed=0):
        """A palette by scikit-learn's MiniBatchKMeans, over every pixel of grey or coloured pictures.

        Centres are rounded, and those that become equal are one colour, so there may be fewer than asked for.
        images: uint8 (B, H, W), (B, 3, H, W) or (B, H, W, 3).  Raises CourseError for none, or a count below 1.
        """
        from sklearn.cluster import MiniBatchKMeans

        pixels = _channels_first(images).movedim(1, -1).flatten(0, -2)  # (pixels, C)
        _check_count(colours)
        if not len(pixels):
            raise CourseError(
                "There are no pixels to make a palette of; give at least one picture."
            )
        present = _different(pixels)  # (colours that occur, C)
        if len(present) > colours:
            means = MiniBatchKMeans(colours, random_state=seed, batch_size=4096, n_init=3)
            centres = torch.from_numpy(means.fit(pixels.float().numpy()).cluster_centers_)  # (V, C)
            present = centres.round().clamp(0, 255).to(torch.uint8).unique(dim=0)
        return cls(present[:, 0] if present.shape[1] == 1 else present)

    def encode(self, images):
        """Tokens of pictures: for each pixel the number of the nearest colour, row by row from the top left.

        images: uint8 (B, H, W) for greys; (B, 3, H, W) or (B, H, W, 3) for colours, and where both could be meant the
        first → int64 (B, H · W).  Of two colours equally near the darker one is taken.
        Raises CourseError for pictures of the other kind.
        """
        pixels = self._pixels(images)  # (B, H, W) or (B, H, W, 3)
        if self.grey:
            return self._nearest_grey().to(pixels.device)[pixels.long()].flatten(1)  # (B, H · W)
        flat = pixels.reshape(-1, 3).float()  # (pixels, 3)
        near = [self._distances(part).argmin(1) for part in flat.split(PIXELS_AT_ONCE)]
        return torch.cat(near).view(len(pixels), -1)  # (B, H · W)

    def decode(self, tokens, side=None):
        """Pictures of tokens (B, T): uint8 (B, H, side), or (B, H, side, 3) of colours.

        side: pixels of a row; None for square pictures.  Fewer tokens than a square are whole rows if `side` is given.
        Raises CourseError for a token that is no colour's number, or tokens that do not fill their rows.
        """
        tokens = torch.as_tensor(tokens)
        if tokens.ndim != 2 or tokens.is_floating_point():
            raise CourseError(
                f"Tokens are whole numbers (B, T), not {tuple(tokens.shape)}; give one row a picture."
            )
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < len(self):
            raise CourseError(
                f"Tokens of this palette go from 0 to {len(self) - 1}; decode with the palette that made them."
            )
        side = side or round(tokens.shape[1] ** 0.5)
        if not side or tokens.shape[1] % side or (tokens.shape[1] == 0):
            raise CourseError(
                f"{tokens.shape[1]} tokens do not fill rows of {side}; say how long a row is with side=…."
            )
        picture = (tokens.shape[1] // side, side)
        return self.colours.to(tokens.device)[tokens.long()].unflatten(
            1, picture
        )  # (B, H, side[, 3])

    def cost(self, images, fit=None):
        """Bits a pixel that the palette itself leaves open, −log2 p(x | code(x)): what tells the grey from its token.

        p comes from the histogram of `fit` (None: of `images` themselves); a grey that it has not seen counts as if it
        had occurred half a time.  A model's bits a pixel over tokens plus this cost is a likelihood of the
        8-bit picture, comparable between palettes.  images, fit: uint8 (B, H, W).
        Raises CourseError for coloured pictures, or none.
        """
        seen = histogram(images if fit is None else fit)
        counts = np.where(seen > 0, seen, UNSEEN)
        code = self._nearest_grey().numpy()  # (256,)
        whole = np.bincount(code, weights=counts, minlength=len(self))[
            code
        ]  # (256,): of its colour
        shares = histogram(images)
        return float((shares * np.log2(whole / counts)).sum() / shares.sum())

    def error(self, images):
        """Mean squared error of a pixel (of each of its channels) after encoding and decoding."""
        pixels = self._pixels(images)
        if self.grey:
            off = (torch.arange(GREYS) - self.colours.int()[self._nearest_grey()]) ** 2.0  # (256,)
            counts = torch.from_numpy(histogram(images))
            return float((off * counts).sum() / counts.sum())
        restored = self.decode(self.encode(images), pixels.shape[2])
        return float(((pixels.float() - restored.float()) ** 2).mean())

    def save(self, path):
        """Writes the colours as a .npy file, dark to bright."""
        with writing(path) as part, open(part, "wb") as file:
            np.save(file, self.colours.numpy())

    @classmethod
    def load(cls, path):
        """The palette that `save` wrote. Raises CourseError for a file that is missing or holds none."""
        try:
            return cls(torch.from_numpy(np.load(path, allow_pickle=False)))
        except FileNotFoundError as error:
            raise CourseError(f"There is no palette {path}; check the name.") from error
        except (OSError, ValueError, TypeError, EOFError, AttributeError) as error:
            raise CourseError(
                f"{path} is not a palette as Palette.save writes it; make it anew."
            ) from error

    def _nearest_grey(self):
        return self._distances(torch.arange(GREYS).float()[:, None]).argmin(1)  # (256,)

    def _distances(self, pixels):
        colours = self.colours.to(pixels.device).float().view(len(self), -1)  # (V, C)
        return ((pixels[:, None] - colours) ** 2).sum(2)  # (pixels, V)

    def _pixels(self, images):
        """The pictures with channels last, if they are of the palette's kind."""
        pixels = _channels_first(images)
        if self.grey != (images.ndim == 3):
            kind = "grey pictures (B, H, W)" if self.grey else "coloured pictures (B, 3, H, W)"
            raise CourseError(
                f"This palette is for {kind}, not {tuple(images.shape)}; convert them first."
            )
        return images if self.grey else pixels.permute(0, 2, 3, 1)


def histogram(images):
    """How often each of the 256 greys occurs in grey pictures: float64 (256,).

    images: uint8 (B, H, W).  Raises CourseError for others, or none at all.
    """
    if _channels_first(images).shape[1] != 1:
        raise CourseError(
            "Only grey pictures have a histogram of greys; use Palette.kmeans for coloured ones."
        )
    if not images.numel():
        raise CourseError("There are no pixels to count; give at least one picture.")
    # In parts: bincount makes eight bytes of each pixel
    parts = images.cpu().flatten().split(1 << 20)
    return sum(np.bincount(part.numpy(), minlength=GREYS) for part in parts).astype(float)


def _different(pixels):
    """The colours that occur among pixels (n, C), each once: uint8 (colours that occur, C)."""
    powers = (GREYS ** torch.arange(pixels.shape[1])).int()
    numbers = (
        (pixels.int() * powers).sum(1, dtype=torch.int32).unique()
    )  # sorting rows takes far longer
    return (numbers[:, None] // powers % GREYS).to(torch.uint8)


def _best_centres(values, counts, colours):
    """Means of the cut of sorted `values` (n,) into runs with the least squared error, as uint8 (colours,).

    least[k][j] is the error of the first j values in k runs: the minimum over i of least[k - 1][i] and the error of one
    run from i to j.
    """
    errors = _run_errors(values, counts)  # (n + 1, n + 1)
    least, starts = errors[0], []
    for _ in range(colours - 1):
        whole = least[:, None] + errors  # (n + 1, n + 1): last run begins at i, ends before j
        starts.append(whole.argmin(0))
        least = whole.min(0)
    cuts = [len(values)]
    for start in reversed(starts):
        cuts.append(start[cuts[-1]])
    runs = zip([0, *cuts[:0:-1]], cuts[::-1], strict=True)
    return np.array(
        [round(np.average(values[i:j], weights=counts[i:j])) for i, j in runs], np.uint8
    )


def _run_errors(values, counts):
    """Squared error of each run values[i:j] around its mean, (n + 1, n + 1); infinite where j <= i."""
    powers = [np.concatenate([[0.0], np.cumsum(counts * values**p)]) for p in range(3)]
    number, total, squares = (each[None, :] - each[:, None] for each in powers)  # (n + 1, n + 1)
    later = np.triu(np.ones(number.shape, bool), 1)
    error = squares - total**2 / np.where(later, number, 1.0)
    return np.where(later, np.maximum(error, 0.0), np.inf)


def _channels_first(images):
    """Grey or coloured pictures as (B, C, H, W). Raises CourseError if they are neither."""
    if not hasattr(images, "ndim") or images.dtype != torch.uint8 or images.ndim not in (3, 4):
        raise CourseError(
            "Pictures are uint8 (B, H, W), or (B, 3, H, W) in colour; convert them first."
        )
    if images.ndim == 3:
        return images[:, None]
    if images.shape[1] == 3:
        return images
    if images.shape[3] == 3:
        return images.permute(0, 3, 1, 2)
    raise CourseError(
        f"Pictures of shape {tuple(images.shape)} have neither one nor three channels; convert them first."
    )


def _check_count(colours, most=GREYS):
    if not 1 <= colours <= most:
        raise CourseError(
            f"A palette of {colours} colours cannot be made; choose from 1 to {most}."
        )
