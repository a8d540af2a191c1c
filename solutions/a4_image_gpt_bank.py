"""Answers that prove the tests of assignment a4: wrong ones, each a mistake that students make, and right ones
written in another way. A wrong answer loses exactly the points of `loses`, and `message` is in its verdict.

Most are the model answer with one thing changed. Questions stay independent: a wrong part loses nothing in the
training and the probe, because the course's own stands in there.
"""

# fmt: off
from coursekit.grading.bank import Answers

answers = Answers(__file__)
wrong, right, WRONG, RIGHT = answers.wrong, answers.right, answers.WRONG, answers.RIGHT


# --- palette ------------------------------------------------------------------------------------
FAR = "(images[..., None].int() - colours.int()).abs()"
NEAREST = "far.argmin(-1).flatten(1)"
RESTORED = "colours[tokens].unflatten(1, (-1, width))"
WRAPS = "uint8 wraps"
wrong("palette", "bytes-wrap", (FAR, "(images[..., None] - colours).abs()"), message=WRAPS)
wrong("palette", "bytes-wrap-then-int", (FAR, "(images[..., None] - colours).int().abs()"), message=WRAPS)
wrong("palette", "bytes-wrap-when-squared", (FAR, "(images[..., None] - colours) ** 2"), message=WRAPS)
wrong("palette", "numpy-bytes-wrap", (FAR, "torch.from_numpy(np.abs(images.numpy()[..., None] - colours.numpy()))"), message=WRAPS)
wrong("palette", "int8", (FAR, "(images[..., None].to(torch.int8).int() - colours.int()).abs()"), message="int8 does not hold 0 to 255")
wrong("palette", "no-abs", (FAR, "images[..., None].int() - colours.int()"), message="the distance may be negative")
wrong("palette", "no-abs-other-way", (FAR, "colours.int() - images[..., None].int()"), message="the distance may be negative")
wrong("palette", "colour-above", message="the colour at or above the pixel", source='''
def quantise(images, colours):
    found = torch.bucketize(images.int(), colours.int())
    return found.clamp(max=len(colours) - 1).flatten(1)


def restore(tokens, colours, width):
    return colours[tokens].unflatten(1, (-1, width))
''')
wrong("palette", "even-steps", (FAR, "(images[..., None].int() * len(colours) // 256 - torch.arange(len(colours))).abs()"), message="counts on colours that stand evenly")
wrong("palette", "even-steps-rounded", (FAR, "((images[..., None] / 255 * (len(colours) - 1)).round() - torch.arange(len(colours))).abs()"), message="counts on colours that stand evenly")
wrong("palette", "farthest", (NEAREST, "far.argmax(-1).flatten(1)"), message="the largest distance is taken")
wrong("palette", "brighter-of-two", (NEAREST, "(len(colours) - 1 - far.flip(-1).argmin(-1)).flatten(1)"), message="the darker one")
wrong("palette", "column-by-column", (NEAREST, "far.argmin(-1).mT.flatten(1)"), message="raster order")
wrong("palette", "not-in-a-row", (NEAREST, "far.argmin(-1)"), message="one row of tokens for each picture")
wrong("palette", "pictures-joined", (NEAREST, "far.argmin(-1).flatten()"), message="the pictures stay apart")
wrong("palette", "distances", (NEAREST, "far.flatten(1, 2)"), message="these are distances to all colours")
wrong("palette", "greys-as-tokens", (NEAREST, "colours[far.argmin(-1)].long().flatten(1)"), message="not its grey")
wrong("palette", "floats", (NEAREST, NEAREST + ".float()"), message="tokens of an integer type")
wrong("palette", "over-the-wrong-axis", (NEAREST, "far.argmin(0).flatten(1)"), message="expected")
wrong("palette", "images-in-place", ("    return far", "    images.add_(1)\n    return far"), message="are left as they were")
wrong("palette", "nothing-returned", ("return far", "far"), message="the function does not return its result")
wrong("palette", "tokens-restored-as-greys", (RESTORED, "tokens.unflatten(1, (-1, width)).to(torch.uint8)"), message="these are the tokens")
wrong("palette", "height-for-width", (RESTORED, "colours[tokens].unflatten(1, (width, -1))"), message="width is the last axis")
wrong("palette", "restored-by-columns", (RESTORED, "colours[tokens].unflatten(1, (width, -1)).mT"), message="raster order: the first `width` tokens are the top row")
wrong("palette", "not-restored-to-rows", (RESTORED, "colours[tokens]"), message="pictures of shape")
wrong("palette", "restored-as-numbers", (RESTORED, "colours.long()[tokens].unflatten(1, (-1, width))"), message="pictures of uint8")
wrong("palette", "restored-to-shares", (RESTORED, "(colours / 255)[tokens].unflatten(1, (-1, width))"), message="the restored pictures")
wrong("palette", "square-only", loses=["hidden"], message="palette, on other data", source='''
def quantise(images, colours):
    far = (images[..., None].int() - colours.int()).abs()
    return far.argmin(-1).reshape(len(images), -1)


def restore(tokens, colours, width):
    return colours[tokens].reshape(-1, 3, 4)
''')
right("palette", "a-table-of-all-greys", source='''
def quantise(images, colours):
    greys = torch.arange(256.0)
    table = (greys[:, None] - colours.float()).square().argmin(1)
    return table[images.long()].view(images.shape[0], -1)


def restore(tokens, colours, width):
    return torch.stack([colours[one].view(-1, width) for one in tokens])
''')
right("palette", "numpy-and-borders", source='''
def quantise(images, colours):
    palette = colours.numpy().astype(float)
    borders = (palette[1:] + palette[:-1]) / 2
    return np.searchsorted(borders, images.numpy().reshape(len(images), -1).astype(float), side="left")


def restore(tokens, colours, width):
    return colours.numpy()[tokens.numpy()].reshape(len(tokens), -1, width)
''')
right("palette", "pixel-by-pixel", source='''
def quantise(images, colours):
    greys, rows = colours.tolist(), []
    for image in images.tolist():
        row = []
        for line in image:
            for pixel in line:
                best = 0
                for number, grey in enumerate(greys):
                    if abs(pixel - grey) < abs(pixel - greys[best]):
                        best = number
                row.append(best)
        rows.append(row)
    return torch.tensor(rows)


def restore(tokens, colours, width):
    B, T = tokens.shape
    image = torch.empty(B, T // width, width, dtype=torch.uint8)
    for t in range(T):
        image[:, t // width, t % width] = colours[tokens[:, t]]
    return image
''')
right("palette", "float64-and-gather", (FAR, "torch.cdist(images.flatten()[:, None].double(), colours[:, None].double()).view(*images.shape, -1)"),
      (RESTORED, "colours.expand(len(tokens), -1).gather(1, tokens).view(len(tokens), -1, width)"))

# --- model --------------------------------------------------------------------------------------
SHIFT = "F.pad(tokens[:, :-1], (1, 0), value=start_id)"
EMBED = "self.tokens(ids) + self.positions.weight[: ids.shape[1]]"
LOOP = "        for block in self.blocks:\n            x = block(x, causal=causal)\n"
OUT = "self.head(self.norm(x))"
FORWARD = "self.read(shift(tokens, self.start_id), causal=True)"
BOTH = "self.read(tokens.masked_fill(masked, self.start_id), causal=False)"
FIXED = (FORWARD, "self.read(F.pad(tokens[:, :-1], (1, 0), value=self.start_id), causal=True)")
wrong("model", "start-and-all-pixels", (SHIFT, "F.pad(tokens, (1, 0), value=start_id)"), FIXED, message="the last pixel is never read")
wrong("model", "no-start", (SHIFT, "tokens[:, :-1]"), FIXED, message="the start token is missing")
wrong("model", "nothing-shifted", (SHIFT, "tokens"), FIXED, message="the start token is missing")
wrong("model", "start-at-the-end", (SHIFT, "F.pad(tokens[:, 1:], (0, 1), value=start_id)"), FIXED, message="the start stands in front, and the last token goes")
wrong("model", "start-over-the-first-pixel", (SHIFT, "torch.cat([torch.full_like(tokens[:, :1], start_id), tokens[:, 1:]], 1)"), FIXED,
      message="the start takes no pixel's place")
