"""Answers that prove the tests of assignment a3: wrong ones, each a mistake that students make, and right ones
written in another way. A wrong answer loses exactly the points of `loses`, and `message` is in its verdict.

Most are the model answer with one thing changed. Questions stay independent: a wrong part loses nothing in the
training, because the course's own stands in there.
"""

# fmt: off
from coursekit.grading.bank import Answers

answers = Answers(__file__)
wrong, right, WRONG, RIGHT = answers.wrong, answers.right, answers.WRONG, answers.RIGHT


# --- merge --------------------------------------------------------------------------------------
ADD = "counts[pair] += often"
BEST = "min(counts, key=lambda pair: (-counts[pair], pair))"
WALK = """        kept, place = [], 0
        while place < len(symbols):
            width = 2 if symbols[place : place + 2] == tuple(pair) else 1
            kept.append("".join(symbols[place : place + width]))
            place += width
"""
wrong("merge", "each-word-once", (ADD, "counts[pair] += 1"), message="each word counts once here")
wrong("merge", "each-pair-once-a-word", ("in zip(symbols, symbols[1:], strict=False)", "in set(zip(symbols, symbols[1:]))"),
      message="a pair counts once in each word here")
wrong("merge", "counts-without-overlap", ("        for pair in", "        last = None\n        for pair in"),
      (ADD, "last = None if pair == last else pair\n            counts[pair] += often * (last is not None)"), message="places may overlap when you count")
wrong("merge", "order-forgotten", (ADD, "counts[pair] += often\n            counts[pair[::-1]] += often * (pair[0] != pair[1])"),
      message="the order counts")
wrong("merge", "last-pair-left-out", ("zip(symbols, symbols[1:], strict=False)", "zip(symbols[:-2], symbols[1:])"),
      message="the last pair of each word is left out")
wrong("merge", "count-set", (ADD, "counts[pair] = often"), message="add to what is there already")
wrong("merge", "across-words", ("    for symbols, often in words.items():\n        for pair",
      "    last = None\n    for symbols, often in words.items():\n        if last:\n            counts[last, symbols[0]] += often\n"
      "        last = symbols[-1]\n        for pair"), message="expected")
wrong("merge", "pairs-as-text", (ADD, "counts[' '.join(pair)] += often"), message="keep symbols apart, in a tuple")
wrong("merge", "most-common", (BEST, "Counter(counts).most_common(1)[0][0]"), message="the first in the dictionary")
wrong("merge", "max-of-counts", (BEST, "max(counts, key=counts.get)"), message="the first in the dictionary")
wrong("merge", "last-of-several", (BEST, "sorted(counts, key=counts.get)[-1]"), message="the last in the dictionary")
wrong("merge", "largest-of-several", (BEST, "max(counts, key=lambda pair: (counts[pair], pair))"), message="this is the largest")
wrong("merge", "joined-texts-compared", (BEST, "min(counts, key=lambda pair: (-counts[pair], ''.join(pair)))"),
      message="compare the tuples, not the joined texts")
wrong("merge", "rarest-pair", (BEST, "min(counts, key=lambda pair: (counts[pair], pair))"), message="the smallest count")
wrong("merge", "pair-and-count", (BEST, "min(counts.items(), key=lambda one: (-one[1], one[0]))"), message="without its count")
wrong("merge", "first-place-only", ("            place += width\n", "            place += width\n            if width == 2:\n"
      "                kept += symbols[place:]\n                break\n"), message="only the first place is merged")
wrong("merge", "steps-on-the-second", ("            place += width\n", "            place += 1\n"), message="both symbols are used up")
wrong("merge", "from-the-right", (WALK, """        kept, place = [], len(symbols)
        while place > 0:
            width = 2 if symbols[max(0, place - 2) : place] == tuple(pair) else 1
            kept.insert(0, "".join(symbols[place - width : place]))
            place -= width
"""), message="from the left")
wrong("merge", "replace-in-the-text", (WALK, "        kept = ' '.join(symbols).replace(' '.join(pair), ''.join(pair)).split()\n"),
      message="symbols are whole")
wrong("merge", "pattern-without-escape", (WALK, "        kept = re.sub(r'(?<!\\S)' + ' '.join(pair) + r'(?!\\S)', ''.join(pair), ' '.join(symbols)).split()\n"),
      ("    counts = Counter()\n", "    global re\n    import re\n\n    counts = Counter()\n"), message="in a search pattern . is any letter")
wrong("merge", "either-order", ("== tuple(pair) else", "in (tuple(pair), tuple(pair[::-1])) else"), message="expected")
wrong("merge", "words-as-text", ("merged[tuple(kept)] = often", "merged[' '.join(kept)] = often"), message="keep symbols apart, in a tuple")
wrong("merge", "other-words-dropped", ("        merged[tuple(kept)] = often", "        if len(kept) < len(symbols):\n            merged[tuple(kept)] = often"),
      message="words without the pair stay as they are")
wrong("merge", "counts-lost", ("merged[tuple(kept)] = often", "merged[tuple(kept)] = 1"), message="still 3 times")
wrong("merge", "in-place", ("    merged = {}\n    for symbols, often in words.items():", "    merged = words\n    for symbols, often in list(words.items()):\n        del words[symbols]"),
      message="make a new dictionary")
wrong("merge", "last-symbol-lost", ("while place < len(symbols):", "while place < len(symbols) - 1:"), message="expected")
wrong("merge", "second-symbol-ignored", (BEST, "min(counts, key=lambda pair: (-counts[pair], pair[0]))"), message="then the second symbol decides")
wrong("merge", "shortest-of-several", (BEST, "min(counts, key=lambda pair: (-counts[pair], len(''.join(pair)), pair))"),
      message="how long they are does not matter")
wrong("merge", "cut-out-of-the-text", (WALK, """        parts = ''.join(symbols).split(''.join(pair))
        kept = list(parts[0])
        for part in parts[1:]:
            kept += [''.join(pair), *part]
        kept = kept if len(parts) > 1 else symbols
"""), message="symbols are whole")
wrong("merge", "pairs-around-the-end", ("zip(symbols, symbols[1:], strict=False)", "zip(symbols, (*symbols[1:], symbols[0]), strict=True)"),
      message="expected")
right("merge", "pattern-with-escape", (WALK, "        kept = re.sub(r'(?<!\\S)' + re.escape(' '.join(pair)) + r'(?!\\S)', lambda _: ''.join(pair), ' '.join(symbols)).split()\n"),
      ("    counts = Counter()\n", "    global re\n    import re\n\n    counts = Counter()\n"))
