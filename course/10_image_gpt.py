# %% [markdown]
# # 10 · Can the same model draw?
#
# Lesson 09 made a text of each digit: 196 words from a vocabulary of 8, read row by row. Counting four
# neighbours, the best of its tables, guessed the next word at a price of 0.85 bits. In lesson 06
# you wrote a model that looks at *all* words before.
#
# So give it pixels. It need not know that they are some. It guesses the next one; we take its guess at
# its word, write the pixel down, and ask again. After 196 questions there is a picture that nobody has
# drawn. Chen and colleagues did this in 2020 with photographs and called it **Image GPT**.
#
# After this lesson you can
#
# - say what a picture costs in bits, from its first pixel to its last, palette included;
# - train a GPT on pixels, and judge it by counting and by a judge;
# - draw pixel by pixel, and show that nothing was copied;
# - train the same model to fill gaps instead, and say why the two losses cannot be compared;
# - tell what a larger model buys in a given time, and what a laptop cannot tell you.
#
# Two hours with the exercises.

# %%
from coursekit import sizes

here = sizes.setup()
print(here)

# %%
settings = here.pick(
    smoke=dict(whole=False, digits=200, dev=20, exam=20, side=14, colours=8, batch_size=8, steps=20,
               every=10, both_steps=20,
               sizes=((8, 1, 1), (16, 2, 1), (16, 2, 2)), rows=(1, 2), drawn=10),
    cpu=dict(whole=False, digits=3500, dev=200, exam=1000, side=14, colours=8, batch_size=8,
             steps=2000, every=200, both_steps=1000,
             sizes=((16, 1, 1), (32, 2, 1), (64, 3, 2)), rows=(1, 2, 5, 10), drawn=100),
    gpu=dict(whole=True, digits=55_000, dev=500, exam=2000, side=28, colours=16, batch_size=32,
             steps=6000, every=500, both_steps=3000,
             sizes=((64, 3, 2), (96, 4, 3), (192, 6, 6)), rows=(1, 2, 4, 12), drawn=200),
)  # fmt: skip

# %% [markdown]
# The text below describes size `cpu`. At `gpu` all of MNIST is fetched, with 28 × 28 pixels in 16
# colours; size `smoke` only proves that every cell runs, and draws noise.
#
# ## 1. Before the first pixel

# %%
import inspect

import torch

from coursekit import plots
from coursekit.datasets import data_folder
from coursekit.datasets.digits import fetch_mnist, load_digits
from coursekit.metrics.images import (
    bits,
    bits_per_pixel,
    classifier_score,
    frechet_distance,
    neighbours,
    per_position,
    unigram,
)
from coursekit.models.digit_judge import digit_judge
from coursekit.models.image_gpt import ImageGPT, ar_loss, bert_loss, draw
from coursekit.palette import Palette, reduced
from coursekit.pixels import Config, load_drawer, shipped_drawer, train_image_gpt
from coursekit.plots.digits import bits_maps, sheet

root = fetch_mnist(data_folder("mnist")) if settings["whole"] else None
train_set = load_digits("train", root, settings["digits"])
dev_set = load_digits("dev", root, settings["dev"])
exam = load_digits("test", root, settings["exam"])
side, V = settings["side"], settings["colours"]
palette = Palette.exact(reduced(train_set.images, side), V)
train_tokens, exam_tokens = (
    palette.encode(reduced(each.images, side)) for each in (train_set, exam)
)  # (n, T)
T = side**2
print(train_set, exam, palette, sep="\n")
print("one text:", "".join(map(str, exam_tokens[3].tolist())))  # fmt: skip

# %% [markdown]
# The chain rule of lesson 09 has a factor for *every* pixel, and the first of them, $p(x_1)$, has
# nothing to look back at. A GPT cannot answer a question that nobody asks: it needs something to read
# before it can say anything. For sentences that was `<bos>`. Here it is one more row in the table of
# colours, number $V$, a colour that no pixel has: the **start token**.
#
# ### Exercise 1 · What the model reads
# *difficulty 1/5 · importance 5/5 · 10 minutes*
#
# The model shall guess all T pixels, each from those before it. Make what it reads.
#
# 1. The first place holds `start`, for each picture.
# 2. Place t (from 0) holds pixel t - 1.
# 3. So the last pixel is read by nobody. The result is (B, T), as the tokens are; leave these alone.


# %%
def shift(tokens, start):
    """tokens (B, T), start a number -> what the model reads, (B, T)"""
    raise NotImplementedError("write me")


from coursekit.checks import lesson_10 as check

check.shift(shift)