wrong("model", "last-pixel-in-front", (SHIFT, "tokens.roll(1, 1)"), FIXED, message="start_id stands in front, not 0")
wrong("model", "black-in-front", (SHIFT, "F.pad(tokens[:, :-1], (1, 0))"), FIXED, message="start_id stands in front, not 0")
wrong("model", "start-twice", (SHIFT, "F.pad(tokens[:, :-2], (2, 0), value=start_id)"), FIXED, message="the start stands there once")
wrong("model", "shifted-in-place", (SHIFT, "shifted_in_place(tokens, start_id)"), FIXED, ("def shift(", "def shifted_in_place(tokens, start_id):\n    tokens[:, 1:] = tokens[:, :-1].clone()\n"
      "    tokens[:, 0] = start_id\n    return tokens\n\n\ndef shift("), message="writes into the caller's tensor")
wrong("model", "start-for-the-first-picture", (SHIFT, "torch.cat([torch.full((len(tokens), 1), start_id) * (torch.arange(len(tokens)) == 0)[:, None], tokens[:, :-1]], 1)"), FIXED,
      message="the start stands in front of every picture")
wrong("model", "shifted-to-floats", (SHIFT, "F.pad(tokens[:, :-1].float(), (1, 0), value=start_id)"), FIXED, message="embeddings want int64")
wrong("model", "start-above-the-largest-pixel", (SHIFT, "F.pad(tokens[:, :-1], (1, 0), value=int(tokens.max()) + 1)"), FIXED, message="(start_id 9)")
wrong("model", "forward-not-shifted", (FORWARD, "self.read(tokens, causal=True)"), message="not shifted: each place sees the very pixel")
wrong("model", "forward-shifted-twice", (FORWARD, "self.read(shift(shift(tokens, self.start_id), self.start_id), causal=True)"), message="shifted twice")
wrong("model", "forward-not-causal", (FORWARD, "self.read(shift(tokens, self.start_id), causal=False)"), message="causal=True is missing")
wrong("model", "causal-forgotten-in-blocks", ("x = block(x, causal=causal)", "x = block(x, causal=False)"), message="causal=True is missing")
wrong("model", "always-causal", ("x = block(x, causal=causal)", "x = block(x, causal=True)"), message="every place sees all others")
wrong("model", "logits-shifted-again", (FORWARD, FORWARD + "[:, 1:]"), message="the first pixel is guessed, too")
wrong("model", "one-place-too-many", (FORWARD, "self.read(F.pad(tokens, (1, 0), value=self.start_id), causal=True)"), message="as many places as pixels")
wrong("model", "starts-with-black", (FORWARD, "self.read(shift(tokens, 0), causal=True)"), message="the start is token start_id, and not colour 0")
wrong("model", "start-above-what-comes", (FORWARD, "self.read(shift(tokens, int(tokens.max()) + 1), causal=True)"), message="start")
wrong("model", "start-from-the-end", (FORWARD, "self.read(shift(tokens, self.start_id - 1), causal=True)"), message="expected")
wrong("model", "no-positions", (EMBED, "self.tokens(ids)"), message="no positions are added")
wrong("model", "positions-one-late", (EMBED, "self.tokens(ids) + self.positions.weight[1 : ids.shape[1] + 1]"), message="positions are one too late")
wrong("model", "positions-of-tokens", (EMBED, "self.tokens(ids) + self.positions(ids)"), message="expected")
wrong("model", "positions-from-the-end", (EMBED, "self.tokens(ids) + self.positions.weight[-ids.shape[1] :]"), message="expected")
wrong("model", "all-positions", (EMBED, "self.tokens(ids) + self.positions.weight"), message="RuntimeError")
wrong("model", "dropout-of-its-own", (EMBED, f"F.dropout({EMBED}, 0.1)"), message="is there another one")
wrong("model", "no-norm", (OUT, "self.head(x)"), message="the norm in front of the head is missing")
wrong("model", "norm-in-front", (EMBED, f"self.norm({EMBED})"), (OUT, "self.head(x)"), message="the norm comes in front of the blocks")
wrong("model", "norm-after-every-block", ("x = block(x, causal=causal)", "x = self.norm(block(x, causal=causal))"), (OUT, "self.head(x)"), message="the norm comes after every block")
wrong("model", "added-once-more", ("x = block(x, causal=causal)", "x = x + block(x, causal=causal)"), message="each block is added to x once more")
wrong("model", "x-not-kept", ("x = block(x, causal=causal)", "y = block(x, causal=causal)"), (OUT, "self.head(self.norm(y))"), message="only the last block is used")
wrong("model", "first-block-only", (LOOP, "        x = self.blocks[0](x, causal=causal)\n"), message="only the first block is used")
wrong("model", "returns-in-the-loop", ("        return self.head(self.norm(x))", "            return self.head(self.norm(x))"), message="only the first block is used")
wrong("model", "blocks-backwards", ("in self.blocks:", "in reversed(self.blocks):"), message="from the last to the first")
wrong("model", "positions-in-every-block", ("x = block(x, causal=causal)", "x = block(x + self.positions.weight[: ids.shape[1]] * (block is not self.blocks[0]), causal=causal)"),
      message="the positions are added before every block")
wrong("model", "softmax", (OUT, "self.head(self.norm(x)).softmax(-1)"), message="softmax is taken")
wrong("model", "log-softmax", (OUT, "self.head(self.norm(x)).log_softmax(-1)"), message="log_softmax is taken")
wrong("model", "no-head", (OUT, "self.norm(x)"), message="the head comes last")
wrong("model", "no-gradient", ("    def read(", "    @torch.no_grad()\n    def read("), message="logits of forward with a gradient")
wrong("model", "in-float64", (OUT, OUT + ".double()"), message="the type of what is given")
wrong("model", "mask-turned-round", (BOTH, "self.read(tokens.masked_fill(~masked, self.start_id), causal=False)"), message="is it turned round?")
wrong("model", "nothing-masked", (BOTH, "self.read(tokens, causal=False)"), message="takes the place of masked tokens")
wrong("model", "masked-with-black", (BOTH, "self.read(tokens.masked_fill(masked, 0), causal=False)"), message="masked tokens become colour 0")
wrong("model", "masked-in-place", (BOTH, "self.read(tokens.masked_fill_(masked, self.start_id), causal=False)"), message="tokens[masked] = … does not")
wrong("model", "both-shifted", (BOTH, "self.read(shift(tokens.masked_fill(masked, self.start_id), self.start_id), causal=False)"), message="which the mask hides")
wrong("model", "both-causal", (BOTH, "self.read(tokens.masked_fill(masked, self.start_id), causal=True)"), message="every place sees all others")
wrong("model", "masked-ones-only", (BOTH, BOTH + "[masked]"), message="expected")
wrong("model", "both-calls-forward", (BOTH, "self(tokens.masked_fill(masked, self.start_id))"), message="expected")
right("model", "all-rolled-in-one", ("    return F.pad(tokens[:, :-1], (1, 0), value=start_id)", "    read = tokens.roll(1)\n    read[:, 0] = start_id\n    return read"))
right("model", "own-words", source='''
def shift(tokens, start_id):
    begin = tokens.new_full((tokens.size(0), 1), start_id)
    return torch.cat((begin, tokens), dim=1)[:, :-1]


class PixelModel(PixelLayers):
    def through(self, x, causal):
        x = x + self.positions(torch.arange(x.size(1)))
        for one in self.blocks:
            x = one(x, causal)
        return self.head(self.norm(x))

    def forward(self, tokens):
        B, T = tokens.shape
        begin = self.tokens.weight[-1].expand(B, 1, -1)
        return self.through(torch.cat([begin, self.tokens(tokens[:, : T - 1])], 1), causal=True)

    def both(self, tokens, masked):
        x = torch.where(masked[..., None], self.tokens.weight[self.start_id], self.tokens(tokens))
        return self.through(x, causal=False)
''')
right("model", "one-method-with-a-default", source='''
def shift(tokens, start_id):
    read = tokens.roll(1, 1)
    read[:, 0] = start_id
    return read


class PixelModel(PixelLayers):
    def forward(self, tokens, masked=None):
        if masked is None:
            ids = tokens.roll(1, dims=1)
            ids[:, 0] = self.start_id
        else:
            ids = tokens.clone()
            ids[masked] = self.start_id
        x = self.tokens(ids) + self.positions.weight[None, : ids.shape[1]]
        for number in range(len(self.blocks)):
            x = self.blocks[number](x, causal=masked is None)
        return F.linear(self.norm(x), self.head.weight)

    def both(self, tokens, masked):
        return self.forward(tokens, masked)
''')
right("model", "lists-and-one-hot", source='''
def shift(tokens, start_id):
    return torch.tensor([[start_id] + row[:-1] for row in tokens.tolist()])


class PixelModel(PixelLayers):
    def read(self, ids, causal):
        x = F.one_hot(ids, self.start_id + 1).float() @ self.tokens.weight
        x = x + self.positions.weight[: x.shape[1]]
        for block in self.blocks.children():
            x = block(x, causal)
        return self.head(self.norm(x))

    def forward(self, tokens):
        return self.read(torch.tensor([[self.start_id] + row[:-1] for row in tokens.tolist()]), True)

    def both(self, tokens, masked):
        covered = [[self.start_id if m else t for t, m in zip(*rows)] for rows in zip(tokens.tolist(), masked.tolist())]
        return self.read(torch.tensor(covered), False)
''')