right("merge", "list-changed-while-walking", (WALK, """        kept = list(symbols)
        for place in range(len(symbols)):
            if kept[place : place + 2] == list(pair):
                kept[place : place + 2] = ["".join(pair)]
"""))
right("merge", "loops-with-a-deque", source='''
from collections import defaultdict, deque


def count_pairs(words):
    table = defaultdict(int)
    for word in words:
        for i in range(1, len(word)):
            table[word[i - 1], word[i]] += words[word]
    return table


def best_pair(counts):
    top = max(counts.values())
    return sorted(pair for pair, n in counts.items() if n == top)[0]


def merge_pair(words, pair):
    left, right = pair
    result = {}
    for word, n in words.items():
        todo, done = deque(word), []
        while todo:
            one = todo.popleft()
            if one == left and todo and todo[0] == right:
                one += todo.popleft()
            done.append(one)
        result[(*done,)] = n
    return result
''')
right("merge", "recursion-and-numpy-counts", source='''
def count_pairs(words):
    pairs = sorted({pair for word in words for pair in zip(word, word[1:])})
    found = np.zeros(len(pairs), dtype=np.int64)
    for word, often in words.items():
        for pair in zip(word, word[1:]):
            found[pairs.index(pair)] += often
    return dict(zip(pairs, found))


def best_pair(counts):
    best = None
    for pair in counts:
        if best is None or counts[pair] > counts[best] or counts[pair] == counts[best] and pair < best:
            best = pair
    return list(best)


def merge_pair(words, pair):
    def joined(word):
        if len(word) < 2:
            return word
        if word[:2] == tuple(pair):
            return (word[0] + word[1],) + joined(word[2:])
        return word[:1] + joined(word[1:])

    return {joined(word): often for word, often in words.items()}
''')

# --- mask ---------------------------------------------------------------------------------------
MASK = "torch.ones(T, S + T, dtype=torch.bool).tril(S)"
wrong("mask", "past-forgotten", (MASK, "torch.ones(T, T, dtype=torch.bool).tril()"), message="the S columns of the past are missing")
wrong("mask", "diagonal-at-the-left", (MASK, "torch.ones(T, S + T, dtype=torch.bool).tril()"), message="S columns further right")
wrong("mask", "not-itself", (MASK, "torch.ones(T, S + T, dtype=torch.bool).tril(S - 1)"), message="may look at itself, too")
wrong("mask", "one-too-many", (MASK, "torch.ones(T, S + T, dtype=torch.bool).tril(S + 1)"), message="one place too many")
wrong("mask", "upper-triangle", (MASK, "torch.cat([torch.ones(T, S, dtype=torch.bool), torch.ones(T, T, dtype=torch.bool).triu()], 1)"),
      message="rows and columns are exchanged")
wrong("mask", "turned-round", (MASK, "torch.ones(T, S + T, dtype=torch.bool).triu(S + 1)"), message="it is turned round")
wrong("mask", "minus-infinity", (MASK, "torch.zeros(T, S + T).masked_fill(torch.ones(T, S + T).triu(S + 1) > 0, -math.inf)"),
      message="a table of yes and no")
wrong("mask", "all-rows-of-the-past-too", (MASK, "torch.ones(S + T, S + T, dtype=torch.bool).tril()"), message="one row for each new place")
wrong("mask", "past-behind", (MASK, "torch.cat([torch.ones(T, T, dtype=torch.bool).tril(), torch.ones(T, S, dtype=torch.bool)], 1)"),
      message="expected")
wrong("mask", "past-masked-too", (MASK, "torch.cat([torch.zeros(T, S, dtype=torch.bool), torch.ones(T, T, dtype=torch.bool).tril()], 1)"),
      message="all of the past is seen")
wrong("mask", "everything", (MASK, "torch.ones(T, S + T, dtype=torch.bool)"), message="nothing is masked")
wrong("mask", "past-as-the-diagonal-of-T", (MASK, "torch.ones(T, S + T, dtype=torch.bool).tril(T)"), message="expected")
wrong("mask", "ones-and-zeros", (MASK, "torch.ones(T, S + T).tril(S)"), message="attention would add numbers")
wrong("mask", "integers", (MASK, "torch.ones(T, S + T, dtype=torch.long).tril(S)"), message="a table of yes and no")
wrong("mask", "axes-for-pictures-and-heads", (MASK, MASK + "[None, None]"), message="one table for all pictures and heads")
wrong("mask", "past-lets-all-in", (MASK, MASK + " if S == 0 else torch.ones(T, S + T, dtype=torch.bool)"), message="nothing is masked")
wrong("mask", "hard-coded", loses=["hidden"], message="causal_mask, on other data", source='''
def causal_mask(T, S=0):
    known = {(2, 3): [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], (4, 2): [[1] * (3 + t) + [0] * (3 - t) for t in range(4)]}
    return torch.tensor(known.get((T, S), [[1] * (t + 1) + [0] * (T - 1 - t) for t in range(T)] if S == 0 else [[1] * (S + T)] * T)).bool()
''')
right("mask", "comparing-places", source='''
def causal_mask(T, S=0):
    return torch.arange(S + T)[None, :] <= S + torch.arange(T)[:, None]
''')
right("mask", "rows-of-lists", source='''
def causal_mask(T, S=0):
    return [[column <= S + row for column in range(S + T)] for row in range(T)]
''')
right("mask", "numpy", source='''
def causal_mask(T, S=0):
    return np.hstack([np.ones((T, S)), np.tri(T)]) > 0
''')
right("mask", "square-by-square", source='''
def causal_mask(T, S=0):
    table = torch.zeros((T, S + T), dtype=bool)
    for row in range(T):
        table[row, : S + row + 1] = True
    return table
''')

# --- attention ----------------------------------------------------------------------------------
SPLIT = "(part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))"
ENERGY = "q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])"
SOFTMAX = "energies.masked_fill(~mask, -math.inf).softmax(-1)"
MERGE = "(shares @ v).transpose(1, 2).flatten(2)"
wrong("attention", "not-scaled", (ENERGY, "q @ k.transpose(-1, -2)"), message="the division by the root of d is missing")
wrong("attention", "scaled-by-E", (ENERGY, "q @ k.transpose(-1, -2) / math.sqrt(heads * q.shape[-1])"), message="the root of E")
wrong("attention", "divided-by-d", (ENERGY, "q @ k.transpose(-1, -2) / q.shape[-1]"), message="divided by d; by its root")
wrong("attention", "multiplied", (ENERGY, "q @ k.transpose(-1, -2) * math.sqrt(q.shape[-1])"), message="multiplied by the root")
wrong("attention", "one-head", message="one head alone", source='''
def attention(q, k, v, mask, heads):
    energies = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1] // heads)
    return energies.masked_fill(~mask, -math.inf).softmax(-1) @ v
''')
wrong("attention", "heads-interleaved", (SPLIT, "(part.unflatten(-1, (-1, heads)).movedim(-1, 1) for part in (q, k, v))"),
      (MERGE, "(shares @ v).movedim(1, -1).flatten(2)"), message="every heads-th number")
wrong("attention", "split-in-one-go", (SPLIT, "(part.reshape(len(part), heads, -1, part.shape[-1] // heads) for part in (q, k, v))"),
      message="expected")