# %% [markdown]
# <details><summary>Hint 1: a column of start tokens</summary>
#
# `torch.full_like(tokens[:, :1], start)` is (B, 1), of the same type and on the same device.
# </details>
# <details><summary>Hint 2: putting it together</summary>
#
# `torch.cat([a, b], 1)` joins columns. Which columns of `tokens` are read?
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def shift(tokens, start):
#     first = torch.full_like(tokens[:, :1], start)
#     return torch.cat([first, tokens[:, :-1]], 1)
# ```
# </details>
#
# In lesson 06 the *targets* moved; here the inputs do, and logits $t$ are a guess at token $t$. It is the
# same thing, seen from the other side. Who forgets the start gets T - 1 factors instead of T: a
# likelihood of something that is not quite the picture, and a model that cannot begin.
#
# ## 2. What a picture costs
#
# The loss is the one of lesson 06, cross-entropy: the mean of $-\ln p$ of what came, in nats a pixel
# (Chen et al. 2020, eq. 1 and 2).
#
# $$L_{AR} = -\frac1T \sum_{t=1}^{T} \ln p(x_t \mid x_1, \dots, x_{t-1})$$
#
# For pictures one says it in **bits**. A bit is $\ln 2$ nats, and 196 pixels at one bit each are a file of
# 196 bits: a good model is a good compressor. And lesson 09 had a warning: fewer colours, fewer bits. So
# the palette's part belongs to the bill.
#
# ### Exercise 2 · The whole bill
# *difficulty 2/5 · importance 4/5 · 10 minutes*
#
# 1. From nats a pixel to bits a pixel.
# 2. Each pixel also costs what the palette leaves open, `palette_bits`, in bits already.
# 3. A picture has `pixels` of them.


# %%
def picture_bits(nats, pixels, palette_bits):
    """nats a pixel, pixels of a picture, the palette's bits a pixel -> bits a picture"""
    raise NotImplementedError("write me")


check.picture_bits(picture_bits)

# %% [markdown]
# <details><summary>Hint 1: which way?</summary>
#
# A choice between two equally likely colours costs 1 bit and $\ln 2 = 0.69$ nats. So there are more bits
# than nats.
# </details>
# <details><summary>Hint 2: what adds up</summary>
#
# First the token, then which of its greys: $-\log_2$ of a product is a sum. Both happen at every pixel.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# import math
#
# def picture_bits(nats, pixels, palette_bits):
#     return pixels * (nats / math.log(2) + palette_bits)
# ```
# </details>
#
# Now what there is to beat, by counting alone: how often each colour occurs, how often it does *at this
# place*, and how often it follows these four neighbours. **Predict:** with 16 colours, will a pixel cost
# more than with 8? Will a picture?

# %%
print(f"{'':12}{'bits a pixel, by counting':^36}{'the palette':>13}{'a picture,':>13}")
print(
    f"{'':12}{'colours':>12}{'places':>12}{'neighbours':>12}{'leaves open':>13}{'all in all':>13}"
)
for many in (2, 4, 8, 16):
    each = Palette.exact(reduced(train_set.images, side), many)
    learned, asked = (each.encode(reduced(part.images, side)) for part in (train_set, exam))
    counted = [count(learned, asked, many) for count in (unigram, per_position, neighbours)]
    left = each.cost(reduced(exam.images, side), fit=reduced(train_set.images, side))
    print(
        f"{many:2} colours  {''.join(f'{each:12.3f}' for each in counted)}{left:13.3f}"
        f"{T * (counted[2] + left):13.0f}"
    )

# %% [markdown]
# A pixel costs more with every doubling. A picture does not: with 2 colours nearly everything is left to the
# palette, which guesses nothing, and with 16 the table of four neighbours has 17⁴ rows, most of which no
# training digit has ever filled. **8 colours are best for counting**: 0.85 bits a pixel, 442 a picture. That is
# the sum to beat.
#
# ## 3. Nothing new inside
#
# The package's `ImageGPT` shares its blocks with the `GPT` of lesson 06; both are a `Transformer`. What
# Image GPT does otherwise fits into a small table:
#
# | | GPT-2 | Image GPT | why it may |
# |---|---|---|---|
# | reads | V words | V colours and the start | section 1 |
# | head | the table of words once more | a matrix of its own | 8 colours: there is nothing to save |
# | norm | mean to 0, size to 1, a shift | size to 1 only | one thing less to compute |
# | activation | GELU by tanh | $x \cdot \sigma(1.702\,x)$ | nearly the same curve |
# | place | a vector for each place | the same | **nobody tells it what a row is** |
#
# The last line is the bold one. Counted from 0, pixel 14 stands right below pixel 0, and pixel 13 at the
# other end of the row above; to this model they are three numbers in a table, and what is near must be *found out*.
# **Predict** two things of an untrained one with 8 colours. How many bits does it pay? And if a single pixel
# is changed in the middle, which guesses change?

# %%
torch.manual_seed(0)
fresh = ImageGPT(V, side, *settings["sizes"][-1]).to(here.device).eval()
some = exam_tokens[:50].to(here.device)
with torch.no_grad():
    print(f"untrained: {bits(ar_loss(fresh, some)):.2f} bits a pixel")
    other, place = some[:1].clone(), T // 2
    other[0, place] = (other[0, place] + 1) % V
    moved = (fresh(some[:1]) - fresh(other)).abs().sum(2)[0] > 1e-7