# --- bits ---------------------------------------------------------------------------------------
BITS = "F.cross_entropy(logits.flatten(0, 1), tokens.flatten()) / math.log(2)"
CE = "F.cross_entropy(logits.flatten(0, 1), tokens.flatten())"
wrong("bits", "nats", (BITS, CE), message="these are nats")
wrong("bits", "multiplied", (BITS, CE + " * math.log(2)"), message="multiplied by ln 2")
wrong("bits", "base-ten", (BITS, CE + " / math.log(10)"), message="the logarithm of base 10")
wrong("bits", "wrong-sign", (BITS, "-" + BITS), message="the sign")
wrong("bits", "gathered-without-minus", (BITS, "logits.log_softmax(-1).gather(-1, tokens[..., None]).mean() / math.log(2)"), message="the sign")
wrong("bits", "shifted-again", (BITS, "F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()) / math.log(2)"), message="shifted once more")
wrong("bits", "shifted-backwards", (BITS, "F.cross_entropy(logits[:, 1:].flatten(0, 1), tokens[:, :-1].flatten()) / math.log(2)"), message="shifted the wrong way round")
wrong("bits", "first-pixel-left-out", (BITS, "F.cross_entropy(logits[:, 1:].flatten(0, 1), tokens[:, 1:].flatten()) / math.log(2)"), message="the first pixel is left out")
wrong("bits", "last-pixel-left-out", (BITS, "F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, :-1].flatten()) / math.log(2)"), message="the last pixel is left out")
wrong("bits", "last-pixel-only", (BITS, "F.cross_entropy(logits[:, -1], tokens[:, -1]) / math.log(2)"), message="only the last pixel counts")
wrong("bits", "sum", (CE, "F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction='sum')"), message="the sum over all pixels")
wrong("bits", "sum-over-a-picture", (CE, "F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction='sum') / len(tokens)"), message="the sum over the pixels of a picture")
wrong("bits", "sum-over-pictures", (CE, "F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction='sum') / tokens.shape[1]"), message="the sum over pictures")
wrong("bits", "each-pixel", (CE, "F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction='none')"), message="one number")
wrong("bits", "each-picture", (BITS, "F.cross_entropy(logits.mT, tokens, reduction='none').mean(1) / math.log(2)"), message="one number: the mean over all pictures, too")
wrong("bits", "softmax-twice", ("logits.flatten(0, 1)", "logits.softmax(-1).flatten(0, 1)"), message="softmax twice")
wrong("bits", "log-of-softmax", (BITS, "-logits.softmax(-1).gather(-1, tokens[..., None]).log2().mean()"), message="log(softmax) is -inf")
wrong("bits", "exp-overflows", (BITS, "(logits.exp().sum(-1).log() - logits.gather(-1, tokens[..., None])[..., 0]).mean() / math.log(2)"), message="exp of a large logit is inf")
wrong("bits", "log-with-a-little-added", (BITS, "-(logits.softmax(-1).gather(-1, tokens[..., None]) + 1e-9).log2().mean()"), message="logits of 10,000")
wrong("bits", "softmax-over-places", (BITS, "-logits.log_softmax(1).gather(-1, tokens[..., None]).mean() / math.log(2)"), message="softmax over the places")
wrong("bits", "log-of-the-mean", (BITS, "-logits.softmax(-1).gather(-1, tokens[..., None]).mean().log2()"), message="the logarithm of the mean")
wrong("bits", "no-logarithm", (BITS, "logits.softmax(-1).gather(-1, tokens[..., None]).mean()"), message="the logarithm is missing")
wrong("bits", "no-softmax", (BITS, "-logits.gather(-1, tokens[..., None]).mean() / math.log(2)"), message="the logits themselves, without softmax")
wrong("bits", "largest-share", (BITS, "-logits.log_softmax(-1).amax(-1).mean() / math.log(2)"), message="this is the largest share")
wrong("bits", "entropy-of-guesses", (BITS, "-(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1).mean() / math.log(2)"), message="this is the entropy of the guesses")
wrong("bits", "perplexity", (BITS, f"torch.exp({CE})"), message="the perplexity")
wrong("bits", "logits-divided", (BITS, "F.cross_entropy(logits.flatten(0, 1) / math.log(2), tokens.flatten())"), message="which changes the shares")
wrong("bits", "reshape-mixes", ("logits.flatten(0, 1)", "logits.mT.reshape(-1, logits.shape[-1])"), message="the reshape mixes places and colours")
wrong("bits", "axes-as-they-are", (BITS, "F.cross_entropy(logits, tokens) / math.log(2)"), message="stopped with an error")
wrong("bits", "a-number", (BITS, f"({BITS}).item()"), message="a result with a gradient")
wrong("bits", "through-numpy", (BITS, f"torch.tensor(({BITS}).detach().numpy())"), message="a result with a gradient")
wrong("bits", "centred-in-place", ("    return", "    logits -= logits.detach().mean(-1, keepdim=True)\n    return"), message="expected")
wrong("bits", "smoothed", (CE, "F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), label_smoothing=0.1)"), message="expected")
right("bits", "log-softmax-and-gather", (BITS, "-logits.log_softmax(-1).gather(-1, tokens[..., None]).mean() / math.log(2)"))
right("bits", "channels-second", (BITS, "F.cross_entropy(logits.transpose(1, 2), tokens) * math.log2(math.e)"))
right("bits", "picture-by-picture-in-float64", source='''
def bits_per_pixel(logits, tokens):
    total = 0.0
    for rows, own in zip(logits.double(), tokens):
        spread = rows - torch.logsumexp(rows, dim=-1, keepdim=True)
        for t in range(len(own)):
            total = total - spread[t, own[t]]
    return total / np.log(2) / tokens.numel()
''')
right("bits", "one-hot", source='''
def bits_per_pixel(logits, tokens):
    shifted = logits - logits.amax(-1, keepdim=True).detach()
    nats = shifted.exp().sum(-1).log() - (shifted * F.one_hot(tokens, logits.size(-1))).sum(-1)
    return nats.mean().div(0.6931471805599453)
''')

# --- bert ---------------------------------------------------------------------------------------
RAND = "torch.rand(B, T) < share"
NATS = 'F.cross_entropy(logits[masked], tokens[masked], reduction="sum")'
MEAN = "nats / math.log(2) / masked.sum().clamp(min=1)"
ALL = 'F.cross_entropy(logits.mT, tokens, reduction="none")'
wrong("bert", "kept-not-masked", (RAND, "torch.rand(B, T) > share"), message="turned round")
wrong("bert", "normal-numbers", (RAND, "torch.randn(B, T) < share"), message="of all pixels masked")
wrong("bert", "share-of-all-in-order", (RAND, "torch.arange(B * T).view(B, T) < share * B * T"), message="expected")
wrong("bert", "same-for-all-pictures", (RAND, "(torch.rand(T) < share).expand(B, T)"), message="another mask for each picture")
wrong("bert", "whole-pictures", (RAND, "(torch.rand(B, 1) < share).expand(B, T)"), message="expected")
wrong("bert", "the-same-number-in-each", (RAND, "torch.rand(B, T).argsort(1).argsort(1) < round(share * T)"), message="no fixed number of them")
wrong("bert", "a-span", (RAND, "(torch.arange(T) - torch.randint(T, (B, 1))) % T < share * T"), message="no fixed number of them")
wrong("bert", "seeded", ("    return torch.rand(B, T)", "    torch.manual_seed(0)\n    return torch.rand(B, T)"), message="a new mask at each call")
wrong("bert", "shares-not-a-mask", (RAND, "(torch.rand(B, T) < share).float()"), message="a mask of bool")
wrong("bert", "transposed", (RAND, "torch.rand(T, B) < share"), message="rows are pictures, columns pixels")
wrong("bert", "numbers-not-bools", (RAND, "torch.bernoulli(torch.full((B, T), share))"), message="a mask of bool")
wrong("bert", "half", (RAND, "torch.randint(2, (B, T)).bool()"), message="of all pixels masked")
wrong("bert", "always-fifteen-percent", (RAND, "torch.rand(B, T) < 0.15"), loses=["hidden"], message="of all pixels masked")
wrong("bert", "first-pixel-never", (RAND, "(torch.rand(B, T) < share) & (torch.arange(T) > 0)"), message="the first neither")
wrong("bert", "one-in-each-for-certain", (RAND, "(torch.rand(B, T) < share).scatter(1, torch.randint(T, (B, 1)), True)"), message="a picture may have no masked one")
wrong("bert", "the-same-number-in-each-batch", (RAND, "(torch.rand(B * T).argsort().argsort() < round(share * B * T)).view(B, T)"), message="differ from call to call")
wrong("bert", "all-pixels-count", (NATS, ALL + ".sum()"), (MEAN, "nats / math.log(2) / tokens.numel() * masked.any()"), message="all pixels count here")
wrong("bert", "unmasked-count", ("    nats = ", "    masked = ~masked\n    nats = "), message="these are the pixels that are not masked")
wrong("bert", "divided-by-all", (MEAN, "nats / math.log(2) / tokens.numel()"), message="divided by the number of all pixels")
wrong("bert", "sum", (MEAN, "nats / math.log(2)"), message="the sum; the mean over the masked pixels is wanted")
wrong("bert", "divided-by-pictures", (MEAN, "nats / math.log(2) / len(tokens)"), message="divided by the number of pictures")
wrong("bert", "each-picture-first", (NATS, ALL), (MEAN, "((nats * masked).sum(1) / masked.sum(1).clamp(min=1)).mean() / math.log(2)"), message="each picture is averaged first")
wrong("bert", "nats", (MEAN, "nats / masked.sum().clamp(min=1)"), message="these are nats")
wrong("bert", "nothing-is-nan", (NATS, "F.cross_entropy(logits[masked], tokens[masked])"), (MEAN, "nats / math.log(2)"), message="a mean over nothing is 0 / 0")
wrong("bert", "logits-multiplied", (NATS, 'F.cross_entropy((logits * masked[..., None]).mT, tokens, reduction="sum")'), (MEAN, "nats / math.log(2) / tokens.numel()"),
      message="count as guesses at logits of 0")