wrong("attention", "merged-in-one-go", (MERGE, "(shares @ v).reshape(len(q), q.shape[2], -1)"), message="transpose back before")
wrong("attention", "softmax-over-queries", ("softmax(-1)", "softmax(-2)"), ("-math.inf", "-1e9"), message="the last axis")
wrong("attention", "softmax-over-heads", ("softmax(-1)", "softmax(1)"), ("-math.inf", "-1e9"), message="the last axis")
wrong("attention", "no-softmax", (SOFTMAX, "energies * mask"), message="shares sum to 1")
wrong("attention", "mask-turned-round", ("~mask, -math.inf", "mask, -1e9"), message="the mask is turned round")
wrong("attention", "mask-turned-round-with-infinity", ("~mask, -math.inf", "mask, -math.inf"), message="is the mask turned round")
wrong("attention", "mask-after-softmax", (SOFTMAX, "energies.softmax(-1) * mask"), message="after -inf where the mask is False")
wrong("attention", "mask-multiplies-energies", (SOFTMAX, "(energies * mask).softmax(-1)"), message="-inf before the softmax")
wrong("attention", "mask-added", (SOFTMAX, "(energies + mask).softmax(-1)"), message="-inf before the softmax")
wrong("attention", "mask-not-used", (SOFTMAX, "energies.softmax(-1)"), message="no mask, or one that lets something through")
wrong("attention", "causal-by-itself", message="use the mask that is given", source='''
def attention(q, k, v, mask, heads):
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
''')
wrong("attention", "keys-as-values", ("(shares @ v)", "(shares @ (k + 0 * v))"), message="the keys are summed")
wrong("attention", "keys-times-queries", (ENERGY, "k @ q.transpose(-1, -2) / math.sqrt(q.shape[-1])"), message="RuntimeError")
wrong("attention", "values-not-used", ("(shares @ v)", "(shares @ (0 * v + 1)).mul(k.mean())"), message="does not depend on v")
wrong("attention", "heads-added-up", (MERGE, "(shares @ v).sum(1).repeat(1, 1, heads)"), message="the heads are added up")
wrong("attention", "heads-not-joined", (MERGE, "(shares @ v).transpose(1, 2)"), message="the heads side by side again")
wrong("attention", "shares-detached", ("(shares @ v)", "(shares.detach() @ v)"), message="a gradient to q")
wrong("attention", "through-numpy", (MERGE, "torch.tensor((shares @ v).transpose(1, 2).flatten(2).detach().numpy())"), message="cut the gradient off")
wrong("attention", "scales-q-in-place", ("    q, k, v = ", "    q /= math.sqrt(q.shape[-1] // heads)\n    q, k, v = "),
      (" / math.sqrt(q.shape[-1])", ""), message="no operation in place")
wrong("attention", "minus-a-hundred", ("-math.inf", "-100.0"), message="no such number is low enough")
wrong("attention", "mask-in-place", (SOFTMAX, "energies.masked_fill(mask.logical_not_(), -math.inf).softmax(-1)"), message="the given mask is left as it was")
wrong("attention", "softmax-over-heads-with-infinity", ("softmax(-1)", "softmax(1)"), message="is it the last one")
wrong("attention", "one-head-scaled-by-E", ("    q, k, v = ", "    heads = 1\n    q, k, v = "), message="one head alone")
wrong("attention", "scaled-by-heads", (ENERGY, "q @ k.transpose(-1, -2) / math.sqrt(heads)"), message="divided by the root of heads")
wrong("attention", "first-row-for-all", ("~mask", "~mask[:1]"), message="one row of the mask for all queries")
wrong("attention", "queries-detached", (ENERGY, "q.detach() @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])"), message="a gradient to q")
right("attention", "exponentials-by-hand", source='''
def attention(q, k, v, mask, heads):
    found = []
    for Q, K, V in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1)):
        e = torch.exp(torch.bmm(Q, K.mT) / math.sqrt(Q.shape[-1])) * mask
        found.append(e / e.sum(-1, keepdim=True) @ V)
    return torch.cat(found, -1)
''')
right("attention", "the-librarys", source='''
def attention(q, k, v, mask, heads):
    B, T, E = q.shape
    cut = lambda part: part.view(B, -1, heads, E // heads).permute(0, 2, 1, 3)
    return F.scaled_dot_product_attention(cut(q), cut(k), cut(v), attn_mask=mask).permute(0, 2, 1, 3).reshape(B, T, E)
''')
right("attention", "einsum-in-float64", source='''
def attention(q, k, v, mask, heads):
    d = q.size(-1) // heads
    q, k, v = [part.double().reshape(part.size(0), part.size(1), heads, d) for part in (q, k, v)]
    energies = torch.einsum("bthd,bshd->bhts", q, k) * d**-0.5
    shares = torch.softmax(energies + torch.where(mask, 0.0, -1e30), dim=-1)
    return torch.einsum("bhts,bshd->bthd", shares, v).reshape(q.size(0), q.size(1), -1)
''')
right("attention", "loops-over-heads-and-pictures", source='''
def attention(q, k, v, mask, heads):
    d, pictures = q.shape[-1] // heads, []
    for b in range(len(q)):
        found = []
        for h in range(heads):
            own = slice(h * d, (h + 1) * d)
            rows = []
            for t in range(q.shape[1]):
                seen = mask[t].nonzero()[:, 0]
                energy = (k[b, seen, own] * q[b, t, own]).sum(1) / d**0.5
                e = torch.exp(energy - energy.max().detach())
                rows.append((e / e.sum()) @ v[b, seen, own])
            found.append(torch.stack(rows))
        pictures.append(torch.cat(found, dim=1))
    return torch.stack(pictures)
''')
right("attention", "in-place-on-its-own", source='''
def attention(q, k, v, mask, heads):
    split = lambda part: torch.stack(part.chunk(heads, -1), 1)
    energies = split(q).div(math.sqrt(q.shape[-1] / heads)) @ split(k).mT
    energies[..., ~mask] = float("-inf")
    return torch.cat((energies.softmax(3) @ split(v)).unbind(1), -1)
''')

# --- language -----------------------------------------------------------------------------------
POSITIONS = "self.positions.weight[S : S + T]"
CAT = "torch.cat([past[layer][0], k], 2), torch.cat([past[layer][1], v], 2)"
MASKED = "found = F.scaled_dot_product_attention(q, k, v, mask)"
wrong("language", "positions-from-0", (POSITIONS, "self.positions.weight[:T]"), message="positions begin at 0 again")
wrong("language", "positions-one-late", (POSITIONS, "self.positions.weight[S + 1 : S + T + 1]"), message="positions are one too late")
wrong("language", "positions-from-T", (POSITIONS, "self.positions.weight[T : 2 * T] if S else self.positions.weight[:T]"), message="expected")
wrong("language", "no-positions", (f"        x = x + {POSITIONS}\n", ""), message="no positions are added")
wrong("language", "positions-in-every-block", ("block.qkv(block.norm_1(x))", f"block.qkv(block.norm_1(x + {POSITIONS} * (layer > 0)))"), message="expected")
wrong("language", "is-causal", (MASKED, "found = F.scaled_dot_product_attention(q, k, v, is_causal=True)"), message="is_causal=True")
wrong("language", "is-causal-for-many", (MASKED, "found = F.scaled_dot_product_attention(q, k, v, is_causal=T > 1)"), message="is_causal=True")
wrong("language", "no-mask-with-a-past", (MASKED, "found = F.scaled_dot_product_attention(q, k, v, None if S else mask)"),
      message="these look at later ones, too")