print(
    f"pixel {place} is changed; guesses that change: {moved.nonzero()[0].item()} to "
    f"{moved.nonzero()[-1].item()}"
)
print(inspect.getsource(ar_loss))

# %% [markdown]
# Three bits would be $\log_2 8$, all colours alike; it is close to that. (Places count from 0.) And a guess depends on what came
# before and on nothing else: pixel 98 changes the guess at 99 and later ones, not the guess at itself. (Lesson
# 06 proved the same with a picture of gradients.)
#
# ## 4. It learns
#
# A `Config` says how a model is built and trained, and `train_image_gpt` puts it through the training loop
# that all lessons share; it keeps a checkpoint every so many steps, and goes on where it was broken off.
#
# Batches are **small**, 8 digits each. That is a laptop's choice: a batch of 64 has a better gradient
# and takes eight times as long, and early on many rough steps lead further than few good ones. For the same
# reason the first weights are larger than GPT-2's 0.02, `spread`: a narrow model starts faster with them.
# **Predict:** after how many steps of 8 digits does it beat the four neighbours, whose table has seen all
# 3,500?


# %%
def trained(name, dim, layers, heads, **changes):
    """An Image GPT of this build, trained on the digits, as a Drawer: model, palette and curves."""
    config = Config(
        name=name, side=side, colours=V, dim=dim, layers=layers, heads=heads,
        batch_size=settings["batch_size"],
        learning_rate=2e-3, warmup=0.1, decay="linear", beta_1=0.9, beta_2=0.95, spread=dim**-0.5,
        **dict(steps=settings["steps"], save_every=settings["every"]) | changes,
    )  # fmt: skip
    out = sizes.build_folder("lesson-10", name)
    return train_image_gpt(config, train_set, dev_set, here, out)


large = trained("large", *settings["sizes"][-1])
print(large)