wrong("bert", "shifted", (NATS, 'F.cross_entropy(logits[:, :-1][masked[:, 1:]], tokens[:, 1:][masked[:, 1:]], reduction="sum")'), (MEAN, "nats / math.log(2) / masked[:, 1:].sum().clamp(min=1)"),
      message="shifted")
wrong("bert", "softmax-twice", ("logits[masked]", "logits[masked].softmax(-1)"), message="softmax twice")
wrong("bert", "a-number", (MEAN, f"({MEAN}).item()"), message="a result with a gradient")
wrong("bert", "tokens-in-place", ("    nats = ", "    tokens[~masked] = 0\n    nats = "), message="what is given is left as it was")
right("bert", "ignored-labels", source='''
def draw_mask(B, T, share):
    return torch.bernoulli(torch.full((B, T), float(share))).bool()


def bert_bits(logits, tokens, masked):
    labels = torch.where(masked, tokens, -100)
    total = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), reduction="sum", ignore_index=-100)
    return total / max(int(masked.sum()), 1) / math.log(2)
''')
right("bert", "numpy-and-weights", source='''
def draw_mask(B, T, share):
    return np.random.default_rng().random((B, T)) <= share


def bert_bits(logits, tokens, masked):
    costs = -logits.double().log_softmax(-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1) / math.log(2)
    weights = masked.double()
    return (costs * weights).sum() / (weights.sum() + (weights.sum() == 0))
''')
right("bert", "pixel-by-pixel", source='''
def draw_mask(B, T, share):
    rows = []
    for _ in range(B):
        rows.append([random.random() < share for _ in range(T)])
    return torch.tensor(rows)


def bert_bits(logits, tokens, masked):
    costs = [-logits[b, t].log_softmax(0)[tokens[b, t]] for b, t in masked.nonzero().tolist()]
    if not costs:
        return logits.sum() * 0.0
    return torch.stack(costs).mean() / math.log(2)
''')

# --- sampling -----------------------------------------------------------------------------------
LEAST = "logits.topk(min(k, logits.shape[-1])).values[:, -1:]"
SHARES = "(logits / temperature).masked_fill(logits < least, -math.inf).softmax(-1)"
DRAWN = "torch.multinomial(top_k_shares(logits, k, temperature), 1)[:, 0]"
wrong("sampling", "temperature-multiplies", (SHARES, "(logits * temperature).masked_fill(logits < least, -math.inf).softmax(-1)"), message="the temperature multiplies")
wrong("sampling", "temperature-forgotten", (SHARES, "logits.masked_fill(logits < least, -math.inf).softmax(-1)"), message="the temperature is not used")
wrong("sampling", "temperature-after-softmax", (SHARES, "logits.masked_fill(logits < least, -math.inf).softmax(-1) / temperature"), message="and not the shares")
wrong("sampling", "temperature-of-shares", (SHARES, "F.normalize(logits.masked_fill(logits < least, -math.inf).softmax(-1) / temperature, p=1, dim=-1)"), message="the temperature is not used, or divides the shares")
wrong("sampling", "temperature-twice", (SHARES, "(logits / temperature**2).masked_fill(logits < least, -math.inf).softmax(-1)"), message="the temperature is used twice")
wrong("sampling", "zero-for-a-logit", (SHARES, "(logits / temperature).masked_fill(logits < least, 0).softmax(-1)"), message="0 is a logit like any other")
wrong("sampling", "not-summing-to-1", (SHARES, "(logits / temperature).softmax(-1) * (logits >= least)"), message="what is left must sum to 1 again")
wrong("sampling", "softmax-over-rows", (SHARES, "(logits / temperature).masked_fill(logits < least, -1e9).softmax(0)"), message="softmax over the colours, the last axis")
wrong("sampling", "softmax-twice", (SHARES, "(logits / temperature).masked_fill(logits < least, -math.inf).softmax(-1).masked_fill(logits < least, -math.inf).softmax(-1)"), message="the softmax is taken twice")
wrong("sampling", "logits", (SHARES, "(logits / temperature).masked_fill(logits < least, -1e9)"), message="softmax makes shares of them")
wrong("sampling", "log-softmax", (SHARES, "(logits / temperature).masked_fill(logits < least, -1e9).log_softmax(-1)"), message="softmax makes shares of them")
wrong("sampling", "log-softmax-of-what-is-left", (SHARES, "(logits / temperature).masked_fill(logits < least, -math.inf).log_softmax(-1)"), message="these are logarithms")
wrong("sampling", "all-masked", (SHARES, "(logits / temperature).masked_fill(logits <= logits.amax(-1, keepdim=True), -math.inf).softmax(-1)"), message="not in all of a row")
wrong("sampling", "one-colour-too-few", ("logits < least", "logits <= least"), message="expected")
wrong("sampling", "one-colour-too-many", (LEAST, "logits.topk(min(k + 1, logits.shape[-1])).values[:, -1:]"), message="one colour too many")
wrong("sampling", "least-likely", (SHARES, "(logits / temperature).masked_fill(logits > logits.topk(min(k, logits.shape[-1]), largest=False).values[:, -1:], -math.inf).softmax(-1)"), message="not the least likely")
wrong("sampling", "least-of-the-first-row", (LEAST, "logits.topk(min(k, logits.shape[-1])).values[0, -1]"), message="expected")
wrong("sampling", "least-of-the-batch", (LEAST, "logits.flatten().topk(min(k, logits.numel())).values[-1]"), message="expected")
wrong("sampling", "top-k-of-rows", (LEAST, "logits.topk(min(k, len(logits)), dim=0).values[-1:]"), message="expected")
wrong("sampling", "k-above-V", (LEAST, "logits.topk(k).values[:, -1:]"), message="RuntimeError")
wrong("sampling", "sorted", (SHARES, "F.pad((logits / temperature).topk(min(k, logits.shape[-1])).values.softmax(-1), (0, max(0, logits.shape[-1] - k)))"), message="expected")
wrong("sampling", "k-columns", (SHARES, "(logits / temperature).topk(min(k, logits.shape[-1])).values.softmax(-1)"), message="a share for every colour")
wrong("sampling", "equal-shares", (SHARES, "(logits >= least) / (logits >= least).sum(-1, keepdim=True)"), message="equal shares")
wrong("sampling", "logits-in-place", (SHARES, "(logits.masked_fill_(logits < least, -math.inf) / temperature).softmax(-1)"), message="write into the caller's")
wrong("sampling", "divided-in-place", (SHARES, "logits.div_(temperature).masked_fill(logits < least, -math.inf).softmax(-1)"), message="expected")
wrong("sampling", "greedy", (DRAWN, "top_k_shares(logits, k, temperature).argmax(-1)"), message="this is the likeliest colour each time")
wrong("sampling", "even-among-k", (DRAWN, "torch.multinomial((top_k_shares(logits, k, temperature) > 0).float(), 1)[:, 0]"), message="the k colours are drawn alike")
wrong("sampling", "k-forgotten", (DRAWN, "torch.multinomial(logits.softmax(-1), 1)[:, 0]"), message="k and temperature are forgotten")
wrong("sampling", "drawn-without-temperature", (DRAWN, "torch.multinomial(top_k_shares(logits, k, 1.0), 1)[:, 0]"), message="colour")
wrong("sampling", "a-column", (DRAWN, "torch.multinomial(top_k_shares(logits, k, temperature), 1)"), message="multinomial gives (B, 1)")
wrong("sampling", "one-draw-for-all", (DRAWN, "torch.multinomial(top_k_shares(logits, k, temperature)[0], 1).expand(len(logits))"), message="expected")
wrong("sampling", "a-scalar", (DRAWN, "torch.multinomial(top_k_shares(logits, k, temperature)[0], 1)[0]"), message="one colour for each row")
wrong("sampling", "floats", (DRAWN, DRAWN + ".float()"), message="colours of an integer type")
wrong("sampling", "place-among-the-k", (DRAWN, "torch.multinomial((logits / temperature).topk(min(k, logits.shape[-1])).values.softmax(-1), 1)[:, 0]"), message="never drawn")
wrong("sampling", "the-same-at-each-call", ("    return torch.multinomial(", "    torch.manual_seed(0)\n    return torch.multinomial("), message="no seed in here")
wrong("sampling", "seeded", (DRAWN, "torch.multinomial(top_k_shares(logits, k, temperature), 1, generator=torch.Generator().manual_seed(0))[:, 0] * 0 + torch.multinomial(top_k_shares(logits, k, temperature)[:1], 1)[0]"), message="all rows get the same colour")
right("sampling", "scatter-of-the-likeliest", source='''
def top_k_shares(logits, k, temperature):
    values, places = torch.topk(logits / temperature, min(k, logits.size(1)), dim=1)
    return torch.zeros_like(logits).scatter(1, places, torch.softmax(values, 1))


def draw(logits, k, temperature):
    return torch.distributions.Categorical(probs=top_k_shares(logits, k, temperature)).sample()
''')
right("sampling", "numpy-by-ranks", source='''
def top_k_shares(logits, k, temperature):
    heat = logits.numpy().astype(float) / temperature
    ranks = (-heat).argsort(1).argsort(1)
    shares = np.exp(heat - heat.max(1, keepdims=True)) * (ranks < k)
    return shares / shares.sum(1, keepdims=True)


def draw(logits, k, temperature):
    shares = top_k_shares(logits, k, temperature)
    dice = np.random.random((len(shares), 1))
    return np.minimum((shares.cumsum(1) < dice).sum(1), shares.shape[1] - 1)
''')
right("sampling", "sorted-and-gumbel", source='''
def top_k_shares(logits, k, temperature):
    kept = logits.clone()
    for row in kept:
        order = row.argsort(descending=True)
        row[order[k:]] = float("-inf")
    return torch.softmax(kept / temperature, dim=-1)


def draw(logits, k, temperature):
    noise = -torch.log(-torch.log(torch.rand_like(logits).clamp(1e-12, 1 - 1e-7)))
    return (top_k_shares(logits, k, temperature).log() + noise).argmax(dim=1)
''')