wrong("language", "no-mask", (MASKED, "found = F.scaled_dot_product_attention(q, k, v)"), message="nothing is masked")
wrong("language", "mask-of-new-places-only", (".tril(S)", ".tril()"), message="the mask begins at the left")
wrong("language", "mask-turned-round", (".tril(S)", ".triu(S)"), message="the mask is turned round")
wrong("language", "new-before-past", (CAT, "torch.cat([k, past[layer][0]], 2), torch.cat([v, past[layer][1]], 2)"), message="stand behind the new ones")
wrong("language", "values-without-a-past", (CAT, "torch.cat([past[layer][0], k], 2), torch.cat([past[layer][0], v], 2)"), message="keys of the past stand among the values")
wrong("language", "only-new-ones-kept", ("            if past:", "            kept.append((k, v))\n            if past:"),
      ("            kept.append((k, v))  # (B, heads, S + T, E / heads)\n", ""), message="of all places so far")
wrong("language", "past-not-used", ("            if past:\n                k, v = " + CAT + "\n", ""), message="RuntimeError")
wrong("language", "first-layers-past-for-all", ("past[layer][0], k], 2), torch.cat([past[layer][1]", "past[0][0], k], 2), torch.cat([past[0][1]"),
      message="the past of the first layer is used in all")
wrong("language", "last-layer-only", ("tuple(kept)", "kept[-1]"), message="one pair (keys, values) for each layer")
wrong("language", "past-changed", ("        kept = []\n", "        kept = past if isinstance(past, list) else []\n"),
      ("            kept.append((k, v))", "            kept[layer:layer + 1] = [(k, v)]"), ("tuple(kept)", "kept"), message="the past that is given is changed")
wrong("language", "remembered-in-the-model", ("S = past[0][0].shape[2] if past else 0", "past = past and self.kept\n        S = past[0][0].shape[2] if past else 0"),
      ("        return self.norm(x)", "        self.kept = kept\n        return self.norm(x)"), message="something is kept in the model")
wrong("language", "no-last-norm", ("self.norm(x), ", "x, "), message="the norm after the last block is missing")
wrong("language", "norm-after", ("block.qkv(block.norm_1(x))", "block.qkv(x)"), ("x = x + block.out(found.transpose(1, 2).reshape(B, T, E))",
      "x = block.norm_1(x + block.out(found.transpose(1, 2).reshape(B, T, E)))"), ("x = x + block.mlp(block.norm_2(x))", "x = block.norm_2(x + block.mlp(x))"),
      message="norms come after the addition")
wrong("language", "attention-not-added", ("x = x + block.out", "x = block.out"), message="attention replaces x")
wrong("language", "mlp-not-added", ("x = x + block.mlp", "x = block.mlp"), message="the mlp replaces x")
wrong("language", "no-mlp", ("            x = x + block.mlp(block.norm_2(x))\n", ""), message="the mlp is missing")
wrong("language", "no-out", ("block.out(found.transpose(1, 2).reshape(B, T, E))", "found.transpose(1, 2).reshape(B, T, E)"), message="out is missing")
wrong("language", "norm-1-twice", ("block.mlp(block.norm_2(x))", "block.mlp(block.norm_1(x))"), message="norm_1 stands where norm_2 belongs")
wrong("language", "heads-merged-in-one-go", ("found.transpose(1, 2).reshape(B, T, E)", "found.reshape(B, T, E)"), message="transpose back before")
wrong("language", "heads-split-in-one-go", ("part.view(B, T, self.heads, -1).transpose(1, 2)", "part.reshape(B, self.heads, T, -1)"), message="expected")
wrong("language", "key-before-query", ("            q, k, v = (part", "            k, q, v = (part"), message="query, key, value")
wrong("language", "value-first", ("            q, k, v = (part", "            v, q, k = (part"), message="query, key, value")
wrong("language", "qkv-by-heads", ("block.qkv(block.norm_1(x)).split(E, -1)", "block.qkv(block.norm_1(x)).view(B, T, self.heads, 3, -1).unbind(3)"), ("part.view(B, T", "part.reshape(B, T"), message="expected")
wrong("language", "hidden-alone", ("return self.norm(x), tuple(kept)", "return self.norm(x)"), message="return hidden, past")
wrong("language", "logits", ("return self.norm(x)", "return self.head(self.norm(x))"), message="these are logits")
wrong("language", "no-gradient", ("    def run(", "    @torch.no_grad()\n    def run("), message="hidden with a gradient")
wrong("language", "in-float64", ("return self.norm(x), ", "return self.norm(x).double(), "), message="the type of what is given")
wrong("language", "all-places-again", ("return self.norm(x)", "return torch.cat([x.new_zeros(B, S, E), self.norm(x)], 1)"), message="the new ones alone")
wrong("language", "past-as-two-lists", ("kept = []", "kept = ([], [])"), ("kept.append((k, v))", "kept[0].append(k), kept[1].append(v)"), ("tuple(kept)", "kept"),
      (CAT, "torch.cat([past[0][layer], k], 2), torch.cat([past[1][layer], v], 2)"), message="one pair (keys, values) for each layer")
wrong("language", "keys-and-values-stacked", ("kept.append((k, v))", "kept.append(torch.stack([k, v]))"), message="a tuple: in the loop")
wrong("language", "x-in-place", ("        x = x + self.pos", "        x += self.pos"), message="the given x is left as it was")
wrong("language", "keys-kept-uncut", ("kept.append((k, v))", "kept.append(tuple(part.transpose(1, 2).flatten(2) for part in (k, v)))"), message="of all places so far")
wrong("language", "places-counted-in-the-model", (POSITIONS, "self.positions.weight[self.read_before - T : self.read_before]"),
      ("        x = x + self.pos", "        self.read_before = (self.read_before if past else 0) + T\n        x = x + self.pos"),
      message="something is kept in the model")
wrong("language", "no-norm-1", ("block.norm_1(x)", "x"), message="norm_1 is missing")
wrong("language", "no-norm-2", ("block.norm_2(x)", "x"), message="norm_2 is missing")
wrong("language", "mlp-beside-attention", ("reshape(B, T, E))\n            x = x + block.mlp", "reshape(B, T, E)) + block.mlp"), message="the mlp reads x from before attention")
wrong("language", "norm-2-replaces-x", ("x = x + block.mlp(block.norm_2(x))", "x = block.norm_2(x)\n            x = x + block.mlp(x)"), message="is added to norm_2(x)")
wrong("language", "last-norm-in-every-block", ("x = x + block.mlp(block.norm_2(x))", "x = self.norm(x + block.mlp(block.norm_2(x)))"), ("return self.norm(x)", "return x"),
      message="the last norm comes after every block")