# %%
counted = {
    "by colour": unigram(train_tokens, exam_tokens, V),
    "by place": per_position(train_tokens, exam_tokens, V),
    "four neighbours": neighbours(train_tokens, exam_tokens, V, side),
}
steps = large.curves["step"]
plots.show(
    plots.lines(
        {"training digits": (steps, large.curves["train"]),
         "new digits": (steps, large.curves["dev"])},
        "Looking at all that came before beats counting", "steps", "bits a pixel",
        baselines=counted,
    ),
    alt="Bits a pixel of new digits by step: "
    + ", ".join(f"{value:.2f} at {step}"
                for step, value in zip(steps, large.curves["dev"], strict=True))
    + "; dashed, by counting: " + ", ".join(f"{name} {value:.2f}"
                                            for name, value in counted.items()) + ".",
)  # fmt: skip
found, places = bits_per_pixel(large.model, exam_tokens)
known = bits_per_pixel(large.model, train_tokens[: len(exam_tokens) // 2])[0]
left = palette.cost(reduced(exam.images, side), fit=reduced(train_set.images, side))
print(
    f"test digits {found:.3f} bits a pixel, training digits {known:.3f}; a picture, palette "
    f"included: {T * (found + left):.0f} bits"
)

# %% [markdown]
# After about 600 steps, or 4,800 digits, new digits cost it less than four neighbours cost the table: in the end
# 0.70 bits a pixel on test digits against 0.85, and 413 bits a picture against 442. The curve has not come to rest:
# what ends it is our patience, not the model's. (The blue line begins high because it is a mean *during* each two
# hundred steps, the other one is taken after them.)
#
# Training digits cost 0.66, less than new ones: having read each four or five times, it begins to know them. With
# 3,500 digits this gap would grow, and one day new digits cost *more* again. That is what dev is for: the
# weights that are kept are those that cost dev least.
#
# Where does it save? Here are the bits of each pixel, counted by place and by the model. **Predict:** which rows
# cost it most?

# %%
shares = torch.stack([(train_tokens == colour).float().mean(0) for colour in range(V)], 1)  # (T, V)
shares = (shares * len(train_tokens) + 1 / V) / (len(train_tokens) + 1)
by_place = -shares.log2().gather(1, exam_tokens.T).mean(1)  # (T,)
plots.show(
    bits_maps({"counted by place": by_place, "Image GPT": places},
              "It saves in the middle, where counting by place knows least"),
    alt="Bits of each pixel as two pictures. Counted by place the whole middle is costly, up to "
        f"{by_place.max():.1f} bits; Image GPT pays up to {places.max():.1f}.",
)  # fmt: skip
print("bits a pixel by row:", *(f"{each:.2f}" for each in places.view(side, side).mean(1)))

# %% [markdown]
# The edge costs neither of them anything. In the middle counting pays up to 2.9 bits, nearly the 3 of eight
# equal colours; the model pays 2 at most. That is in the rows where most digits begin: nothing has been said yet
# that tells which one it will be. Below the middle each row is cheaper than the one before.
#
# ## 5. It draws
#
# A guess is a distribution over 8 colours. To draw is to take one colour *by chance*, each as often as the
# guess says. How does a computer do that with a number u between 0 and 1? Lay the probabilities end to
# end on a line from 0 to 1, and see **on whose piece u falls**.
#
# ### Exercise 3 · Draw a pixel
# *difficulty 3/5 · importance 4/5 · 15 minutes*
#
# 1. Softmax over the colours, (B, V).
# 2. Where does each colour's piece end? `cumsum` along the colours, (B, V).
# 3. Take the first colour whose piece ends beyond u, each row with its own u, → (B,), whole numbers. If u
#    falls just where one piece ends and the next begins, it belongs to the next.


# %%
def pick(logits, u):
    """logits (B, V), u (B,) from 0 up to, not including, 1 -> colours (B,)"""
    raise NotImplementedError("write me")


check.pick(pick)

# %% [markdown]
# <details><summary>Hint 1: counting instead of searching</summary>
#
# The first piece that ends beyond u has as many pieces before it as there are ends that u has reached:
# `ends <= u`, added up.
# </details>
# <details><summary>Hint 2: shapes</summary>
#
# `u[:, None]` is (B, 1) and fits (B, V); `.sum(1)` counts along the colours.
# </details>
# <details><summary>Hint 3: the last end</summary>
#
# Rounding may let it be 0.9999999, and a u beyond that would give colour V, which does not exist.
# `.clamp(max=V - 1)`.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def pick(logits, u):
#     ends = logits.softmax(-1).cumsum(-1)
#     return (ends <= u[:, None]).sum(1).clamp(max=logits.shape[1] - 1)
# ```
# </details>
#
# `draw` of the package does this 196 times, with the cache of lesson 06; that loop you will write in
# lesson 11. Here is one picture on its way. Below each stage stands the mean of a hundred ways in which the
# model would go on from there. **Predict:** where is it sure, and where is it not?

# %%
generator = torch.Generator(here.device).manual_seed(20)
one = draw(large.model, 1, generator=generator)  # (1, T)
frames, expected = [], []
for rows in range(side // 7, side, side // 7):
    given = one[:, : rows * side]
    many = draw(large.model, given.expand(settings["drawn"], -1), generator=generator)
    blank = torch.full((side, side), 90, dtype=torch.uint8)
    blank[:rows] = palette.decode(given.cpu(), side)[0]
    frames.append(blank)
    ahead = blank.clone()
    ahead[rows:] = (
        palette.decode(many.cpu(), side)[:, rows:].float().mean(0).round().to(torch.uint8)
    )
    expected.append(ahead)
names = [f"{rows} rows" for rows in range(side // 7, side, side // 7)]
plots.show(
    sheet([*frames, *expected], "What is drawn, and below it the mean of all that may follow",
          [*names, *[""] * len(names)], columns=len(names), size=1.15),
    alt="One digit being drawn, two rows more each time; below, the mean of many endings: first a "
        "grey cloud, then ever more certain.",
)  # fmt: skip

# %% [markdown]
# After two empty rows anything may come, and the cloud is the mean of all digits. Four rows say where the head
# is. After eight there is a loop, and the cloud shrinks to a stem: in our run **it is a 9 by now**, though nobody
# decided so. Chance is large at the top and small at the bottom. What was drawn cannot be taken back; the rest must
# make the best of it.
#
# Now the picture that stays. The checkpoints of section 4 were kept; each draws with the same random numbers,
# and we see ten pictures. **Predict** what is learned first: that there are strokes, that they are smooth, or
# that they make one digit?

# %%
folder = sizes.build_folder("lesson-10", "large")
stages = {0: large.untrained()}
for i in settings["rows"]:
    step = settings["every"] * i
    stages[step] = load_drawer(folder / f"step-{step:06}.pt").to(here.device)
drawn = {}
for step, drawer in stages.items():
    seeded = torch.Generator(here.device).manual_seed(1)
    drawn[step] = palette.decode(
        draw(drawer.model.eval(), settings["drawn"], generator=seeded).cpu()
    )
real = palette.decode(exam_tokens[: settings["drawn"]])
shown = [picture for each in (*drawn.values(), real) for picture in each[:10]]
names = [
    name if i == 0 else ""
    for name in (*(f"step {step}" for step in drawn), "real")
    for i in range(10)
]
plots.show(
    sheet(shown, "First where ink lies, then strokes, then digits", names),
    alt="Ten pictures drawn by the model after " + ", ".join(f"{step}" for step in drawn)
    + " steps, and ten real digits.",
)  # fmt: skip

# %% [markdown]
# The same order as in counting. After 200 steps it knows *where* ink lies, and there are runs along the rows, what
# one learns from the left neighbour. After 400 there are blots that hang together; after 1,000 strokes go on
# **from row to row**: it has found out what stands 14 places back. After 2,000 most pictures are a digit, or
# nearly one. Bits fell from 0.97 to 0.70 for all this; a quarter of a bit can be the difference between a blot and
# a digit.
#
# Looks deceive, so ask the **judge** that ships with the course: a small convolutional network that names
# the digit in a picture, right for 99.4 % of the test digits of this size. It has seen no drawn one. Three
# figures, which are used for large models, too:
#
# - *clearly a digit*: the judge gives one digit more than nine chances in ten;
# - the *classifier score* (Salimans et al. 2016): 10 if it is sure of each picture and all ten digits are
#   equally many, 1 if it says the same of all;
# - the *Fréchet distance* (Heusel et al. 2017) between what the judge sees in drawn pictures and in real
#   ones: 0 if they spread alike. With few pictures it is too large, so compare with real against real.

# %%
judge = digit_judge().to(here.device)
count = settings["drawn"]
kept = palette.decode(exam_tokens[-count:])  # other real digits
seen, clearly = judge.judge(kept.to(here.device))[0], {}
print(f"{'':12}{'clearly a digit':>17}{'classifier score':>18}{'Fréchet distance':>18}")
for name, pictures in (*((f"step {step}", each) for step, each in drawn.items()), ("real", real)):
    features, told = judge.judge(pictures.to(here.device))
    clear = (told.max(1).values > 0.9).float().mean().item()
    print(
        f"{name:12}{clear:17.2f}{classifier_score(told):18.2f}"
        f"{frechet_distance(features, seen):18.2f}"
    )
    clearly[name] = clear
last = list(drawn.values())[-1]
named = judge.judge(last.to(here.device))[1].argmax(1).bincount(minlength=10)
print("drawn digits by name:", ", ".join(f"{digit}: {n}" for digit, n in enumerate(named.tolist())))

# %% [markdown]
# The first row is a warning. To the judge noise is *clearly a digit*, every time: it has seen nothing but digits
# and must say something. But it says the same of all, so the score is 1, and the distance is huge. **No figure is
# to be trusted alone.**
#
# From step 200 on all three get better together, to 0.60, 6.5 and 2.1; each is still far from the 0.98, 9.8 and 0.4
# of real digits. After 200 steps more than a third of the blots are *clearly* digits, too: that is what the judge's
# word alone is worth. (A hundred pictures each: differences of 0.05 in that column are chance.)
#
# A last suspicion: it has read 3,500 digits four or five times. **Did it copy some?** For each drawn picture look
# for the training digit that is nearest. If it was copied, they are much nearer than a *real* new digit is
# to its nearest.

# %%
training = palette.decode(train_tokens)


def nearest(pictures):
    """Each picture's nearest training digit, and how far it is: root mean square over pixels."""
    apart = torch.cdist(pictures.flatten(1).float(), training.flatten(1).float())
    least = apart.min(1)
    return least.indices, least.values / side


which, far = nearest(last)
usual = nearest(real)[1]
pairs = torch.cat([last[:10], training[which[:10]]])
plots.show(
    sheet(pairs, "Drawn, and below the training digit that is nearest",
          ["drawn", *[""] * 9, "nearest", *[""] * 9]),
    alt="Ten drawn pictures, and below each the training digit most like it: alike in shape, "
        "never the same.",
)  # fmt: skip
print(f"greys between a picture and its nearest training digit: drawn {far.median():.0f} (least "
      f"{far.min():.0f}), real new digits {usual.median():.0f} (least {usual.min():.0f})")  # fmt: skip

# %% [markdown]
# Nothing was copied. Even the nearest pair is 19 greys apart, more than the 11 between a new digit of some writer
# and the one most like it, and drawn pictures are further from all training digits than new real ones are: it draws
# worse than people write, not the same. In our run there was hardly time to learn by heart. A model that has read
# its digits a hundred times should be asked again.
#
# ## 6. Or fill the gaps
#
# There is another way to learn from pictures without names. Cover some pixels, show the model **all the
# others, on both sides**, and let it guess what is covered. For texts that is BERT (Devlin et al. 2019),
# and Chen and colleagues trained their model on pictures both ways. Nothing in the model changes but the
# mask of lesson 06, which is taken off; the cover is the start token, a colour that no pixel has.
#
# $$L_{BERT} = -\frac{1}{|M|} \sum_{i \in M} \ln p\big(x_i \mid x_{[1,T] \setminus M}\big)$$
#
# ### Exercise 4 · The loss of the covered
# *difficulty 3/5 · importance 4/5 · 15 minutes*
#
# `guess` is the model: it takes tokens (B, T) and gives logits (B, T, V) of what stands at each place.
#
# 1. Cover: where `masked`, a bool (B, T), is True, put `cover`. The given tokens stay as they are.
# 2. Let it guess, logits (B, T, V).
# 3. The mean of $-\ln p$ of the true tokens over **all covered pixels of the batch**, in nats. What was not
#    covered does not count: the model has seen it.


# %%
def masked_loss(guess, tokens, masked, cover):
    """guess: (B, T) -> (B, T, V), tokens (B, T), masked bool (B, T), cover a number -> a number"""
    raise NotImplementedError("write me")


check.masked_loss(masked_loss)

# %% [markdown]
# <details><summary>Hint 1: covering</summary>
#
# `tokens.masked_fill(masked, cover)` makes new tokens.
# </details>
# <details><summary>Hint 2: choosing</summary>
#
# `logits[masked]` is (covered pixels, V), and `tokens[masked]` (covered pixels,).
# </details>
# <details><summary>Hint 3: the loss</summary>
#
# `torch.nn.functional.cross_entropy` of these two is the mean that is wanted.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def masked_loss(guess, tokens, masked, cover):
#     logits = guess(tokens.masked_fill(masked, cover))
#     return torch.nn.functional.cross_entropy(logits[masked], tokens[masked])
# ```
# </details>
#
# BERT covers 15 in 100 words, Image GPT as many pixels. But only the covered ones teach it anything, and we have few
# steps: so we cover **half**. Afterwards cover more and less of the test digits. **Predict** two ends of the
# curve: what does a pixel cost if only a few are covered? And if all are?

# %%
both = trained(
    "both", *settings["sizes"][-1], objective="bert", masked=0.5, steps=settings["both_steps"]
)

# %%
asked = exam_tokens[: settings["dev"]].to(here.device)
covered = (0.02, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 1.0)
price = []
with torch.no_grad():
    for share in covered:
        seeded = torch.Generator().manual_seed(0)
        nats = [bert_loss(both.model, part, share, seeded).item() for part in asked.split(50)]
        price.append(bits(sum(nats) / len(nats)))
then = large.curves["dev"][settings["both_steps"] // settings["every"] - 1]
print(f"after {settings['both_steps']} steps: {price[covered.index(0.5)]:.2f} bits a pixel with "
      f"half of them covered, and {then:.2f} drawing in order")  # fmt: skip
plots.show(
    plots.lines(
        {"fills gaps": ([100 * share for share in covered], price)},
        "Seeing both sides does not help before one has learned to look",
        "pixels covered (%)", "bits a covered pixel",
        baselines={"draws in order": found}
        | {name: counted[name] for name in ("by place", "four neighbours")}, points=True,
    ),
    alt="Bits a covered pixel by share covered: "
    + ", ".join(f"{share:.0%} {value:.2f}" for share, value in zip(covered, price, strict=True))
    + f". Dashed: drawing in order {found:.2f}, counting by place {counted['by place']:.2f}.",
)  # fmt: skip

# %% [markdown]
# It sees both sides, and it should pay less than a model that sees only what came before. After 1,000 steps it does
# not: 0.91 bits with half of the pixels covered, and no less with two in a hundred covered, where it sees *all*
# neighbours: more than a table of four of them pays. At the same step the other had come down to 0.77. For that one
# the left neighbour is always there, one place back; here any neighbour may be covered, so it must learn to look at
# *whatever is left*, and has half as many pixels to learn it from. Chen and colleagues made both ways work, with far
# larger models and far more steps. And the end of the curve is another thing: it has never met a picture that is
# covered whole, and pays 2.6 bits where counting by place shows that 1.1 would do.
#
# Do not compare 0.91 with 0.70 as if one were better. Each is an honest answer to a question of its own: *what
# stands here, given those around* or *given those before*. **Only the second multiplies to the probability of a
# picture**, by the chain rule, and so only it is a file size, and only it draws from the first pixel to the last.
# The first is for finding out what is in a picture, which is the question of lesson 12.
#
# ## 7. Larger
#
# Image GPT came in three sizes, 76, 455 and 1,362 million weights, and the largest was the best: 2.09, 2.06
# and 2.05 nats a token on pictures of 32 × 32 (the repository openai/image-gpt). Here are three models, the
# same digits in the same order, the same number of steps. The third is the one that you have. **Predict:**
# which is the best after 2,000 steps? And which, if all may *compute* the same?

# %%
small = trained("small", *settings["sizes"][0])
middle = trained("middle", *settings["sizes"][1])

# %%
drawers = {"small": small, "middle": middle, "large": large}


def operations(model):
    """Those of a picture in training: 6 a weight and pixel, and attention (Kaplan et al. 2020)."""
    weights = (
        sum(p.numel() for p in model.parameters())
        - model.tokens.weight.numel()
        - model.positions.weight.numel()
    )
    looks = (
        model.layers * model.dim * T / 2
    )  # a pixel looks back at half of the picture, on average
    return T * (6 * weights + 12 * looks)


title = "Step for step the larger learns more; for few operations a smaller one does"
figure, axes = plots.panels(1, 2, width=8.4, height=3.6, sharey=True, title=title)
scores = {}
for (name, each), mark in zip(drawers.items(), "os^", strict=True):
    digits_seen = [settings["batch_size"] * step for step in each.curves["step"]]
    for ax, xs in zip(
        axes,
        (each.curves["step"], [operations(each.model) * n / 1e12 for n in digits_seen]),
        strict=True,
    ):
        ax.plot(xs, each.curves["dev"], marker=mark, markersize=4, label=name)
    scores[name] = found if each is large else bits_per_pixel(each.model, exam_tokens)[0]
    print(
        f"{name:8}{sum(p.numel() for p in each.model.parameters()):10,} "
        f"weights{each.curves['seconds'][-1]:8.0f} s{scores[name]:8.3f} bits a pixel"
    )
for ax in axes:
    dashed = dict(color=plots.GREY, linestyle="--", linewidth=1.3)
    ax.axhline(counted["four neighbours"], label="four neighbours", **dashed)
axes[0].set(xlabel="steps", ylabel="bits a pixel of new digits")
axes[1].set(xlabel="operations (10¹²)", xscale="log")
axes[0].legend()
plots.show(
    figure,
    alt="Left: bits by step for three sizes; right: the same by operations. At the end: "
    + ", ".join(f"{name} {value:.2f}" for name, value in scores.items())
    + ". Dashed: four neighbours.",
)

# %% [markdown]
# After the same number of steps **the larger is the better**, from the first look on: 0.93, 0.83, 0.70. From small to
# middle, with five times as many weights, it gains 0.09; from middle to large, five times more, 0.13. So small are
# all three that none is large enough. Image GPT's own steps were dearer: six times the weights for 0.03 nats, three
# times for 0.015.
#
# The right side asks what it cost. The small one is at its end when the large one has hardly begun, and it took less
# than a quarter of the time. With little time take a small model; each has a range in which it leads, and with
# more to spend the best size grows. That is what Kaplan and colleagues (2020) found for text, over seven orders
# of magnitude.
#
# Ours are two orders, and two things are unfair. The curves were not made to be read in the middle:
# where the small one ends its learning rate is 0, and the others' is still high, which costs them. And it is
# one training each; lesson 07 showed how far two seeds can lie apart. **What a laptop can show is the pattern,
# not the law.**
#
# ## 8. Longer
#
# What would become of it with more of everything: digits, time, weights? The course brings such a model along, and lesson
# 11 will use it: wider and deeper than `large`, and trained with all of MNIST's training digits but the 5,000 that
# you have. So your test digits are new to it, too. **Predict:** how many bits, and how many of a hundred pictures
# are clearly digits?

# %%
shipped = shipped_drawer().to(here.device)
print(shipped)
learned, asked = (shipped.tokens(each.images) for each in (train_set, exam))  # by its own palette
longer = bits_per_pixel(shipped.model, asked)[0]
against = neighbours(learned, asked, len(shipped.palette))
pictures = shipped.images(
    draw(shipped.model, count, generator=torch.Generator(here.device).manual_seed(1))
)
features, told = judge.judge(pictures.to(here.device))
print(f"{longer:.3f} bits a pixel where four neighbours pay {against:.3f}; "
      f"{(told.max(1).values > 0.9).float().mean():.2f} of its pictures are clearly digits")  # fmt: skip
plots.show(
    sheet([*last[:20], *pictures[:20]], "Yours above; below a larger one, trained for longer",
          columns=10),
    alt="Twenty pictures drawn by the model of this lesson, and twenty by the one that ships with "
        "the course.",
)  # fmt: skip

# %%
table = counted | {f"Image GPT, {name}": value for name, value in scores.items()}
colours = [plots.GREY] * 3 + [plots.BLUE] * 3
if len(shipped.palette) == V and shipped.model.side == side:  # bits of other pixels are other bits
    table["the one that ships"], colours = longer, [*colours, plots.ORANGE]
plots.show(
    plots.bars(table, "A larger model that has trained for longer leaves counting far behind",
               "bits a pixel of test digits", colours),
    alt="Bits a pixel: " + ", ".join(f"{name} {value:.2f}" for name, value in table.items()) + ".",
)  # fmt: skip

# %% [markdown]
# **Yes, it can draw.** Nothing about the model is new: the same start token, the same loss. It has three times as
# many weights, had 16,000 steps of 8 digits in place of 2,000, and 55,000 digits in place of 3,500, of which it
# read each about twice. 0.55 bits: from counting to yours it was 0.15, and it is as far again from yours to this one.
# (More digits alone do little for a table: with those 55,000 the four neighbours pay 0.81.) And 84 of a hundred
# pictures are clearly digits, where yours were 60.
#
# Look also at the bar of the small one. It has all pixels before it to look at, and it loses to four neighbours
# and a table. *Able to see* is not *has learned to look*.
#
# ## When something looks wrong
#
# | what you see | the likely cause |
# |---|---|
# | close to 0 bits, and it draws paper or noise | it sees the pixel that it guesses: inputs not shifted, or no causal mask |
# | it cannot begin, or the first pixel is always the same | no start token, or one that was never trained |
# | 3 bits and no progress | learning rate too high without a warm-up, or labels from another palette |
# | bits stop at counting by place | it does not look back: positions only; a mask that hides everything |
# | fine bits, noisy pictures | drawn with another palette or side; a cache one place off (lesson 06) |
# | every picture is empty | temperature too low: the likeliest pixel is nearly always paper |
# | every digit leans, each row a step further | a wrong `side`, in drawing or in training |
# | training bits fall, dev bits rise | it learns your digits by heart: more of them, moved by a pixel, or stop earlier |
# | masked loss stays where counting by place is | too few steps: it has not yet learned to look (section 6) |
# | masked loss near 0 | the cover does not cover, or the loss takes uncovered pixels in |
#
# ## Questions
#
# 1. The corners of MNIST are always paper. What is the start token good for, if the first pixel is known?
# 2. A model pays 0.7 bits a pixel. How many bytes does a file of one picture take? How would one make such a
#    file?
# 3. Model A pays 0.70 bits with 8 colours, model B 0.45 with 4. What must be known to say which is better?
# 4. Why can the model of section 6 not draw in the same way? What goes wrong if it guesses all covered
#    pixels at once?
# 5. The larger model is better after 2,000 steps. Your laptop has five minutes. Which size do you take, and
#    for which number of steps?
# 6. An empty picture costs fewer bits than nearly every digit (lesson 11 shows it). Does the model then think
#    that an empty picture is a good digit?
#
# <details><summary>Short answers</summary>
#
# 1. The guess at pixel 1 costs next to nothing. But something must be read so that there is a guess, and in
#    pictures of other kinds the first pixel is a real choice. Without it the factors do not multiply to
#    $p(\text{picture})$.
# 2. 0.7 · 196 = 137 bits, 17 bytes, and the palette's part if all greys are wanted. By *arithmetic coding*:
#    writer and reader ask the same model, and the file is a number u that says on whose piece of the line of
#    exercise 3 each pixel falls.
# 3. What each palette leaves open, a pixel. Then add.
# 4. It guesses each covered pixel by itself, from what it sees. Drawn at once, two neighbours do not know
#    what the other became: each is likely alone and both together may be no stroke. One must draw a few,
#    look again, and draw more.
# 5. Whichever is best *at that time*, with its learning rate at 0 by then: train each for five minutes and
#    look. Curves that are cut off early say too little, since their rate was still high.
# 6. No. It is a single picture with a probability larger than that of most other *single* pictures. Digits
#    are many, and together nearly certain.
# </details>
#
# ## Go further
#
# - `coursekit train image-gpt --config laptop` trains the next larger setting; `--objective bert` the other
#   way. How far do your bits fall in a quarter of an hour?
# - Turn every digit on its side before you train. Is another order better or worse? (Lesson 09 counted it.)
# - Take the positions away. What does it still know about rows?
# - Give the model the digit's name: put ten more tokens into the table, and one of them in the place of the
#   start. Can you order a 7?
# - The papers: Chen et al. 2020, [Generative pretraining from
#   pixels](https://cdn.openai.com/papers/Generative_Pretraining_from_Pixels_V2.pdf); van den Oord et al.
#   2016, [Pixel recurrent neural networks](https://arxiv.org/abs/1601.06759); Devlin et al. 2019,
#   [BERT](https://arxiv.org/abs/1810.04805); Salimans et al. 2016, [Improved techniques for training
#   GANs](https://arxiv.org/abs/1606.03498); Heusel et al. 2017, [two time-scale update
#   rule](https://arxiv.org/abs/1706.08500); Kaplan et al. 2020, [Scaling laws for neural language
#   models](https://arxiv.org/abs/2001.08361).
#
# ## What you have, and what is missing
#
# The model of lesson 06, with a start token and three small parts exchanged, draws digits. It was told neither
# what a row is nor what a digit is.
#
# It draws whatever it likes. But it goes on from *any* pixels, and nothing says that they must be its own.
# Give it the upper half of a digit that someone else began. **How many ways can this half go on?** That is
# lesson 11.

# %%
sizes.report(
    bits_a_pixel=found,
    counted_bits=counted["four neighbours"],
    small_bits=scores["small"],
    middle_bits=scores["middle"],
    masked_pixel_bits=price[covered.index(0.5)],
    clearly_digits=clearly[f"step {settings['steps']}"],
    shipped_bits=longer,
)