# --- complete -----------------------------------------------------------------------------------
CLONE = "    drawn = tokens.clone()\n"
GUESS = "model(drawn[:, : t + 1])[:, t]"
PUT = "drawn[:, t] = choose(logits)"
wrong("complete", "in-place", (CLONE, "    drawn = tokens\n"), message="fill a copy")
wrong("complete", "repaints-what-is-given", ("        if not known[t]:\n", "        if True:\n"), message="given pixels stay")
wrong("complete", "known-turned-round", ("if not known[t]", "if known[t]"), message="is `known` turned round?")
wrong("complete", "one-place-too-early", (GUESS, "model(drawn[:, : t + 1])[:, t - 1]"), message="one place too early")
wrong("complete", "without-its-own-place", (GUESS, "model(drawn[:, :t])[:, -1]"), message="expected")
wrong("complete", "last-place", (GUESS, "model(drawn)[:, -1]"), message="the logits of the last place are taken")
wrong("complete", "first-place", (GUESS, "model(drawn[:, : t + 1])[:, 0]"), message="the logits are those of place 0")
wrong("complete", "all-at-once", (CLONE, CLONE + "    all_logits = model(tokens)\n"), (GUESS, "all_logits[:, t]"), message="from what stood there at first")
wrong("complete", "from-the-given-tokens", (GUESS, "model(tokens[:, : t + 1])[:, t]"), message="from what stood there at first")
wrong("complete", "likeliest", (PUT, "drawn[:, t] = logits.argmax(-1)"), message="the largest logit")
wrong("complete", "softmax-before-choose", (GUESS, GUESS + ".argsort(-1).float().neg()"), message="expected")
wrong("complete", "shares-to-choose", (GUESS, GUESS + ".softmax(-1)"), message="choose gets the model's logits as they are")
wrong("complete", "start-in-front", (GUESS, "model(F.pad(drawn[:, :t], (1, 0), value=7))[:, t]"), message="the model puts the start token in front by itself")
wrong("complete", "shifted-again", (GUESS, "model(F.pad(drawn[:, :t], (1, 0)))[:, t]"), message="expected")
wrong("complete", "from-the-last-to-the-first", ("range(tokens.shape[1])", "reversed(range(tokens.shape[1]))"), message="expected")
wrong("complete", "first-half-only", ("range(tokens.shape[1])", "range(tokens.shape[1] // 2)"), message="expected")
wrong("complete", "second-half-only", ("range(tokens.shape[1])", "range(tokens.shape[1] // 2, tokens.shape[1])"), message="expected")
wrong("complete", "first-place-never", ("range(tokens.shape[1])", "range(1, tokens.shape[1])"), message="expected")
wrong("complete", "last-place-never", ("range(tokens.shape[1])", "range(tokens.shape[1] - 1)"), message="the last place is not drawn")
wrong("complete", "known-as-a-count", ("        if not known[t]:\n", "        if t >= int(known.sum()):\n"), message="expected")
wrong("complete", "drawn-ones-alone", ("return drawn", "return drawn[:, ~known]"), message="the given pixels belong to the result")
wrong("complete", "one-picture-for-all", (PUT, "drawn[:, t] = choose(logits)[0]"), message="expected")
wrong("complete", "all-places-to-choose", (GUESS, "model(drawn[:, : t + 1])"), message="[:, t] takes the place")
wrong("complete", "place-of-the-batch", (GUESS, "model(drawn[:, : t + 1])[t % len(drawn)]"), message="expected")
wrong("complete", "zeros-first", (CLONE, "    drawn = torch.zeros_like(tokens)\n"), message="given pixels stay")
wrong("complete", "later-given-ones-lost", (CLONE, "    drawn = tokens * known.long().cumprod(0)\n"), message="given pixels stay")
wrong("complete", "nothing-drawn", (PUT, "tokens.clone()[:, t] = choose(logits)"), message="nothing is drawn")
wrong("complete", "floats", ("return drawn", "return drawn.float()"), message="pictures of an integer type")
wrong("complete", "drawn-one-after-the-other", message="expected", source='''
def complete(model, tokens, known, choose):
    drawn = tokens[:, known]
    for t in range(drawn.shape[1], tokens.shape[1]):
        logits = model(F.pad(drawn, (0, 1)))[:, t]
        drawn = torch.cat([drawn, choose(logits)[:, None]], 1)
    return drawn
''')
right("complete", "whole-pictures-and-where", source='''
def complete(model, tokens, known, choose):
    found = torch.where(known, tokens, 0)
    for place in (~known).nonzero().flatten().tolist():
        found[:, place] = choose(model(found)[:, place])
    return found
''')
right("complete", "a-growing-list", source='''
def complete(model, tokens, known, choose):
    columns = []
    for t, given in enumerate(known.tolist()):
        if given:
            columns.append(tokens[:, t].clone())
            continue
        so_far = torch.stack(columns + [torch.zeros_like(tokens[:, 0])], 1)
        columns.append(choose(model(so_far)[:, -1]))
    return torch.stack(columns, dim=1)
''')
right("complete", "draws-everywhere-and-keeps", source='''
def complete(model, tokens, known, choose):
    out = tokens.detach().clone()
    with torch.no_grad():
        for t in range(out.size(1)):
            new = choose(model(out[:, : t + 1])[:, t, :])
            out[:, t] = torch.where(known[t], tokens[:, t], new)
    return out
''')
right("complete", "picture-by-picture", source='''
def complete(model, tokens, known, choose):
    rows = []
    for row in tokens:
        row = row.clone()[None]
        for t in range(row.shape[1]):
            if not bool(known[t]):
                row[0, t] = choose(model(row[:, : t + 1])[:, t])[0]
        rows.append(row[0])
    return torch.stack(rows)
''')