wrong("language", "positions-added-in-every-block", ("            parts = ", f"            x = x + {POSITIONS} if layer else x\n            parts = "),
      message="positions are added in every block")
wrong("language", "value-before-key", ("            q, k, v = (part", "            q, v, k = (part"), message="query, key, value")
wrong("language", "keys-detached", ("            kept.append(", "            k, v = k.detach(), v.detach()\n            kept.append("), message="cuts keys or values off")
right("language", "one-place-at-a-time", source='''
class Language(LanguageLayers):
    def run(self, x, past=None):
        memory = [list(pair) for pair in past] if past is not None else [[None, None] for _ in self.blocks]
        outputs = []
        for t in range(x.shape[1]):
            seen = 0 if memory[0][0] is None else memory[0][0].size(2)
            h = x[:, t] + self.positions(torch.tensor(seen))
            for block, own in zip(self.blocks, memory):
                q, k, v = block.qkv(block.norm_1(h)).chunk(3, dim=1)
                q, k, v = (torch.stack(part.chunk(self.heads, 1), 1)[:, :, None] for part in (q, k, v))
                own[0] = k if own[0] is None else torch.cat((own[0], k), dim=-2)
                own[1] = v if own[1] is None else torch.cat((own[1], v), dim=-2)
                weights = torch.softmax(q @ own[0].mT / q.size(-1) ** 0.5, -1)
                h = h + block.out((weights @ own[1]).flatten(1))
                h = h + block.mlp(block.norm_2(h))
            outputs.append(self.norm(h))
        return torch.stack(outputs, 1), [tuple(own) for own in memory]
''')
right("language", "additive-mask-and-einsum", source='''
class Language(LanguageLayers):
    def look(self, block, x, before):
        cut = lambda part: part.unflatten(2, (self.heads, self.dim // self.heads)).permute(0, 2, 1, 3)
        q, k, v = map(cut, block.qkv(block.norm_1(x)).tensor_split(3, -1))
        if before:
            k, v = (torch.cat(two, dim=2) for two in zip(before, (k, v)))
        new, seen = q.shape[2], k.shape[2]
        bias = torch.full((new, seen), float("-inf")).triu(seen - new + 1)
        energy = torch.einsum("bhtd,bhsd->bhts", q, k) / math.sqrt(q.shape[3]) + bias
        found = torch.einsum("bhts,bhsd->bthd", energy.softmax(3), v).flatten(2)
        return x + block.out(found), [k, v]

    def run(self, x, past=None):
        begin = past[0][0].shape[-2] if past is not None else 0
        x = x + self.positions(torch.arange(begin, begin + x.shape[1]))
        state = []
        for number, block in enumerate(self.blocks):
            x, own = self.look(block, x, past[number] if past is not None else None)
            x = block.mlp(block.norm_2(x)) + x
            state.append(own)
        return self.norm(x), state
''')

# --- mapper -------------------------------------------------------------------------------------
MAPPED = "self.outer(torch.tanh(self.inner(memory)))"
CUT = "found.reshape(len(memory), -1, self.dim)"
wrong("mapper", "no-tanh", (MAPPED, "self.outer(self.inner(memory))"), message="the tanh is missing")
wrong("mapper", "relu", (MAPPED, "self.outer(torch.relu(self.inner(memory)))"), message="a ReLU stands where the tanh belongs")
wrong("mapper", "gelu", (MAPPED, "self.outer(F.gelu(self.inner(memory)))"), message="a GELU stands where the tanh belongs")
wrong("mapper", "tanh-at-the-end", (MAPPED, "torch.tanh(self.outer(self.inner(memory)))"), message="the tanh comes after outer")
wrong("mapper", "tanh-twice", (MAPPED, "torch.tanh(self.outer(torch.tanh(self.inner(memory))))"), message="a second tanh")
wrong("mapper", "each-first", (CUT, "found.unflatten(-1, (self.each, self.dim)).transpose(1, 2).flatten(1, 2)"), message="in another order")
wrong("mapper", "cut-across", (CUT, "found.unflatten(-1, (self.dim, self.each)).transpose(2, 3).flatten(1, 2)"), message="E numbers in a row")
wrong("mapper", "transposed", (CUT, "found.reshape(len(memory), self.dim, -1).transpose(1, 2)"), message="expected")
wrong("mapper", "not-cut", (CUT, "found"), message="cut each row of each * E numbers")
wrong("mapper", "four-axes", (CUT, "found.unflatten(-1, (self.each, self.dim))"), message="one row of N * each embeddings")
wrong("mapper", "pooled", (MAPPED, "self.outer(torch.tanh(self.inner(memory.mean(1, keepdim=True))))"), message="none is averaged away")
wrong("mapper", "pictures-joined", (CUT, "found.reshape(-1, self.dim)"), message="the pictures stay apart")
wrong("mapper", "normalised", (CUT, "F.normalize(found.reshape(len(memory), -1, self.dim), dim=-1)"), message="expected")
wrong("mapper", "no-gradient", ("    def forward", "    @torch.no_grad()\n    def forward"), message="a prefix with a gradient")
wrong("mapper", "in-float64", (CUT, CUT + ".double()"), message="the type of what is given")
wrong("mapper", "in-place", (MAPPED, "self.outer(torch.tanh(self.inner(memory.sub_(memory.mean()))))"), message="no operation in place")
wrong("mapper", "inner-detached", (MAPPED, "self.outer(torch.tanh(self.inner(memory)).detach())"), message="back to the memory")
wrong("mapper", "one-picture", (CUT, "found.reshape(1, -1, self.dim)"), message="expected")
wrong("mapper", "biases-forgotten", (MAPPED, "torch.tanh(memory @ self.inner.weight.T) @ self.outer.weight.T"), message="expected")
right("mapper", "sequential", source='''
class Mapper(MapperLayers):
    def forward(self, memory):
        return nn.Sequential(self.inner, nn.Tanh(), self.outer)(memory.flatten(0, 1)).view(len(memory), -1, self.dim)
''')
right("mapper", "place-by-place", source='''
class Mapper(MapperLayers):
    def forward(self, memory):
        rows = []
        for place in memory.unbind(1):
            rows += self.outer(self.inner(place).tanh()).chunk(self.each, dim=1)
        return torch.stack(rows, dim=1)
''')
right("mapper", "einsum", source='''
class Mapper(MapperLayers):
    def forward(self, memory):
        hidden = torch.tanh(torch.einsum("bnd,hd->bnh", memory, self.inner.weight) + self.inner.bias)
        weight = self.outer.weight.view(self.each, self.dim, -1)
        found = torch.einsum("bnh,keh->bnke", hidden, weight) + self.outer.bias.view(self.each, self.dim)
        return found.flatten(1, 2)
''')