# --- features -----------------------------------------------------------------------------------
IDS = "F.pad(part[:, :-1], (1, 0), value=model.start_id)"
INTO = "model.tokens(ids) + model.positions.weight[: ids.shape[1]]"
BLOCK = "x = block(x, causal=True)"
NORM = "            if layer == len(model.blocks):\n                x = model.norm(x)\n"
MEAN_OF = "found.append(x.mean(1))"
wrong("features", "not-shifted", (IDS, "part"), message="the pixels are read as they are")
wrong("features", "start-and-all-pixels", (IDS, "F.pad(part, (1, 0), value=model.start_id)[:, : len(model.positions.weight)]"), message="expected")
wrong("features", "black-in-front", (IDS, "F.pad(part[:, :-1], (1, 0))"), message="and not colour 0")
wrong("features", "the-model-itself", (INTO, "model(ids)"), message="a call of the model itself")
wrong("features", "no-positions", (INTO, "model.tokens(ids)"), message="no positions are added")
wrong("features", "one-block-too-few", ("model.blocks[:layer]", "model.blocks[: max(0, layer - 1)]"), message="one block too few")
wrong("features", "one-block-too-many", ("model.blocks[:layer]", "model.blocks[: layer + 1]"), message="one block too many")
wrong("features", "all-blocks", ("model.blocks[:layer]", "model.blocks"), message="all blocks are used")
wrong("features", "that-block-alone", ("model.blocks[:layer]", "model.blocks[max(0, layer - 1) : layer]"), message="this block alone is used")
wrong("features", "not-causal", (BLOCK, "x = block(x, causal=False)"), message="the model reads as it does when it draws")
wrong("features", "no-norm", (NORM, ""), message="the norm is missing")
wrong("features", "norm-of-all-layers", (NORM, "            x = model.norm(x)\n"), message="the norm belongs to the last layer alone")
wrong("features", "norm-of-the-mean", (NORM, ""), (MEAN_OF, "found.append(model.norm(x.mean(1)) if layer == len(model.blocks) else x.mean(1))"), message="the norm comes behind the mean")
wrong("features", "last-place", (MEAN_OF, "found.append(x[:, -1])"), message="the numbers at the last place")
wrong("features", "first-place", (MEAN_OF, "found.append(x[:, 0])"), message="the numbers at the first place")
wrong("features", "sum", (MEAN_OF, "found.append(x.sum(1))"), message="the sum over the places")
wrong("features", "largest", (MEAN_OF, "found.append(x.amax(1))"), message="the largest over the places")
wrong("features", "without-the-first-place", (MEAN_OF, "found.append(x[:, 1:].mean(1))"), message="the mean leaves out the first place")
wrong("features", "over-the-numbers", (MEAN_OF, "found.append(x.mean(-1))"), message="not over the E numbers")
wrong("features", "over-the-pictures", (MEAN_OF, "found.append(x.mean(0))"), message="not over the pictures")
wrong("features", "not-pooled", (MEAN_OF, "found.append(x)"), message="the mean over the places is missing")
wrong("features", "side-by-side", (MEAN_OF, "found.append(x.flatten(1))"), message="not all of them side by side")
wrong("features", "axis-kept", (MEAN_OF, "found.append(x.mean(1, keepdim=True))"), message="the axis of the places goes")
wrong("features", "one-row-for-all", (MEAN_OF, "found.append(x.mean((0, 1))[None])"), message="one row of E numbers for each picture")
wrong("features", "logits", (MEAN_OF, "found.append(model.head(x).mean(1))"), message="these are logits")
wrong("features", "dropout", ("    model.eval()\n", ""), message="dropout is at work")
wrong("features", "training-mode", ("model.eval()", "model.train()"), message="dropout is at work")
wrong("features", "gradients-kept", ("with torch.no_grad():", "with torch.enable_grad():"), message="torch.no_grad()")
wrong("features", "last-part-only", ("    return torch.cat(found)", "    return found[-1]"), message="each part of at most `batch` pictures")
wrong("features", "short-part-lost", ("tokens.split(batch):", "[one for one in tokens.split(batch) if len(one) == min(batch, len(tokens))]:"), message="the last short one too")
wrong("features", "parts-stacked", ("torch.cat(found)", "torch.stack(found).flatten(0, 1)"), message="expected")
wrong("features", "parts-side-by-side", ("torch.cat(found)", "torch.stack(found)"), message="torch.cat puts the parts")
wrong("features", "whole-parts-only", ("tokens.split(batch)", "tokens[: len(tokens) // batch * batch].split(batch)"), message="the last part may be shorter")
wrong("features", "scaled-to-length-1", (MEAN_OF, "found.append(F.normalize(x.mean(1), dim=-1))"), message="divided by its length")
wrong("features", "batch-of-batches", ("tokens.split(batch)", "tokens.chunk(batch)"), message="chunk makes `batch` parts")
wrong("features", "all-at-once", ("tokens.split(batch)", "[tokens]"), message="in the model at once")
wrong("features", "hundred-at-once", ("tokens.split(batch)", "tokens.split(100)"), message="in the model at once")
right("features", "one-picture-at-a-time", source='''
def features(model, tokens, layer, batch=100):
    rows = torch.empty(len(tokens), model.norm.weight.numel())
    training = model.training
    model.eval()
    with torch.inference_mode():
        for number, row in enumerate(tokens):
            ids = torch.cat([torch.tensor([model.start_id]), row[:-1]])
            x = (model.tokens(ids) + model.positions(torch.arange(len(row)))).unsqueeze(0)
            for depth in range(layer):
                x = model.blocks[depth](x, True)
            rows[number] = (model.norm(x) if layer == len(model.blocks) else x).mean(dim=1).squeeze(0)
    model.train(training)
    return rows.clone()
''')
right("features", "a-decorator-and-numpy", source='''
@torch.no_grad()
def features(model, tokens, layer, batch=100):
    def of(part):
        ids = part.roll(1, 1)
        ids[:, 0] = model.start_id
        x = model.tokens(ids) + model.positions.weight[None, : part.shape[1]]
        for number, block in enumerate(model.blocks, 1):
            if number > layer:
                break
            x = block(x, causal=True)
        if layer == len(list(model.blocks)):
            x = model.norm(x)
        return x.sum(1).numpy() / part.shape[1]

    model.train(False)
    return np.concatenate([of(tokens[at : at + batch]) for at in range(0, len(tokens), batch)])
''')