# --- join ---------------------------------------------------------------------------------------
BOTH = "torch.cat([begin, prefix, end], 1) + types[0]"
ROW = "torch.cat([picture, words + types[1]], 1)"
wrong("join", "no-ends", (BOTH, "prefix + types[0]"), message="the two ends are missing")
wrong("join", "no-closing-end", (BOTH, "torch.cat([begin, prefix], 1) + types[0]"), message="one of the two ends is missing")
wrong("join", "both-ends-in-front", (BOTH, "torch.cat([begin, end, prefix], 1) + types[0]"), message="place 1 of picture 0: prefix 0")
wrong("join", "ends-exchanged", (BOTH, "torch.cat([end, prefix, begin], 1) + types[0]"), message="got       </picture> + type 0")
wrong("join", "same-end-twice", (BOTH, "torch.cat([begin, prefix, begin], 1) + types[0]"), message="got       <picture> + type 0")
wrong("join", "end-after-the-words", (BOTH, "torch.cat([begin, prefix], 1) + types[0]"), (ROW, "torch.cat([picture, words + types[1], end + types[0]], 1)"),
      message="place 3 of picture 0: </picture>")
wrong("join", "words-first", (ROW, "torch.cat([words + types[1], picture], 1)"), message="in another order")
wrong("join", "no-types", (BOTH, "torch.cat([begin, prefix, end], 1)"), (ROW, "torch.cat([picture, words], 1)"), message="no types are added")
wrong("join", "words-without-type", (ROW, "torch.cat([picture, words], 1)"), message="it is not added")
wrong("join", "picture-without-type", (" + types[0]", ""), message="type 0 belongs to the picture: it is not added")
wrong("join", "types-exchanged", ("+ types[0]", "+ types[1]"), ("words + types[1]", "words + types[0]"), message="the types are exchanged")
wrong("join", "one-type-for-all", ("words + types[1]", "words + types[0]"), message="type 1 belongs to the words")
wrong("join", "ends-without-type", (BOTH, "torch.cat([begin, prefix + types[0], end], 1)"), message="the two ends belong to the picture")
wrong("join", "ends-as-words", (BOTH, "torch.cat([begin + types[1], prefix + types[0], end + types[1]], 1)"), message="the two ends belong to the picture")
wrong("join", "closing-end-as-word", (BOTH, "torch.cat([begin + types[0], prefix + types[0], end + types[1]], 1)"), message="</picture> belongs to the picture")
wrong("join", "types-in-place", (ROW, "torch.cat([picture, words.add_(types[1])], 1)"), message="writes into the caller's tensor")
wrong("join", "first-picture-for-all", (BOTH, "torch.cat([begin, prefix[:1].expand_as(prefix), end], 1) + types[0]"), message="of picture 0")
wrong("join", "ends-detached", ("in ends)", "in ends.detach())"), message="a gradient at ends")
wrong("join", "along-the-batch", (ROW, "torch.cat([picture, words + types[1]], 0)"), message="expected")
wrong("join", "ends-for-one-picture", ("one.expand(len(prefix), 1, -1)", "one.expand(1, 1, -1)"), message="RuntimeError")
wrong("join", "both-types-at-words", ("words + types[1]", "words + types.sum(0)"), message="one type at each place")
wrong("join", "first-end-without-type", (BOTH, "torch.cat([begin, prefix + types[0], end + types[0]], 1)"), message="type 0 for each of them")
wrong("join", "prefix-in-place", ("torch.cat([begin, prefix, end], 1)", "torch.cat([begin, prefix.add_(0 * types[0].detach() + 1).sub(1), end], 1)"),
      message="prefix += … writes into the caller's tensor")
wrong("join", "types-of-words-detached", ("words + types[1]", "words + types[1].detach()"), message="a gradient at types")
wrong("join", "no-end-without-words", (ROW, ROW + " if words.shape[1] else picture[:, :-1]"), message="then the whole picture is left")
wrong("join", "ends-added", (BOTH, "torch.cat([begin, prefix + begin + end, end], 1) + types[0]"), message="got       prefix 0 + both ends")
right("join", "filled-row-by-row", source='''
def join(prefix, words, ends, types):
    rows = []
    for b in range(prefix.size(0)):
        picture = torch.stack([ends[0], *prefix[b].unbind(0), ends[1]]) + types[0]
        said = [word + types[1] for word in words[b]]
        rows.append(torch.cat([picture, torch.stack(said)]) if said else picture)
    return torch.stack(rows, 0)
''')
right("join", "types-looked-up", source='''
def join(prefix, words, ends, types):
    B, P, E = prefix.shape
    rows = torch.cat([ends[:1].repeat(B, 1, 1), prefix, ends[1:].repeat(B, 1, 1), words], dim=-2)
    kinds = torch.tensor([0] * (P + 2) + [1] * words.shape[1])
    return rows + F.embedding(kinds, types)
''')
right("join", "in-place-on-its-own", source='''
def join(prefix, words, ends, types):
    B, P, E = prefix.shape
    row = torch.empty(B, P + 2 + words.shape[1], E)
    row[:, 0], row[:, P + 1] = ends[0], ends[1]
    row[:, 1 : P + 1] = prefix
    row[:, P + 2 :] = words
    row[:, : P + 2] += types[0]
    row[:, P + 2 :] += types[1]
    return row
''')

# --- labels -------------------------------------------------------------------------------------
ENDED = "(targets == eos_id).long().cumsum(1) - (targets == eos_id).long() > 0"
PAD = "F.pad(targets, (places, 1), value=-100)"
wrong("labels", "not-shifted", ("tokens[:, 1:]", "tokens"), (PAD, "F.pad(targets, (places, 0), value=-100)"), message="the label of a place is the token after it")
wrong("labels", "every-eos-skipped", (ENDED, "targets == eos_id"), message="the first <eos> behind the beginning must be guessed")
wrong("labels", "from-the-first-eos-on", (ENDED, "(targets == eos_id).long().cumsum(1) > 0"), message="the first <eos> behind the beginning must be guessed")
wrong("labels", "bos-counts-as-end", (ENDED, "(tokens == eos_id).long().cumsum(1)[:, :-1] > 0"), message="<bos> may be the same token as <eos>")
wrong("labels", "padding-is-zero", (ENDED, "targets == 0"), message="whatever number pads")
wrong("labels", "padding-stays", (ENDED, "torch.zeros_like(targets, dtype=torch.bool)"), message="whatever number pads")
wrong("labels", "one-eos-too-many", (ENDED, "(targets == eos_id).long().cumsum(1) - (targets == eos_id).long() > 1"), message="whatever number pads")
wrong("labels", "argmax-without-eos", (ENDED, "torch.arange(targets.shape[1]) > (targets == eos_id).long().argmax(1, keepdim=True)"),
      message="a caption that was too long has no <eos>")
wrong("labels", "last-eos", (ENDED, "(targets == eos_id).flip(1).long().cumsum(1).flip(1) == 0"), message="a caption that was too long has no <eos>")
wrong("labels", "picture-forgotten", (PAD, "F.pad(targets, (0, 1), value=-100)"), message="-100 at the places of the picture")
wrong("labels", "nothing-at-the-end", (PAD, "F.pad(targets, (places, 0), value=-100)"), message="-100 at the last one")
wrong("labels", "both-at-the-end", (PAD, "F.pad(targets, (0, places + 1), value=-100)"), message="nothing is to be guessed at the picture")
wrong("labels", "first-word-after-the-picture", (PAD, "F.pad(torch.cat([tokens[:, :1], targets], 1), (places - 1, 1), value=-100) if places else F.pad(targets, (0, 1), value=-100)"),
      message="nothing is to be guessed at the picture")
wrong("labels", "zeros-for-ignored", (PAD, "F.pad(targets, (places, 1), value=0)"), message="nothing is to be guessed at the picture")
wrong("labels", "shifted-twice", ("targets = tokens[:, 1:]", "targets = F.pad(tokens[:, 2:], (0, 1), value=eos_id)"), message="expected")
wrong("labels", "floats", (PAD, PAD + ".float()"), message="cross_entropy wants int64")
wrong("labels", "in-place", ("targets.masked_fill(", "targets.masked_fill_("), message="write into a clone")
wrong("labels", "minus-one", ("ended, -100)", "ended, -1)"), message="what cross_entropy skips is -100")
wrong("labels", "int32", (PAD, PAD + ".int()"), message="cross_entropy wants int64")
wrong("labels", "shifted-to-the-wrong-side", source='''
def make_labels(tokens, places, eos_id):
    labels = F.pad(tokens[:, :-1], (places + 1, 0), value=-100)
    ended = (labels == eos_id).long().cumsum(1) - (labels == eos_id).long() > 0
    return labels.masked_fill(ended, -100)
''', message="shifted to the wrong side")
wrong("labels", "rolled", ("tokens[:, 1:]", "tokens.roll(-1, 1)"), (PAD, "F.pad(targets, (places, 0), value=-100)"), message="-100 at the last place")
wrong("labels", "minus-one-everywhere", ("ended, -100)", "ended, -1)"), (PAD, "F.pad(targets, (places, 1), value=-1)"), message="what cross_entropy skips is -100")
wrong("labels", "shortest-caption-ends-all", ("ended, -100)", "ended.any(0, keepdim=True), -100)"), message="expected")
wrong("labels", "empty-caption-not-ended", (ENDED, "F.pad(torch.cumsum((tokens[:, 2:] == eos_id).long(), 1) - (tokens[:, 2:] == eos_id).long(), (1, 0)) > 0"),
      message="whatever number pads")
right("labels", "plain-lists", source='''
def make_labels(tokens, places, eos_id):
    out = []
    for row in tokens.tolist():
        rest = row[1:]
        if eos_id in rest:
            rest = rest[: rest.index(eos_id) + 1]
        out.append([-100] * places + rest + [-100] * (len(row) - len(rest)))
    return out
''')
right("labels", "loops", source='''
def make_labels(tokens, places, eos_id):
    rows = []
    for caption in tokens.tolist():
        row, over = [-100] * places, False
        for after in caption[1:]:
            row.append(-100 if over else after)
            over = over or after == eos_id
        rows.append(row + [-100])
    return torch.tensor(rows)
''')
right("labels", "numpy-and-where", source='''
def make_labels(tokens, places, eos_id):
    words = np.asarray(tokens)
    B, T = words.shape
    labels = np.full((B, places + T), -100)
    for row, caption in zip(labels, words):
        ends = np.where(caption[1:] == eos_id)[0]
        stop = ends[0] + 1 if len(ends) else T - 1
        row[places : places + stop] = caption[1 : stop + 1]
    return torch.from_numpy(labels)
''')
right("labels", "cumprod", source='''
def make_labels(tokens, places, eos_id):
    B, T = tokens.shape
    going = (tokens != eos_id).int()
    going[:, 0] = 1
    alive = going.cumprod(1)[:, :-1].bool()
    out = tokens.new_full((B, places + T), -100)
    out[:, places : places + T - 1] = torch.where(alive, tokens[:, 1:], -100)
    return out
''')

# --- frozen -------------------------------------------------------------------------------------
FREEZE = "        self.encoder.requires_grad_(False)\n        self.language.requires_grad_(False)\n"
EVAL = "        self.encoder.eval()\n        self.language.eval()\n"
LEARNS = "learns = [part for part in self.parameters() if part.requires_grad]"
ADAMW = "torch.optim.AdamW(learns, learning_rate)"
wrong("frozen", "attribute-of-the-module", (FREEZE, "        self.encoder.requires_grad = False\n        self.language.requires_grad = False\n"),
      message="requires_grad_(False) sets all parameters of a module")
wrong("frozen", "only-evaluation-mode", (FREEZE, ""), message="wants no gradient")
wrong("frozen", "encoder-alone", ("        self.language.requires_grad_(False)\n", ""), message="language.tokens.weight wants no gradient")
wrong("frozen", "language-alone", ("        self.encoder.requires_grad_(False)\n", ""), message="encoder.0.weight wants no gradient")
wrong("frozen", "everything", (FREEZE, "        self.requires_grad_(False)\n"), ("        " + LEARNS, "        learns = list(self.parameters())"), message="mapper, ends and types learn")
wrong("frozen", "ends-frozen-too", (FREEZE, "        self.requires_grad_(False)\n        self.mapper.requires_grad_(True)\n"), message="mapper, ends and types learn")
wrong("frozen", "head-learns", ("self.language.requires_grad_(False)\n", "self.language.requires_grad_(False)\n        self.language.head.requires_grad_(True)\n"),
      message="wants no gradient")
wrong("frozen", "only-once", (EVAL, ""), message="set this one back in your own")
wrong("frozen", "encoder-in-training-mode", ("        self.encoder.eval()\n", ""), message="encoder in evaluation mode")
wrong("frozen", "language-drops-out", ("        self.language.eval()\n", ""), message="language in evaluation mode")
wrong("frozen", "eval-before-super", ("        super().train(mode)\n" + EVAL, EVAL + "        super().train(mode)\n"), message="set this one back in your own")
wrong("frozen", "mapper-never-trains", ("super().train(mode)\n" + EVAL, "super().train(False)\n" + EVAL), message="begins with super().train(mode)")
wrong("frozen", "mode-ignored", ("super().train(mode)", "super().train()"), message="after eval()")
wrong("frozen", "train-returns-nothing", (EVAL + "        return self\n", EVAL), message="end with return self")
wrong("frozen", "not-in-training-mode", ("        self.train()\n", "        self.eval()\n"), message="after it was made")
wrong("frozen", "train-not-called", ("        self.train()\n", ""), message="after it was made")
wrong("frozen", "dropout-only", (EVAL, "        self.language.eval()\n        for part in self.encoder.modules():\n            if isinstance(part, nn.Dropout):\n                part.eval()\n"),
      message="encoder in evaluation mode")