# --- scores -------------------------------------------------------------------------------------
COUNTED = "    counts = torch.bincount(labels * classes + guessed, minlength=classes**2)\n    return counts.view(classes, classes)\n"
CHANCE = "(shares.sum(0) * shares.sum(1)).sum()"
KAPPA = "(shares.trace() - chance) / (1 - chance)"
wrong("scores", "transposed", ("labels * classes + guessed", "guessed * classes + labels"), message="rows and columns are exchanged")
wrong("scores", "repeats-count-once", (COUNTED, "    counts = torch.zeros(classes, classes, dtype=torch.long)\n    counts[labels, guessed] += 1\n    return counts\n"), message="a pair that occurs often counts once")
wrong("scores", "set-to-one", (COUNTED, "    counts = torch.zeros(classes, classes, dtype=torch.long)\n    for i, j in zip(labels, guessed):\n        counts[i, j] = 1\n    return counts\n"), message="a pair that occurs often counts once")
wrong("scores", "classes-that-occur", (COUNTED, "    from sklearn.metrics import confusion_matrix\n    return confusion_matrix(labels, guessed)\n"), message="those too that do not occur")
wrong("scores", "classes-up-to-the-largest", (COUNTED, "    n = int(max(labels.max(), guessed.max())) + 1\n    counts = torch.bincount(labels * n + guessed, minlength=n * n)\n    return counts.view(n, n)\n"), message="those too that do not occur")
wrong("scores", "shares-of-rows", ("counts.view(classes, classes)", "counts.view(classes, classes) / counts.view(classes, classes).sum(1, keepdim=True).clamp(min=1)"), message="these are shares of a row")
wrong("scores", "shares-of-columns", ("counts.view(classes, classes)", "counts.view(classes, classes) / counts.view(classes, classes).sum(0, keepdim=True).clamp(min=1)"), message="these are shares of a column")
wrong("scores", "shares-of-all", ("counts.view(classes, classes)", "counts.view(classes, classes) / len(labels)"), message="these are shares of all")
wrong("scores", "right-ones-only", (COUNTED, "    return torch.bincount(labels[labels == guessed], minlength=classes).diag()\n"), message="only those that are right are counted")
wrong("scores", "wrong-ones-only", (COUNTED, "    labels, guessed = labels[labels != guessed], guessed[labels != guessed]\n" + COUNTED), message="only those that are wrong are counted")
wrong("scores", "first-one-lost", (COUNTED, "    labels, guessed = labels[1:], guessed[1:]\n" + COUNTED), message="one pair is lost")
wrong("scores", "a-flat-table", ("counts.view(classes, classes)", "counts"), message="a matrix of shape")
wrong("scores", "labels-in-place", ("    counts = torch.bincount(labels * classes + guessed", "    labels *= classes\n    counts = torch.bincount(labels + guessed"), message="labels and guesses are left as they were")
wrong("scores", "accuracy", (KAPPA, "shares.trace()"), message="chance is not taken off")
wrong("scores", "chance-is-one-in-C", (CHANCE, "1 / len(counts)"), message="chance is not 1 / C")
wrong("scores", "labels-squared", (CHANCE, "(shares.sum(1) ** 2).sum()"), message="the share of the labels squared")
wrong("scores", "guesses-squared", (CHANCE, "(shares.sum(0) ** 2).sum()"), message="the share of the guesses squared")
wrong("scores", "not-divided", (KAPPA, "(shares.trace() - chance)"), message="not divided by 1 - e")
wrong("scores", "divided-by-what-is-wrong", (KAPPA, "(shares.trace() - chance) / (1 - shares.trace()).clamp(min=1e-9)"), message="divided by 1 - p")
wrong("scores", "divided-by-1-plus-e", (KAPPA, "(shares.trace() - chance) / (1 + chance)"), message="divided by 1 + e")
wrong("scores", "divided-by-p", (KAPPA, "(shares.trace() - chance) / shares.trace()"), message="divided by p")
wrong("scores", "sign", (KAPPA, "(chance - shares.trace()) / (1 - chance)"), message="the sign")
wrong("scores", "chance-alone", (KAPPA, "chance"), message="this is e")
wrong("scores", "counts-not-shares", ("counts.double() / counts.sum()", "counts.double()"), message="expected")
wrong("scores", "no-brackets", (KAPPA, "shares.trace() - chance / (1 - chance)"), message="expected")
wrong("scores", "chance-of-the-diagonal", (CHANCE, "(shares.diag() ** 2).sum()"), message="expected")
wrong("scores", "largest-class-only", (CHANCE, "(shares.sum(0) * shares.sum(1)).max()"), message="chance has the largest class alone")
wrong("scores", "outer-product", (CHANCE, "torch.outer(shares.sum(1), shares.sum(0)).sum()"), message="expected")
wrong("scores", "whole-numbers-divided", ("counts.double() / counts.sum()", "(counts // counts.sum()).double()"), message="expected")
wrong("scores", "one-for-each-class", (CHANCE, "(shares.sum(0) * shares.sum(1))"), (KAPPA, "((shares.diag() - chance) / (1 - chance)).mean()"), message="expected")
wrong("scores", "chance-squared-once-more", (CHANCE, "(shares.sum(0) * shares.sum(1)).sum() ** 2"), message="expected")
wrong("scores", "never-below-zero", ("return ((shares.trace() - chance) / (1 - chance)).item()", "return max(0.0, ((shares.trace() - chance) / (1 - chance)).item())"), message="worse than chance is below 0")
wrong("scores", "two-digits", ("return ((shares.trace() - chance) / (1 - chance)).item()", "return round(((shares.trace() - chance) / (1 - chance)).item(), 2)"), message="it is rounded")
wrong("scores", "rounded", ("return ((shares.trace() - chance) / (1 - chance)).item()", "return round(((shares.trace() - chance) / (1 - chance)).item(), 1)"), message="kappa =")
right("scores", "a-loop-and-fractions", source='''
from fractions import Fraction


def confusion(labels, guessed, classes):
    table = [[0] * classes for _ in range(classes)]
    for true, said in zip(labels.tolist(), guessed.tolist()):
        table[true][said] += 1
    return table


def kappa(counts):
    rows = np.asarray(counts).tolist()
    n, C = sum(map(sum, rows)), len(rows)
    right = Fraction(sum(rows[i][i] for i in range(C)), n)
    luck = sum(Fraction(sum(rows[i]) * sum(row[i] for row in rows), n * n) for i in range(C))
    return float((right - luck) / (1 - luck))
''')
right("scores", "one-hot-products", source='''
def confusion(labels, guessed, classes):
    true, said = F.one_hot(labels, classes), F.one_hot(guessed, classes)
    return true.T @ said


def kappa(counts):
    counts = counts.to(torch.float64)
    n = counts.sum()
    expected = torch.outer(counts.sum(1), counts.sum(0)) / n
    return 1 - (counts - counts.diag().diag()).sum() / (expected - expected.diag().diag()).sum()
''')
right("scores", "put-with-accumulate", source='''
def confusion(labels, guessed, classes):
    counts = torch.zeros((classes, classes), dtype=torch.int64)
    return counts.index_put((labels, guessed), torch.ones_like(labels), accumulate=True)


def kappa(counts):
    m = counts.numpy()
    total = m.sum()
    observed = np.diagonal(m).sum() / total
    chance = np.dot(m.sum(axis=0) / total, m.sum(axis=1) / total)
    return (observed - chance) / (1.0 - chance)
''')
right("scores", "numpy-add-at", (COUNTED, "    counts = np.zeros((classes, classes), dtype=int)\n    np.add.at(counts, (labels.numpy(), guessed.numpy()), 1)\n    return counts\n"),
      ("counts.double() / counts.sum()", "torch.as_tensor(counts).double() / counts.sum()"))

# --- train --------------------------------------------------------------------------------------
RATE = "learning_rate * min((step + 1) / warm, (steps - step) / max(1, steps - warm))"
wrong("train", "no-step", ("            optimizer.step()\n", ""), message="equal shares cost")
wrong("train", "no-backward", ("            loss.backward()\n", ""), message="equal shares cost")
wrong("train", "gradients-cleared-too-late", ("            optimizer.zero_grad()\n            loss.backward()\n", "            loss.backward()\n            optimizer.zero_grad()\n"), message="equal shares cost")
wrong("train", "rate-is-zero", (RATE, "learning_rate * min((step + 1) // steps, 1)"), message="expected")
wrong("train", "rate-never-grows", ("            step += 1\n", ""), message="expected")
wrong("train", "returns-in-the-loop", ("            step += 1\n", "            step += 1\n            return model\n"), message="expected")
wrong("train", "returns-nothing", ("    return model", ""), message="train_model returns a Module")
wrong("train", "returns-losses", ("    return model", "    return losses"), message="train_model returns a Module")
wrong("train", "another-models-weights", ("torch.optim.AdamW(model.parameters(), learning_rate)", "torch.optim.AdamW(new_model().parameters(), learning_rate)"), message="expected")
wrong("train", "uphill", ("            loss.backward()\n", "            (-loss).backward()\n"), message="expected")
wrong("train", "head-alone", ("torch.optim.AdamW(model.parameters(), learning_rate)", "torch.optim.AdamW(model.head.parameters(), learning_rate)"), message="expected")
wrong("train", "rate-times-hundred", (RATE, "100 * " + RATE), message="expected")
wrong("train", "one-picture", ("loss_of(model, tokens[batch])", "loss_of(model, tokens[:1])"), message="expected")
wrong("train", "shuffled-pixels", ("loss_of(model, tokens[batch])", "loss_of(model, tokens[batch][:, torch.randperm(tokens.shape[1])])"), message="expected")
wrong("train", "the-batch-numbers", ("in torch.randperm(len(tokens)).split(batch_size)", "in range(0, len(tokens), batch_size)"), ("tokens[batch])", "tokens[batch : batch + 1] * 0)"), message="expected")
wrong("train", "loss-as-a-number", ("            loss.backward()\n", "            torch.tensor(loss.item(), requires_grad=True).backward()\n"), message="equal shares cost")
right("train", "a-scheduler", source='''
def train_model(model, loss_of, tokens, epochs, batch_size, learning_rate):
    batches = [list(range(i, min(i + batch_size, len(tokens)))) for i in range(0, len(tokens), batch_size)]
    total = len(batches) * epochs
    opt = torch.optim.Adam(model.train().parameters(), lr=learning_rate, betas=(0.9, 0.95))
    rate = torch.optim.lr_scheduler.OneCycleLR(opt, learning_rate, total_steps=total, pct_start=0.1, anneal_strategy="linear")
    for _ in range(epochs):
        mixed = tokens[torch.randperm(tokens.size(0))]
        for places in batches:
            opt.zero_grad()
            cost = loss_of(model, mixed[places])
            cost.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
            opt.step()
            rate.step()
    return model.eval()
''')
right("train", "a-loader-and-a-cosine", source='''
def train_model(model, loss_of, tokens, epochs, batch_size, learning_rate):
    loader = torch.utils.data.DataLoader(tokens, batch_size, shuffle=True)
    opt = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    steps, warm = len(loader) * epochs, len(loader) * epochs // 10
    factor = lambda n: (n + 1) / (warm + 1) if n <= warm else 0.5 + 0.5 * math.cos(math.pi * (n - warm) / (steps - warm))
    rate = torch.optim.lr_scheduler.LambdaLR(opt, factor)
    for _ in range(epochs):
        for batch in loader:
            loss = loss_of(model, batch)
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
            rate.step()
    return model
''')

# --- probe --------------------------------------------------------------------------------------
SCALER = "StandardScaler().fit(known)"
FITTED = "LogisticRegression(max_iter=500).fit(scaler.transform(known), labels)"
PREDICT = "classifier.predict(scaler.transform(new))"
SCALE = "bring each feature to mean 0 and spread 1"
wrong("probe", "not-scaled", message=SCALE, source='''
def probe(known, labels, new):
    return LogisticRegression(max_iter=500).fit(known, labels).predict(new)
''')
wrong("probe", "new-ones-not-scaled", (PREDICT, "classifier.predict(np.asarray(new))"), message=SCALE)
wrong("probe", "known-ones-not-scaled", (FITTED, "LogisticRegression(max_iter=500).fit(known, labels)"), message="brought to the same scale by the same numbers")
wrong("probe", "new-ones-by-their-own-mean", (PREDICT, "classifier.predict(StandardScaler().fit_transform(new))"), message="mean and spread are those of the known features")
wrong("probe", "divides-by-zero", message="expected", source='''
def probe(known, labels, new):
    mean, spread = known.mean(0), known.std(0)
    classifier = LogisticRegression(max_iter=500).fit(((known - mean) / spread).nan_to_num(), labels)
    return classifier.predict((new - mean) / spread)
''')
wrong("probe", "nan-for-all", message="expected", source='''
def probe(known, labels, new):
    mean, spread = known.mean(0), known.std(0)
    weight = torch.zeros(known.shape[1], 10, requires_grad=True)
    optimizer = torch.optim.Adam([weight], 0.05)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy((known - mean) / spread @ weight, labels).backward()
        optimizer.step()
    return ((new - mean) / spread @ weight).argmax(-1)
''')
wrong("probe", "one-mean-for-all-features", message=SCALE, source='''
def probe(known, labels, new):
    mean, spread = known.mean(), known.std()
    classifier = LogisticRegression(max_iter=500).fit((known - mean) / spread, labels)
    return classifier.predict((new - mean) / spread)
''')
wrong("probe", "rows-scaled", message=SCALE, source='''
def probe(known, labels, new):
    classifier = LogisticRegression(max_iter=500).fit(F.normalize(known, dim=1), labels)
    return classifier.predict(F.normalize(new, dim=1))
''')
wrong("probe", "scaled-in-place", message="what the probe is given is left as it was", source='''
def probe(known, labels, new):
    mean, spread = known.mean(0), known.std(0).clamp(min=1e-9)
    known -= mean
    known /= spread
    return LogisticRegression(max_iter=500).fit(known, labels).predict((new - mean) / spread)
''')
wrong("probe", "known-ones-guessed", (PREDICT, "classifier.predict(scaler.transform(known))"), message="not of the known ones")
wrong("probe", "shares", (PREDICT, "classifier.predict_proba(scaler.transform(new))"), message="the class with the largest")
wrong("probe", "place-in-the-list", (PREDICT, "classifier.predict_proba(scaler.transform(new)).argmax(1)"), message="not its place in a list of the classes")
wrong("probe", "mean-label", message="expected", source='''
from sklearn.linear_model import LinearRegression


def probe(known, labels, new):
    scaler = StandardScaler().fit(known)
    return LinearRegression().fit(scaler.transform(known), labels).predict(scaler.transform(new)).round().astype(int)
''')
wrong("probe", "most-frequent", message=SCALE, source='''
def probe(known, labels, new):
    return labels.mode().values.expand(len(new)).clone()
''')
wrong("probe", "few-pictures", (FITTED, "LogisticRegression(max_iter=500).fit(scaler.transform(known[:8]), labels[:8])"), message="expected")
wrong("probe", "labels-shuffled", (FITTED, "LogisticRegression(max_iter=500).fit(scaler.transform(known), labels[torch.randperm(len(labels))])"), message="expected")
wrong("probe", "only-accuracy", (PREDICT, "classifier.score(scaler.transform(known), labels)"), message="the labels themselves")
wrong("probe", "too-much-held-back", (FITTED, "LogisticRegression(max_iter=500, C=1e-6).fit(scaler.transform(known), labels)"), message="expected")
wrong("probe", "fitted-on-all", (SCALER, "StandardScaler().fit(torch.cat([known, new]))"), message="mean and spread are those of the known features")
wrong("probe", "divided-by-the-variance", message="the root of the variance", source='''
def probe(known, labels, new):
    mean, variance = known.mean(0), known.var(0)
    variance[variance == 0] = 1
    classifier = LogisticRegression(max_iter=500).fit((known - mean) / variance, labels)
    return classifier.predict((new - mean) / variance)
''')
wrong("probe", "neighbours", message="a logistic regression", source='''
from sklearn.neighbors import KNeighborsClassifier


def probe(known, labels, new):
    scaler = StandardScaler().fit(known)
    return KNeighborsClassifier(5).fit(scaler.transform(known), labels).predict(scaler.transform(new))
''')
wrong("probe", "a-network", message="a logistic regression", source='''
from sklearn.neural_network import MLPClassifier


def probe(known, labels, new):
    scaler = StandardScaler().fit(known)
    return MLPClassifier(max_iter=300).fit(scaler.transform(known), labels).predict(scaler.transform(new))
''')
wrong("probe", "last-one-never", message="the last one is not guessed", source='''
def probe(known, labels, new):
    scaler = StandardScaler().fit(known)
    classifier = LogisticRegression(max_iter=500).fit(scaler.transform(known), labels)
    guessed = torch.zeros(len(new), dtype=torch.long)
    for n, row in enumerate(scaler.transform(new)[:-1]):
        guessed[n] = int(classifier.predict(row[None])[0])
    return guessed
''')
wrong("probe", "fitted-on-new-ones", (SCALER, "StandardScaler().fit(new)"), message="mean and spread are those of the known features")
right("probe", "a-pipeline", source='''
from sklearn.pipeline import make_pipeline


def probe(known, labels, new):
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=2000)).fit(known, labels).predict(new)
''')
right("probe", "a-layer-of-torch", source='''
def probe(known, labels, new):
    mean, spread = known.mean(0), known.std(0)
    spread[spread < 1e-12] = 1.0
    x = (known - mean) / spread
    layer = nn.Linear(x.shape[1], int(labels.max()) + 1)
    with torch.enable_grad():
        optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=150, line_search_fn="strong_wolfe")

        def cost():
            optimizer.zero_grad()
            loss = F.cross_entropy(layer(x), labels) + 1e-4 * layer.weight.square().sum()
            loss.backward()
            return loss

        optimizer.step(cost)
    return layer((new - mean) / spread).argmax(1)
''')
right("probe", "least-squares-of-one-hot", source='''
def probe(known, labels, new):
    mean, spread = known.double().mean(0), known.double().std(0).clamp(min=1e-12)
    x = F.pad((known.double() - mean) / spread, (0, 1), value=1.0)
    targets = F.one_hot(labels, int(labels.max()) + 1).double()
    weight = torch.linalg.solve(x.T @ x + 1e-3 * torch.eye(x.shape[1], dtype=x.dtype), x.T @ targets)
    return (F.pad((new.double() - mean) / spread, (0, 1), value=1.0) @ weight).argmax(1)
''')