wrong("frozen", "frozen-ones-to-the-optimizer", (LEARNS, "learns = [part for part in self.parameters() if not part.requires_grad]"), message="expected")
wrong("frozen", "mapper-alone", (LEARNS, "learns = list(self.mapper.parameters())"), message="the optimizer does not have it")
wrong("frozen", "types-forgotten", (LEARNS, "learns = [*self.mapper.parameters(), self.ends]"), message="types learns")
wrong("frozen", "copies-to-the-optimizer", (LEARNS, "learns = [part.detach().clone().requires_grad_() for part in self.parameters() if part.requires_grad]"),
      message="the optimizer does not have it")
wrong("frozen", "own-learning-rate", (ADAMW, "torch.optim.AdamW(learns)"), message="with the learning rate that is given")
wrong("frozen", "sgd", (ADAMW, "torch.optim.SGD(learns, learning_rate)"), message="torch.optim.AdamW")
wrong("frozen", "no-optimizer", ("return torch.optim", "torch.optim"), message="the method does not return its result")
wrong("frozen", "no-grad", ("    def optimizer", "    @torch.no_grad()\n    def read(self, memory, tokens):\n        return super().read(memory, tokens)\n\n    def optimizer"),
      message="freezing is not forbidding gradients")
wrong("frozen", "mapper-detached", ("    def optimizer", "    def read(self, memory, tokens):\n        words = self.language.tokens(tokens)\n"
      "        return self.language.run(self.join(self.mapper(memory).detach(), words, self.ends, self.types))\n\n    def optimizer"), message="its gradient is cut off on the way")
wrong("frozen", "gradients-set-to-zero", (FREEZE, "        for part in [*self.encoder.parameters(), *self.language.parameters()]:\n            part.register_hook(torch.zeros_like)\n"),
      message="wants no gradient")
wrong("frozen", "batchnorm-by-hand", (EVAL, "        for part in self.modules():\n            if isinstance(part, nn.Dropout):\n                part.eval()\n"), message="encoder in evaluation mode")
wrong("frozen", "frozen-by-the-optimizer", (FREEZE, ""), ("        " + LEARNS, FREEZE + "        " + LEARNS), message="wants no gradient")
wrong("frozen", "flag-of-the-outer-module", ("        self.language.eval()\n", "        self.language.training = False\n"), message="language in evaluation mode")
wrong("frozen", "matrices-alone", ("        self.language.requires_grad_(False)\n", "        for part in self.language.parameters():\n            part.requires_grad_(part.dim() < 2)\n"),
      message="wants no gradient")
wrong("frozen", "thawed-by-train", ("        super().train(mode)\n", "        super().train(mode)\n        self.requires_grad_(mode)\n"), message="wants no gradient")
wrong("frozen", "train-without-default", ("mode=True", "mode"), ("        self.train()\n", "        self.train(True)\n"), message="TypeError")
right("frozen", "groups", (ADAMW, "torch.optim.AdamW([dict(params=learns[2:]), dict(params=learns[:2], weight_decay=0.0)], lr=learning_rate)"))
right("frozen", "loops-over-parameters", source='''
class FrozenCaptioner(CaptionerLayers):
    FROZEN = ("encoder", "language")

    def __init__(self, *parts, **more):
        super().__init__(*parts, **more)
        for name, parameter in self.named_parameters():
            if name.split(".")[0] in self.FROZEN:
                parameter.requires_grad = False
        self.train(True)

    def train(self, mode=True):
        nn.Module.train(self, mode)
        for name, child in self.named_children():
            if name in self.FROZEN:
                child.train(False)
        return self

    def optimizer(self, learning_rate):
        return torch.optim.AdamW([*self.mapper.parameters(), self.ends, self.types], lr=learning_rate)
''')
right("frozen", "all-parameters-to-the-optimizer", ("        " + LEARNS + "\n", ""), ("AdamW(learns, learning_rate)", "AdamW(self.parameters(), lr=learning_rate, weight_decay=0.0)"))
right("frozen", "modes-set-one-by-one", ("        super().train(mode)\n" + EVAL, "        self.training = mode\n        self.mapper.train(mode)\n" + EVAL))

# --- train --------------------------------------------------------------------------------------
ROWS = "[tokenizer.with_ends(random.choice(captions[i])) for i in batch.tolist()]"
LABELS = "make_labels(tokens, logits.shape[1] - tokens.shape[1], tokenizer.eos_id)"
wrong("train", "shuffled-apart", ("in batch.tolist()]", "in torch.randperm(len(memory))[: len(batch)].tolist()]"), message="in different orders")
wrong("train", "place-in-the-batch", ("in batch.tolist()]", "in range(len(batch))]"), message="in different orders")
wrong("train", "no-end", (ROWS, "[tokenizer.with_ends(random.choice(captions[i]))[:-1] for i in batch.tolist()]"), message="the captions do not end")
wrong("train", "logits-shifted-too", ("cross_entropy(logits.flatten(0, 1)", "cross_entropy(logits.roll(1, 1).flatten(0, 1)"), message="logits and labels are of different places")
wrong("train", "no-step", ("            optimizer.step()\n", ""), message="expected")
wrong("train", "no-backward", ("            loss.backward()\n", ""), message="expected")
wrong("train", "gradients-cleared-too-late", ("            optimizer.zero_grad()\n            loss.backward()\n", "            loss.backward()\n            optimizer.zero_grad()\n"), message="expected")
wrong("train", "pictures-not-used", ("model(memory[batch], tokens)", "model(0 * memory[batch], tokens)"), message="expected")
wrong("train", "returns-in-the-loop", ("            losses.append(loss.item())\n", "            losses.append(loss.item())\n            return model\n"), message="there were few steps")
wrong("train", "without-places", (LABELS, "make_labels(tokens, 0, tokenizer.eos_id)"), message="ValueError")
wrong("train", "returns-nothing", ("    return model", ""), message="train_captioner returns a Module")
wrong("train", "own-optimizer-of-the-language", ("optimizer = model.optimizer(learning_rate)", "optimizer = torch.optim.AdamW(model.language.parameters(), learning_rate)"), message="expected")
right("train", "logits-transposed", ("cross_entropy(logits.flatten(0, 1), labels.flatten())", "cross_entropy(logits.transpose(1, 2), labels)"))
right("train", "all-captions-with-a-schedule", source='''
def train_captioner(model, make_labels, memory, captions, tokenizer, epochs, batch_size, learning_rate):
    pairs = [(i, tokenizer.with_ends(c)) for i, each in enumerate(captions) for c in each]
    steps = epochs * len(memory) // batch_size
    opt = model.optimizer(learning_rate)
    rate = torch.optim.lr_scheduler.LambdaLR(opt, lambda step: max(0.05, 1 - step / steps))
    for _ in range(steps):
        chosen = random.sample(pairs, batch_size)
        tokens, _ = text.pad([ids for _, ids in chosen], tokenizer.pad_id)
        logits = model.train()(memory[[i for i, _ in chosen]], tokens)
        labels = make_labels(tokens, logits.size(1) - tokens.size(1), tokenizer.eos_id)
        real = labels != -100
        opt.zero_grad()
        (-logits.log_softmax(-1)[real].gather(1, labels[real][:, None])).mean().backward()
        opt.step()
        rate.step()
    return model.eval()
''')
