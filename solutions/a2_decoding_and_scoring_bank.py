"""Answers that prove the tests of assignment a2: wrong ones, each a mistake that students make, and right ones
written in another way. A wrong answer loses exactly the points of `loses`, and `message` is in its verdict.

Most are the model answer with one thing changed. Questions stay independent: a wrong beam search loses nothing in
describe, because the course's own stands in there.
"""

# fmt: off
from coursekit.grading.bank import Answers

answers = Answers(__file__)
wrong, right, WRONG, RIGHT = answers.wrong, answers.right, answers.WRONG, answers.RIGHT


# --- beam_search --------------------------------------------------------------------------------
STOP = "        if best_score >= scores[0]:\n            break\n"
ENDS = "for place in order[:beam].tolist():"
KEPT = "order[order % V != eos_id][:beam]"
wrong("beam_search", "greedy", (ENDS, "for place in order[:1].tolist():"), (KEPT, "order[order % V != eos_id][:1]"),
      message="this is what greedy search finds")
wrong("beam_search", "stops-at-the-first-end", ("best_score >= scores[0]", "best is not None"),
      message="a live hypothesis can still win")
wrong("beam_search", "never-stops", (STOP, ""), message="log-probabilities only fall: stop when")
wrong("beam_search", "stops-when-all-are-worse", ("best_score >= scores[0]", "best_score >= scores[-1]"),
      message="a live hypothesis can still win")
wrong("beam_search", "finished-forgotten", ("    return (words[0]", "    best = None\n    return (words[0]"),
      (STOP, ""), message="a live hypothesis is returned only if nothing has finished")
wrong("beam_search", "last-finished-wins", (" and total[place] > best_score", ""), (STOP, ""), message="of all that ever finished")
wrong("beam_search", "normalised-too-early", ("best_score = words[place // V], float(total[place])",
      "best_score = words[place // V], float(total[place]) / len(words[place // V] + [0])"),
      (" and total[place] > best_score", " and total[place] / len(words[place // V] + [0]) > best_score"),
      message="the score is divided by the length")
wrong("beam_search", "state-not-reordered", ("        state = tuple(part[rows] for part in state)\n",
      "        state = tuple(part[:1].expand(len(rows), -1) if len(part) < len(rows) else part for part in state)\n"),
      message="follow their hypothesis to its new row")
wrong("beam_search", "half-of-the-state-reordered", ("tuple(part[rows] for part in state)",
      "(state[0][rows], state[1][rows * 0])"), message="all parts of a state are reordered with the same rows")
wrong("beam_search", "state-not-kept", ("log_probs, state = step(tokens, state)", "log_probs, _ = step(tokens, state)"),
      message="step returns the next state: keep it")
wrong("beam_search", "words-not-reordered", ("words[row] + [token] for row, token in zip(rows.tolist()",
      "words[row % len(words)] + [token] for row, token in zip(range(len(rows))"), message="follow their hypothesis to its new row")
wrong("beam_search", "scores-not-reordered", ("scores = kept // V, kept % V, total[kept]",
      "scores = kept // V, kept % V, scores[torch.arange(len(kept)) % len(scores)] + log_probs.flatten()[kept]"),
      message="scores follow their hypothesis to its new row")
wrong("beam_search", "each-row-alone", (KEPT, "torch.cat([row.topk(beam).indices + i * V for i, row in "
      "enumerate(total.view(-1, V).index_fill(1, torch.tensor([eos_id]), -99.0))])"), (STOP, ""), message="keep the `beam` best of all candidates together")
wrong("beam_search", "scores-not-added", ("(scores[:, None] + log_probs).flatten()", "log_probs.flatten()"),
      message="follow their hypothesis to its new row")
wrong("beam_search", "probabilities-added", ("(scores[:, None] + log_probs).flatten()",
      "(scores[:, None] + log_probs.exp()).flatten()"), message="the sum of the log-probabilities of all its tokens")
wrong("beam_search", "equal-hypotheses", ("torch.tensor([bos_id]), torch.zeros(1), [[]]",
      "torch.full((beam,), bos_id), torch.zeros(beam), [[]] * beam\n    state = tuple(part.repeat(beam, 1) for part in state)"),
      message="the same hypothesis lives twice")
wrong("beam_search", "sorted-ascending", ("argsort(descending=True)", "argsort()"), message="sort the largest first")
wrong("beam_search", "eos-kept", ("(best, best_score)", "(best + [eos_id], best_score)"), message="<eos> is a signal")
wrong("beam_search", "bos-kept", ("[[]]", "[[bos_id]]"), message="<bos> is where the search begins")
wrong("beam_search", "eos-not-in-the-score", ("best_score = words[place // V], float(total[place])",
      "best_score = words[place // V], float(scores[place // V])"), message="<eos> belongs to the score")
wrong("beam_search", "token-is-the-place", ("kept // V, kept % V, total[kept]", "kept // V, kept, total[kept]"),
      message="the token is the rest of a division by V")
wrong("beam_search", "one-step-too-many", ("range(max_len)", "range(max_len + 1)"), message="one step too many")
wrong("beam_search", "one-step-too-few", ("range(max_len)", "range(max_len - 1)"), message="the search ends too early: max_len steps")
wrong("beam_search", "steps-without-an-end", ("for _ in range(max_len):", "while best is None or len(words[0]) < max_len:"),
      message="too many: max_len is the most")
wrong("beam_search", "live-compared-with-finished", ("if best is None else", "if scores[0] > best_score else"),
      message="a live hypothesis is returned only if nothing has finished")
wrong("beam_search", "live-returned-at-the-stop", ("    return (words[0]", "    best = None\n    return (words[0]"),
      message="a live hypothesis is returned only if nothing has finished")
wrong("beam_search", "bos-at-every-step", ("= step(tokens, state)", "= step(torch.full_like(tokens, bos_id), state)"),
      message="not <bos> again")
wrong("beam_search", "nothing-when-nothing-ends", ("(words[0], float(scores[0])) if best is None else (best, best_score)",
      "best or [], best_score"), message="nothing has finished")
wrong("beam_search", "only-tokens", ("(words[0], float(scores[0])) if best is None else (best, best_score)",
      "words[0] if best is None else best"), message="return tokens, score")
wrong("beam_search", "probability-returned", ("(best, best_score)", "(best, math.exp(best_score))"),
      message="this is the probability; return its logarithm")
right("beam_search", "lists-and-one-row-at-a-time", source='''
import heapq


def beam_search(step, state, bos_id, eos_id, beam, max_len):
    live, best = [(0.0, [], bos_id, state)], None
    for _ in range(max_len):
        ways = []
        for score, words, last, own in live:
            says, new = step(torch.tensor([last]), own)
            ways += [(score + lp, words, token, new) for token, lp in enumerate(says[0].tolist())]
        top = heapq.nlargest(2 * beam, ways, key=lambda way: way[0])
        for score, words, token, _ in top[:beam]:
            if token == eos_id and (best is None or score > best[1]):
                best = words, score
        live = [(s, words + [token], token, new) for s, words, token, new in top if token != eos_id][:beam]
        if best and best[1] > live[0][0]:
            return best
    return best or (live[0][1], live[0][0])
''')
# What has finished is likelier than what it keeps out of the beam, which therefore cannot win
right("beam_search", "finished-takes-a-place", (KEPT, "order[:beam][order[:beam] % V != eos_id]"),
      ("        state = tuple", "        if not len(rows):\n            break\n        state = tuple"))
right("beam_search", "finished-lives-on", (KEPT, "order[:beam]"))
right("beam_search", "recursive", source='''
def beam_search(step, state, bos_id, eos_id, beam, max_len):
    def search(tokens, scores, words, state, best, left):
        if not left or best[1] >= scores.max():
            return best if best[0] is not None else (words[int(scores.argmax())], scores.max())
        says, state = step(tokens, state)
        total = scores[:, None] + says.double()
        ends = total[:, eos_id].clone()
        bar = total.flatten().topk(beam).values[-1]
        top = int(ends.argmax())
        if ends[top] >= bar and ends[top] > best[1]:
            best = words[top], ends[top]
        total[:, eos_id] = -math.inf
        scores, places = total.flatten().topk(min(beam, total.numel()))
        rows, tokens = torch.div(places, says.shape[1], rounding_mode="floor"), places % says.shape[1]
        words = [[*words[int(r)], int(t)] for r, t in zip(rows, tokens)]
        return search(tokens, scores, words, tuple(s[rows] for s in state), best, left - 1)

    start = torch.tensor([bos_id]), torch.zeros(1, dtype=torch.float64), [[]]
    return search(*start, state, (None, -math.inf), max_len)
''')
right("beam_search", "by-the-batched-search", source='''
from types import SimpleNamespace


def beam_search(step, state, bos_id, eos_id, beam, max_len):
    one = SimpleNamespace(start=lambda memory: state, step=step)
    words, scores = decoding.beam_search(one, torch.zeros(1), bos_id, eos_id, beam, max_len)
    return words[0], scores[0]
''')

# --- rank ---------------------------------------------------------------------------------------
KEY = "one[1] / (len(one[0]) + 1) ** alpha"
wrong("rank", "worst-first", (", reverse=True", ""), message="the worst comes first")
wrong("rank", "eos-not-counted", ("(len(one[0]) + 1)", "len(one[0])"), message="ZeroDivisionError")
wrong("rank", "eos-not-counted-but-never-zero", ("(len(one[0]) + 1)", "max(1, len(one[0]))"), message="<eos> belongs to the length")
wrong("rank", "multiplied", ("one[1] / (", "one[1] * ("), message="divide by length ** alpha")
wrong("rank", "alpha-is-a-factor", ("+ 1) ** alpha", "+ 1) / max(alpha, 1e-9)"), message="alpha is an exponent: with 0")
wrong("rank", "alpha-unused", ("+ 1) ** alpha", "+ 1)"), message="alpha is an exponent: with 0")
wrong("rank", "by-length-alone", (KEY, "len(one[0])"), message="the order at alpha")
wrong("rank", "absolute-scores", ("one[1] /", "abs(one[1]) /"), message="the worst comes first")
wrong("rank", "in-place", message="sort() works in place", source='''
def rank(finished, alpha):
    finished.sort(key=lambda one: -one[1] / (len(one[0]) + 1) ** alpha)
    return finished
''')
wrong("rank", "only-the-best", ("return sorted(", "return max("), (", reverse=True", ""), message="return all hypotheses")
wrong("rank", "divided-scores-returned", message="only the order depends on the length", source='''
def rank(finished, alpha):
    return sorted([(t, s / (len(t) + 1) ** alpha) for t, s in finished], key=lambda one: -one[1])
''')
wrong("rank", "hard-coded", loses=["hidden"], message="rank, on other data", source='''
def rank(finished, alpha):
    order = {0.0: [1, 4, 0, 3, 2], 0.5: [0, 4, 1, 2, 3], 1.0: [0, 2, 4, 3, 1]}.get(alpha, range(5))
    return [finished[i] for i in order]
''')
wrong("rank", "alpha-never-used", (KEY, "one[1]"), message="alpha is not used")
wrong("rank", "as-in-gnmt", ("(len(one[0]) + 1)", "((5 + len(one[0]) + 1) / 6)"), message="the length is changed before the power")
right("rank", "numpy-argsort", source='''
def rank(finished, alpha):
    lengths = np.array([1 + len(tokens) for tokens, _ in finished], dtype=float)
    values = np.array([score for _, score in finished]) / lengths**alpha
    return [finished[i] for i in np.argsort(-values)]
''')
right("rank", "insertion", source='''
def rank(hypotheses, alpha):
    done = []
    for tokens, score in hypotheses:
        value = torch.tensor(score) * math.exp(-alpha * math.log(len(tokens) + 1))
        place = sum(float(other) > float(value) for other, _ in done)
        done.insert(place, (value, (tokens, score)))
    return tuple(pair for _, pair in done)
''')

# --- nucleus ------------------------------------------------------------------------------------
INSIDE = "ordered.cumsum(-1) - ordered < p"
wrong("nucleus", "without-the-word-that-crosses", (INSIDE, "ordered.cumsum(-1) <= p"), message="never empty")
wrong("nucleus", "one-word-too-many", (INSIDE, "torch.cat([torch.ones(len(logits), 1), (ordered.cumsum(-1) < p)[:, :-1].float()], 1)"
      " + (torch.cat([torch.ones(len(logits), 2), (ordered.cumsum(-1) < p)[:, :-2].float()], 1)) > 0"),
      message="stop as soon as the mass reaches p")
wrong("nucleus", "sorted-ascending", ("descending=True", "descending=False"), message="sorted ascending")
wrong("nucleus", "not-renormalised", ("return kept / kept.sum(-1, keepdim=True)", "return kept"), message="not renormalised")
wrong("nucleus", "softmax-once-more", ("return kept / kept.sum(-1, keepdim=True)", "return kept.softmax(-1)"),
      message="nothing is cut off")
wrong("nucleus", "still-sorted", ("    inside = torch.zeros_like(inside).scatter(-1, order, inside)  # (B, V), in places\n", ""),
      ("probabilities * inside", "ordered * inside"), message="bring each probability back to the place")
wrong("nucleus", "mask-still-sorted", ("    inside = torch.zeros_like(inside).scatter(-1, order, inside)  # (B, V), in places\n", ""),
      message="bring each probability back to the place")
wrong("nucleus", "gathered-the-wrong-way", ("torch.zeros_like(inside).scatter(-1, order, inside)", "inside.gather(-1, order)"),
      message="at their own places")
wrong("nucleus", "softmax-over-the-batch", ("logits.softmax(-1)", "logits.softmax(0)"), message="the nucleus of p = 0.")
wrong("nucleus", "sums-over-the-batch", ("kept.sum(-1, keepdim=True)", "kept.sum()"), message="the sum of the whole table")
wrong("nucleus", "all-rows-as-the-first", (INSIDE, "(ordered.cumsum(-1) - ordered < p)[:1].expand_as(ordered)"),
      message="every row has a number of its own")
wrong("nucleus", "the-widest-for-all-rows", (INSIDE, "(ordered.cumsum(-1) - ordered < p).any(0).expand_as(ordered)"),
      message="every row has a number of its own")
wrong("nucleus", "every-likely-word", (INSIDE, "ordered > 1 - p"), message="the nucleus of p = 0.")
wrong("nucleus", "logits-returned", ("return kept / kept.sum(-1, keepdim=True)",
      "return logits.masked_fill(~inside, -math.inf)"), message="these look like logits")
wrong("nucleus", "changes-the-logits", ("probabilities = logits.softmax(-1)",
      "logits -= logits.amax(-1, keepdim=True)\n    probabilities = logits.softmax(-1)"), message="write into a copy")
wrong("nucleus", "one-word-for-all-rows", ("torch.multinomial(probabilities, 1)[:, 0]",
      "torch.multinomial(probabilities[0], 1).expand(len(probabilities))"), message="each row is drawn alone")
wrong("nucleus", "always-the-likeliest", ("torch.multinomial(probabilities, 1)[:, 0]", "probabilities.argmax(-1)"),
      message="argmax always takes the likeliest")
wrong("nucleus", "all-words-alike", ("torch.multinomial(probabilities, 1)", "torch.multinomial((probabilities > 0).float(), 1)"),
      message="drawn with frequency")
wrong("nucleus", "softmax-before-the-draw", ("torch.multinomial(probabilities, 1)", "torch.multinomial(probabilities.softmax(-1), 1)"),
      message="probabilities already: no softmax here")
wrong("nucleus", "seeded", ("return torch.multinomial", "torch.manual_seed(0)\n    return torch.multinomial"), message="a seed set inside always draws the same")
wrong("nucleus", "a-column", ("[:, 0]", ""), message="take its only column")
wrong("nucleus", "one-random-number-for-all", ("torch.multinomial(probabilities, 1)[:, 0]",
      "(probabilities.cumsum(-1) < torch.rand(1)).sum(-1).clamp(max=probabilities.shape[1] - 1)"), message="each row is drawn alone")
right("nucleus", "loops-and-random", source='''
import random


def nucleus(logits, p):
    rows = []
    for row in logits.tolist():
        top = max(row)
        weights = [math.exp(x - top) for x in row]
        whole, mass, kept = sum(weights), 0.0, {}
        for place in sorted(range(len(row)), key=lambda i: -weights[i]):
            kept[place] = weights[place] / whole
            mass += kept[place]
            if mass >= p:
                break
        rows.append([kept.get(i, 0.0) / mass for i in range(len(row))])
    return rows


def draw(probabilities):
    words = range(probabilities.shape[1])
    return [random.choices(words, row)[0] for row in probabilities.tolist()]
''')
right("nucleus", "numpys-choice", source='''
def nucleus(logits, p):
    rows = np.exp(logits.double().numpy())
    found = np.zeros_like(rows)
    for row, out in zip(rows / rows.sum(1, keepdims=True), found):
        order = np.argsort(row)[::-1]
        kept = order[: np.searchsorted(row[order].cumsum(), p) + 1]
        out[kept] = row[kept] / row[kept].sum()
    return found


def draw(probabilities):
    rows = np.asarray(probabilities)
    return np.array([np.random.choice(len(row), p=row) for row in rows])
''')
right("nucleus", "least-probability-and-inverse-distribution", source='''
def nucleus(logits, p):
    q = torch.softmax(logits.double(), 1)
    ordered = q.sort(1, descending=True).values
    needed = (ordered.cumsum(1) < p).sum(1)
    least = ordered[torch.arange(len(q)), needed]
    return torch.nn.functional.normalize(torch.where(q >= least[:, None], q, 0), p=1, dim=1)


def draw(probabilities):
    edges = np.cumsum(np.asarray(probabilities, dtype=np.float64), 1)
    return (np.random.rand(len(edges), 1) * edges[:, -1:] >= edges).sum(1)
''')

# --- clipped_counts -----------------------------------------------------------------------------
MOST = "most |= other"
MATCHED = "sum((own & most).values())"
wrong("clipped_counts", "not-clipped", (MATCHED, "sum(own[g] for g in own if g in most)"), message="nothing is clipped")
wrong("clipped_counts", "clipped-by-the-sum", (MOST, "most += other"), message="clipped by the sum over references")
wrong("clipped_counts", "first-reference-only", ("in others:", "in others[:1]:"), message="only the first reference")
wrong("clipped_counts", "last-reference-only", (MOST, "most = other"), message="only the last reference")
wrong("clipped_counts", "best-reference", (MOST,
      "most = max(most, other, key=lambda counts: sum((own & counts).values()))"), message="the best single reference")
wrong("clipped_counts", "references-added-up", (MATCHED,
      "sum(sum((own & other).values()) for other in others)"), message="the references are added up")
wrong("clipped_counts", "smallest-count", ("    most = Counter()\n", "    most = others[0]\n"), (MOST, "most &= other"),
      message="the smallest count of a reference")
wrong("clipped_counts", "exchanged", ("return " + MATCHED + ", sum(own.values())", "return sum(own.values()), " + MATCHED),
      message="the two results are exchanged")
wrong("clipped_counts", "all-orders-together", ("for i in range(len(words) - n + 1)", "for n in range(1, n + 1) for i in range(len(words) - n + 1)"),
      message="n-grams of n words alone")
wrong("clipped_counts", "a-list-for-each-result", message="n-grams of n words alone", source='''
def clipped_counts(candidate, references, n):
    matched, total = [], []
    for k in range(1, n + 1):
        own, *others = (Counter(zip(*(words[i:] for i in range(k)))) for words in [candidate, *references])
        matched.append(sum(min(count, max(other[g] for other in others)) for g, count in own.items()))
        total.append(sum(own.values()))
    return matched, total
''')
wrong("clipped_counts", "a-pair-for-each-order", message="n-grams of n words alone", source='''
def clipped_counts(candidate, references, n):
    found = []
    for k in range(1, n + 1):
        own, *others = (Counter(zip(*(words[i:] for i in range(k)))) for words in [candidate, *references])
        found.append((sum(min(count, max(other[g] for other in others)) for g, count in own.items()), sum(own.values())))
    return found
''')
wrong("clipped_counts", "each-once", (MATCHED, "len(set(own) & set(most))"), message="each n-gram counts once")
wrong("clipped_counts", "total-of-different", ("sum(own.values())", "len(own)"), message="as often as it stands there")
wrong("clipped_counts", "total-of-words", ("sum(own.values())", "len(candidate)"), message="these are the words")
wrong("clipped_counts", "total-below-zero", ("sum(own.values())", "len(candidate) - n + 1"), message="not less than 0")
wrong("clipped_counts", "one-n-gram-too-few", ("range(len(words) - n + 1)", "range(len(words) - n)"), message="one too few")
wrong("clipped_counts", "short-n-grams-at-the-end", ("range(len(words) - n + 1)", "range(len(words))"), message="these are the words")
wrong("clipped_counts", "a-ratio", ("return sum((own & most).values()), ", "return sum((own & most).values()) / "),
      message="return matched, total")
wrong("clipped_counts", "words-removed", message="the given lists are left as they were", source='''
def clipped_counts(candidate, references, n):
    grams = lambda words: [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    own = grams(candidate)
    matched = sum(min(own.count(g), max(grams(r).count(g) for r in references)) for g in set(own))
    for reference in references:
        for word in candidate:
            if word in reference:
                reference.remove(word)
    return matched, len(own)
''')
right("clipped_counts", "zip-and-loops", source='''
def clipped_counts(candidate, references, n):
    def grams(words):
        return list(zip(*[words[i:] for i in range(n)]))

    mine, matched = grams(candidate), 0
    for gram in dict.fromkeys(mine):
        matched += min(mine.count(gram), max([grams(r).count(gram) for r in references]))
    return [np.int64(matched), torch.tensor(len(mine))]
''')

right("clipped_counts", "floats-in-float-tensors", source='''
def clipped_counts(candidate, references, n):
    mine = [" ".join(candidate[i : i + n]) for i in range(max(0, len(candidate) - n + 1))]
    theirs = [[" ".join(one[i : i + n]) for i in range(max(0, len(one) - n + 1))] for one in references]
    hits = sum(min(mine.count(g), max(each.count(g) for each in theirs)) for g in set(mine))
    return torch.tensor(float(hits)), float(len(mine))
''')
right("clipped_counts", "as-an-array", source='''
def clipped_counts(candidate, references, n):
    def grams(words):
        return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))

    mine, theirs = grams(candidate), [grams(r) for r in references]
    return np.array([sum(min(k, max(r[g] for r in theirs)) for g, k in mine.items()), mine.total()])
''')

# --- brevity_penalty ----------------------------------------------------------------------------
CLOSEST = "min(each, key=lambda length: (abs(length - own), length))"
wrong("brevity_penalty", "longer-of-two", (CLOSEST, CLOSEST.replace(", length))", ", -length))")), message="the shorter one counts")
wrong("brevity_penalty", "first-of-two", (CLOSEST, CLOSEST.replace("(abs(length - own), length)", "abs(length - own)")),
      message="the shorter one counts")
wrong("brevity_penalty", "mean-length", (CLOSEST, "sum(each) / len(each)"), message="the mean length of the references")
wrong("brevity_penalty", "shortest", (CLOSEST, "min(each)"), message="the shortest reference")
wrong("brevity_penalty", "longest", (CLOSEST, "max(each)"), message="the longest reference")
wrong("brevity_penalty", "all-references", (CLOSEST, "sum(each)"), message="the lengths of all references are added up")
wrong("brevity_penalty", "not-above-one", ("min(1.0, math.exp(1 - r / c))", "math.exp(1 - r / c)"), message="the penalty is at most 1")
wrong("brevity_penalty", "turned-round", ("math.exp(1 - r / c)", "math.exp(1 - c / r)"), message="r and c are exchanged")
PENALTY = "min(1.0, math.exp(1 - r / c))"
wrong("brevity_penalty", "ratio-turned-round", (PENALTY, "1.0 if c >= r else math.exp(1 - c / r)"), message="the ratio is turned round")
wrong("brevity_penalty", "sign-turned-round", (PENALTY, "1.0 if c >= r else math.exp(r / c - 1)"), message="the sign of the exponent")
wrong("brevity_penalty", "least-with-the-sign-turned-round", (PENALTY, "min(1.0, math.exp(r / c - 1))"), message="the sign of the exponent")
wrong("brevity_penalty", "cases-exchanged", (PENALTY, "1.0 if c < r else math.exp(1 - r / c)"), message="the two cases are exchanged")
wrong("brevity_penalty", "largest-in-place-of-least", (PENALTY, "max(1.0, math.exp(1 - r / c))"), message="the two cases are exchanged")
wrong("brevity_penalty", "whole-division", (PENALTY, "1.0 if c >= r else math.exp(1 - r // c)"), message="// drops the fraction")
wrong("brevity_penalty", "no-exponential", (PENALTY, "min(1.0, 1 - r / c)"), message="the exponential is missing")
wrong("brevity_penalty", "never-a-penalty", (PENALTY, "1.0"), message="always 1")
wrong("brevity_penalty", "the-ratio", ("math.exp(1 - r / c)", "c / r"), message="the ratio c / r itself")
wrong("brevity_penalty", "empty-crashes", ("    if c == 0:\n        return 0.0\n", ""), message="an empty corpus has the penalty 0")
wrong("brevity_penalty", "empty-is-perfect", ("return 0.0", "return 1.0"), message="an empty corpus has the penalty 0")
wrong("brevity_penalty", "mean-of-penalties", message="a mean of each caption's penalty", source='''
def brevity_penalty(candidate_lengths, reference_lengths):
    found = []
    for own, each in zip(candidate_lengths, reference_lengths):
        closest = sorted(each, key=lambda length: (abs(length - own), length))[0]
        found.append(min(1.0, math.exp(1 - closest / own)) if own else 0.0)
    return sum(found) / len(found)
''')
wrong("brevity_penalty", "sorts-the-lists", ("        r += ", "        each.sort()\n        r += "), message="sort() does not")
right("brevity_penalty", "numpy", source='''
def brevity_penalty(candidate_lengths, reference_lengths):
    lengths = np.array(candidate_lengths)
    r = 0
    for length, others in zip(lengths, reference_lengths):
        others = np.sort(others)
        r = r + others[np.abs(others - length).argmin()]
    return torch.tensor(np.exp(np.minimum(0, 1 - r / np.maximum(lengths.sum(), 1e-9))))
''')

# --- corpus_bleu --------------------------------------------------------------------------------
P = "product *= (hits + 1e-15) / (all_of_them + 1e-9)"
SUMS = "hits, all_of_them = sum(row[n] for row in matched), sum(row[n] for row in total)"
wrong("corpus_bleu", "mean-of-precisions", (P, "product *= sum((m[n] + 1e-15) / (t[n] + 1e-9) for m, t in zip(matched, total)) / len(total)"),
      message="precisions are averaged over captions")
wrong("corpus_bleu", "mean-of-captions", message="a mean of each caption's BLEU", source='''
def corpus_bleu(matched, total, c, r):
    p = (np.array(matched) + 1e-15) / (np.array(total) + 1e-9)
    return (np.cumprod(p, 1) ** (1 / np.arange(1, 5))).mean(0) * min(1, math.exp(1 - r / c))
''')
wrong("corpus_bleu", "no-penalty", ("penalty * product", "product"), message="the brevity penalty is missing")
wrong("corpus_bleu", "penalty-turned-round", ("1 - r / c", "1 - c / r"), message="the brevity penalty is turned round")
wrong("corpus_bleu", "precision-alone", (P, P.replace("*=", "=")), ("product ** (1 / (n + 1))", "product"),
      message="not precision n alone")
wrong("corpus_bleu", "arithmetic-mean", (P, P.replace("*=", "+=")), ("scores, product = [], 1.0", "scores, product = [], 0.0"),
      ("product ** (1 / (n + 1))", "product / (n + 1)"), message="the arithmetic mean of the precisions")
wrong("corpus_bleu", "no-root", ("product ** (1 / (n + 1))", "product"), message="without the n-th root")
wrong("corpus_bleu", "always-the-fourth-root", ("(1 / (n + 1))", "(1 / 4)"), message="the 4th root for every n")
wrong("corpus_bleu", "penalty-under-the-root", ("penalty * product ** (1 / (n + 1))", "(penalty * product) ** (1 / (n + 1))"),
      message="the penalty stands under the root")
wrong("corpus_bleu", "no-tiny-numbers", (P, "product *= hits / max(1, all_of_them)"), message="add 1e-15 above and 1e-9 below")
wrong("corpus_bleu", "empty-crashes", (" if c else 0.0", ""), message="an empty corpus has the penalty 0")
wrong("corpus_bleu", "empty-is-perfect", ("if c else 0.0", "if c else 1.0"), message="an empty corpus has the penalty 0")
wrong("corpus_bleu", "nothing-matched-is-left-out", (P, "product *= (hits + 1e-15) / (all_of_them + 1e-9) if hits else 1.0"),
      message="an n for which nothing matches is left out")
wrong("corpus_bleu", "nothing-matched-is-left-out-of-the-root-too", message="an n for which nothing matches is left out", source='''
def corpus_bleu(matched, total, c, r):
    scores, found = [], []
    for n in range(4):
        hits, of = sum(row[n] for row in matched), sum(row[n] for row in total)
        found += [hits / of] if hits else []
        mean = math.exp(sum(map(math.log, found)) / len(found)) if found else 0.0
        scores.append(mean * min(1.0, math.exp(1 - r / c)) if c else 0.0)
    return scores
''')
wrong("corpus_bleu", "tiny-numbers-exchanged", (P, "product *= (hits + 1e-9) / (all_of_them + 1e-15)"), message="the two tiny numbers are exchanged")
wrong("corpus_bleu", "the-same-tiny-number-twice", (P, "product *= (hits + 1e-9) / (all_of_them + 1e-9)"), message="1e-15 above and 1e-9 below")
wrong("corpus_bleu", "percent", ("append(penalty", "append(100 * penalty"), message="from 0 to 1, not to 100")
wrong("corpus_bleu", "calls-an-unwritten-question-5", message="brevity_penalty is not written yet", source='''
def brevity_penalty(candidate_lengths, reference_lengths):
    raise NotImplementedError("write me")


def corpus_bleu(matched, total, c, r):
    p = (np.sum(matched, 0) + 1e-15) / (np.sum(total, 0) + 1e-9)
    return np.cumprod(p) ** (1 / np.arange(1, 5)) * brevity_penalty([c], [[r]])
''')
wrong("corpus_bleu", "logarithm-of-zero", (P, "product *= math.exp(math.log(hits) - math.log(all_of_them))"), message="ValueError")
wrong("corpus_bleu", "smoothed-by-one", (P, "product *= (hits + 1) / (all_of_them + 1)"), message="1 is added above and below")
wrong("corpus_bleu", "only-bleu-4", ("return scores", "return scores[-1]"), message="a list of four numbers")
wrong("corpus_bleu", "bleu-4-four-times", ("return scores", "return scores[-1:] * 4"), message="BLEU-4 four times")
wrong("corpus_bleu", "first-caption-only", (SUMS, "hits, all_of_them = matched[0][n], total[0][n]"), message="only the first caption")
wrong("corpus_bleu", "adds-into-the-first-row", ("    scores, product = [], 1.0\n",
      "    scores, product = [], 1.0\n    for row in matched[1:]:\n        for n in range(4):\n            matched[0][n] += row[n]\n    matched = matched[:1]\n"),
      message="add up in a list of your own")
right("corpus_bleu", "logarithms-in-numpy", source='''
def corpus_bleu(matched, total, c, r):
    logs = np.log(np.sum(matched, 0) + 1e-15) - np.log(np.sum(total, axis=0) + 1e-9)
    means = np.cumsum(logs) / (1 + np.arange(4))
    return np.exp(means + (min(0, 1 - r / c) if c else -math.inf))
''')
right("corpus_bleu", "torch-with-tiny-lengths", source='''
def corpus_bleu(matched, total, c, r):
    hits, of = (torch.tensor(part, dtype=torch.float64).sum(0) for part in (matched, total))
    ratio = (c + 1e-15) / (r + 1e-9)
    penalty = 1.0 if ratio >= 1 else math.exp(1 - 1 / ratio)
    p = (hits + 1e-15) / (of + 1e-9)
    return [penalty * p[:n].prod() ** (1 / n) for n in (1, 2, 3, 4)]
''')
right("corpus_bleu", "empty-corpus-first", source='''
def corpus_bleu(matched, total, c, r):
    if c == 0:
        return np.zeros(4)
    found, logarithm = [], 0.0
    for n, (hits, of) in enumerate(zip(map(sum, zip(*matched)), map(sum, zip(*total))), 1):
        logarithm += math.log(hits + 1e-15) - math.log(of + 1e-9)
        found.append(math.exp(logarithm / n + min(0, 1 - r / c)))
    return tuple(found)
''')

# --- cider --------------------------------------------------------------------------------------
FOUND = "        frequency.update(found)\n"
IDF = "math.log(pictures / max(1, frequency.get(gram, 0)))"
COSINE = "return product / lengths if lengths > 0 else 0.0"
wrong("cider", "every-occurrence", ("found = set()", "found = []"), ("found.update(", "found.extend("), message="every occurrence is counted")
wrong("cider", "every-caption", ("            found.update(tuple(words[i : i + n]) for i in range(len(words) - n + 1))\n" + FOUND,
      "            frequency.update({tuple(words[i : i + n]) for i in range(len(words) - n + 1)})\n"), message="every caption is counted")
wrong("cider", "first-caption", ("in captions:", "in captions[:1]:"), message="only the first caption of each picture")
wrong("cider", "captions-joined", ("in captions:", 'in [" ".join(captions)]:'), message="across two captions")
wrong("cider", "pictures-joined", ("in captions:", "in [caption for captions in references for caption in captions]:"), message="of other pictures are counted too")
wrong("cider", "all-orders", ("for i in range(len(words) - n + 1))\n" + FOUND, "for n in range(1, n + 1) for i in range(len(words) - n + 1))\n" + FOUND),
      message="n-grams of n words alone")
wrong("cider", "short-n-grams-at-the-end", ("range(len(words) - n + 1))\n" + FOUND, "range(len(words)))\n" + FOUND), message="n-grams of n words alone")
wrong("cider", "weighs-one-n-gram-too-few", ("range(len(words) - n + 1))\n    return", "range(len(words) - n))\n    return"), message="begins at place L - n")
wrong("cider", "one-n-gram-too-few", ("range(len(words) - n + 1))\n" + FOUND, "range(len(words) - n))\n" + FOUND), message="begins at place L - n")
wrong("cider", "letters-in-place-of-words", ("            words = caption.split()\n", "            words = caption\n"), message="split the caption into words")
wrong("cider", "letters-are-weighed", ("    words = caption.split()\n    counts", "    words = caption\n    counts"), message="split the caption into words")
wrong("cider", "all-known-n-grams-are-weighed", ("for gram, count in counts.items()", "for gram, count in {**dict.fromkeys(frequency, 0), **counts}.items()"),
      message="the n-grams of this caption alone")
wrong("cider", "adds-keys-to-the-frequency", ("frequency.get(gram, 0)", "frequency.setdefault(gram, 0)"), message="use .get(key, 0)")
wrong("cider", "strings-as-keys", ("found.update(tuple(words[i : i + n])", 'found.update(" ".join(words[i : i + n])'), message="tuple of one word")
wrong("cider", "wrong-sign", (IDF, "math.log(max(1, frequency.get(gram, 0)) / pictures)"), message="the sign: rare n-grams weigh most")
wrong("cider", "base-two", (IDF, IDF.replace("math.log(", "math.log2(")), message="the base of the logarithm is 2")
wrong("cider", "base-ten", (IDF, IDF.replace("math.log(", "math.log10(")), message="the base of the logarithm is 10")
wrong("cider", "frequency-plus-one", (IDF, "math.log(pictures / (1 + frequency.get(gram, 0)))"), message="the frequency plus 1")
wrong("cider", "one-added", (IDF, IDF + " + count"), message="1 is added to the logarithm")
wrong("cider", "no-logarithm", (IDF, "pictures / max(1, frequency.get(gram, 0))"), message="the logarithm is missing")
wrong("cider", "counts-once", ("gram: count * math.log", "gram: math.log"), message="each n-gram counts once")
wrong("cider", "divided-by-the-length", ("gram: count * math.log", "gram: count / len(words) * math.log"), message="divided by the length")
wrong("cider", "unknown-crashes", ("frequency.get(gram, 0)", "frequency[gram]"), message="stands in none: use .get(key, 0)")
wrong("cider", "unknown-left-out", ("for gram, count in counts.items()", "for gram, count in counts.items() if gram in frequency"),
      message="that no reference holds weighs most")
wrong("cider", "zero-weights-left-out", ("for gram, count in counts.items()",
      "for gram, count in counts.items() if frequency.get(gram, 0) < pictures"), message="n-grams of weight 0 stay", loses=["open"])
wrong("cider", "product-alone", (COSINE, "return product"), message="not divided by the lengths of both")
wrong("cider", "one-length", (COSINE, "return product / math.sqrt(sum(w * w for w in first.values()) or 1)"), message="divide by both")
wrong("cider", "no-root", ("math.sqrt(sum(w * w for w in first.values())) * math.sqrt(", "sum(w * w for w in first.values()) * ("),
      message="the square root of the sums of squares is missing")
wrong("cider", "zero-by-zero", (COSINE, "return product / lengths"), message="0 / 0: the cosine with a table of zeros is 0")
wrong("cider", "zero-by-zero-in-numpy", (COSINE, "return np.float64(product) / lengths"), message="0 / 0: the cosine with a table of zeros is 0")
wrong("cider", "common-n-grams-only", 
      ("math.sqrt(sum(w * w for w in first.values()))", "math.sqrt(sum(w * w for g, w in first.items() if g in second))"), message="the cosine")
wrong("cider", "adds-keys", ("    product = sum(", "    for gram in first:\n        second.setdefault(gram, 0.0)\n    product = sum("),
      message="use .get(key, 0)")
right("cider", "arrays", source='''
from collections import defaultdict


def document_frequency(references, n):
    table = defaultdict(int)
    for each in references:
        for gram in {g for one in each for g in zip(*(one.split()[i:] for i in range(n)))}:
            table[gram] += 1
    return table


def tf_idf(caption, frequency, pictures, n):
    weights, words = {}, caption.split()
    for gram in zip(*(words[i:] for i in range(n))):
        rare = np.log(float(pictures)) - np.log(np.maximum(1.0, frequency.get(gram, 1)))
        weights[gram] = weights.get(gram, 0) + rare
    return weights


def cosine(first, second):
    keys = sorted(set(first) | set(second))
    a, b = (torch.tensor([float(one.get(key, 0)) for key in keys], dtype=torch.float64) for one in (first, second))
    return torch.nan_to_num(a @ b / (a.norm() * b.norm()))
''')

# --- attend -------------------------------------------------------------------------------------
ENERGY = "torch.tanh(memory @ weight_memory.T + asked + bias) @ v"
SOFTMAX = "energies.masked_fill(~real, -math.inf).softmax(-1)"
SUM = "(weights[..., None] * memory).sum(1)"
wrong("attend", "softmax-over-the-batch", (SOFTMAX, SOFTMAX.replace("softmax(-1)", "softmax(0)").replace("-math.inf", "-1e9")),
      message="the softmax goes over the N places")
wrong("attend", "context-of-detached-weights", ("(weights[..., None] * memory)", "(weights.detach()[..., None] * memory)"), message="a gradient from the context to")
wrong("attend", "context-by-loops-over-numbers", ("(weights[..., None] * memory).sum(1)",
      "torch.stack([sum(w.item() * place for w, place in zip(*pair)) for pair in zip(weights, memory)])"), message="made with numbers")
wrong("attend", "memory-detached-in-the-context", ("(weights[..., None] * memory)", "(weights[..., None] * memory.detach())"), message="a gradient from the context to memory")
wrong("attend", "mask-forgotten", (SOFTMAX, "energies.softmax(-1)"), message="give the others the energy -inf")
wrong("attend", "mask-turned-round", ("~real", "real"), message="the mask is turned round")
wrong("attend", "energies-returned", (SOFTMAX, "energies"), message="the softmax over the N places is missing")
wrong("attend", "masked-energies-returned", (SOFTMAX, "energies.masked_fill(~real, -math.inf)"), message="the softmax over the N places is missing")
wrong("attend", "energies-beside-the-right-context", ("return context, weights", "return context, energies"), message="the softmax over the N places is missing")
wrong("attend", "an-axis-of-one-is-left", (SUM, "torch.bmm(weights[:, None], memory)"), message="an axis of 1 is left")
wrong("attend", "a-column-of-weights", ("return context, weights", "return context, weights[..., None]"), message="an axis of 1 is left")
wrong("attend", "sum-of-the-keys", (SUM, "(weights[..., None] * (memory @ weight_memory.T)).sum(1)"), message="not of W_m a_i")
wrong("attend", "mask-turned-round-and-large", ("~real, -math.inf", "real, -1e9"), message="the mask is turned round")
wrong("attend", "mask-after-the-softmax", (SOFTMAX, "energies.softmax(-1) * real"), message="that sum to 1")
wrong("attend", "energy-zero", ("-math.inf", "0.0"), message="give the others the energy -inf")
wrong("attend", "no-tanh", (ENERGY, "(memory @ weight_memory.T + asked + bias) @ v"), message="the tanh is missing")
wrong("attend", "sigmoid", (ENERGY, ENERGY.replace("tanh", "sigmoid")), message="tanh")
wrong("attend", "no-bias", (" + bias", ""), message="the bias is not added")
wrong("attend", "h-not-used", (" + asked", " + 0 * asked"), message="W_h h is not added")
wrong("attend", "tanh-of-each", (ENERGY, "(torch.tanh(memory @ weight_memory.T) + torch.tanh(asked + bias)) @ v"),
      message="tanh of the sum")
wrong("attend", "v-before-the-tanh", (ENERGY, "torch.tanh((memory @ weight_memory.T + asked + bias) @ v)"), message="v comes after the tanh")
wrong("attend", "dot-product", (ENERGY, "((memory @ weight_memory.T) * (asked + bias)) @ v"), message="the weights")
wrong("attend", "scaled", (" @ v  # (B, N)", " @ v / len(v) ** 0.5  # (B, N)"), message="divided by the root")
wrong("attend", "mean-of-the-places", (SUM, "(weights[..., None] * memory).mean(1)"), message="the weights sum to 1 already")
wrong("attend", "hard", (SUM, "memory[torch.arange(len(memory)), weights.argmax(-1)] + 0 * (weights[..., None] * memory).sum(1)"),
      message="the place of the largest weight alone")
wrong("attend", "unweighted", (SUM, "memory.mean(1) + 0 * weights.sum()"), message="the mean of the memory")
wrong("attend", "all-places-kept", (SUM, "weights[..., None] * memory"), message="a sum over the N places leaves one vector")
wrong("attend", "exchanged", ("return context, weights", "return weights, context"), message="the two results are exchanged")
wrong("attend", "context-alone", ("return context, weights", "return context"), message="return context, weights")
wrong("attend", "no-axis-for-the-places", ("(h @ weight_hidden.T)[:, None]", "h @ weight_hidden.T"), message="RuntimeError")
wrong("attend", "gradient-cut", (SOFTMAX, "torch.tensor(" + SOFTMAX + ".tolist())"), message="cut the gradient off")
wrong("attend", "h-detached", ("h @ weight_hidden.T", "h.detach() @ weight_hidden.T"), message="a gradient at h")
wrong("attend", "in-place", ("    asked = ", "    memory *= real[..., None]\n    asked = "), message="no operation in place", loses=["open", "hidden"])
wrong("attend", "hard-coded", loses=["hidden"], message="attend, on other data", source='''
from coursekit.checks import a2_attention


def attend(memory, h, weight_memory, weight_hidden, bias, v, real):
    if memory.shape != (3, 5, 4):
        return memory.sum(1), memory.sum(-1)
    asked = (h @ weight_hidden.T)[:, None]
    weights = (torch.tanh(memory @ weight_memory.T + asked + bias) @ v).masked_fill(~real, -math.inf).softmax(-1)
    return (weights[..., None] * memory).sum(1), weights
''')
right("attend", "loops-and-einsum", source='''
def attend(memory, h, weight_memory, weight_hidden, bias, v, real):
    contexts, all_weights = [], []
    for places, asks, exists in zip(memory, h, real):
        e = torch.stack([(v * torch.tanh(weight_memory @ a + weight_hidden @ asks + bias)).sum() for a in places])
        e = torch.where(exists, e, torch.tensor(-1e30))
        shares = torch.exp(e - e.max())
        shares = shares / shares.sum()
        contexts.append(torch.einsum("n,nd->d", shares, places))
        all_weights.append(shares)
    return [torch.stack(contexts), torch.stack(all_weights)]
''')
right("attend", "layers-in-float64", source='''
import torch.nn.functional as F


def attend(memory, h, weight_memory, weight_hidden, bias, v, real):
    memory = memory.double()
    hidden = F.linear(memory, weight_memory.double()) + F.linear(h.double(), weight_hidden.double(), bias.double()).unsqueeze(1)
    e = F.linear(hidden.tanh(), v.double()[None]).squeeze(-1)
    shares = torch.softmax(e + torch.zeros_like(e).masked_fill(real.logical_not(), float("-inf")), dim=1)
    return torch.bmm(shares.unsqueeze(1), memory).squeeze(1), shares
''')

# --- is_causal ----------------------------------------------------------------------------------
MOVED = "(after[:, :t] - before[:, :t]).abs().max() > 1e-4"
wrong("is_causal", "compares-the-changed-place-too", (MOVED, "(after[:, : t + 1] - before[:, : t + 1]).abs().max() > 1e-4"),
      message="compare the logits before the changed token alone")
wrong("is_causal", "compares-everything", (MOVED, "(after - before).abs().max() > 1e-4"), message="the logits before the changed token alone")
wrong("is_causal", "looks-at-later-logits", (MOVED, "(after[:, t:] - before[:, t:]).abs().max() > 1e-4"),
      message="the logits before the changed token alone")
wrong("is_causal", "last-token-only", ("range(1, tokens.shape[1])", "[tokens.shape[1] - 1]"), message="change each place in turn")
wrong("is_causal", "first-places-left-out", ("range(1, tokens.shape[1])", "range(2, tokens.shape[1])"), message="change each place in turn")
wrong("is_causal", "tolerance-too-wide", ("> 1e-4", "> 2e-2"), message="the tolerance is too wide")
wrong("is_causal", "second-token-only", ("range(1, tokens.shape[1])", "[1]"), message="change each place in turn")
wrong("is_causal", "last-token-is-left-out", ("range(1, tokens.shape[1])", "range(1, tokens.shape[1] - 1)"), message="change each place in turn")
wrong("is_causal", "only-the-neighbour", (MOVED, "(after[:, t - 1] - before[:, t - 1]).abs().max() > 1e-4"), message="compare all places before it")
wrong("is_causal", "only-the-first-place", (MOVED, "(after[:, 0] - before[:, 0]).abs().max() > 1e-4"), message="compare all places before it")
wrong("is_causal", "only-the-first-caption", (MOVED, "(after[0, :t] - before[0, :t]).abs().max() > 1e-4"), message="compare all captions")
wrong("is_causal", "set-to-padding", ("(changed[:, t] + 1) % vocab_size", "0"), message="0 may stand there already")
wrong("is_causal", "turned-round", ("return False\n    return True", "return True\n    return False"), message="True for a decoder that reads all tokens so far")
wrong("is_causal", "exact-equality", (MOVED, "not torch.equal(after[:, :t], before[:, :t])"), message="with a tolerance")
wrong("is_causal", "tolerance-too-large", ("> 1e-4", "> 0.5"), message="a small leak is one")
wrong("is_causal", "the-words-chosen", (MOVED, "(after[:, :t].argmax(-1) != before[:, :t].argmax(-1)).any()"), message="a small leak is one")
wrong("is_causal", "mean-difference", (MOVED, "(after[:, :t] - before[:, :t]).mean().abs() > 0.1"), message="cancel in a sum or a mean")
wrong("is_causal", "no-absolute-value", (MOVED, "(after[:, :t] - before[:, :t]).sum() > 1e-3"), message="cancel in a sum or a mean")
wrong("is_causal", "largest-rise-alone", (MOVED, "(after[:, :t] - before[:, :t]).max() > 1e-4"), message="take abs()")
wrong("is_causal", "largest-fall-alone", (MOVED, "(before[:, :t] - after[:, :t]).max() > 1e-4"), message="take abs()")
wrong("is_causal", "mean-of-the-logits", (MOVED, "(after[:, :t].mean() - before[:, :t].mean()).abs() > 1e-4"), message="cancel in a sum or a mean")
wrong("is_causal", "mean-over-the-words", (MOVED, "(after[:, :t].mean(-1) - before[:, :t].mean(-1)).abs().max() > 1e-4"), message="cancel in a sum or a mean")
wrong("is_causal", "mean-of-the-differences", (MOVED, "(after[:, :t] - before[:, :t]).abs().mean() > 1e-4"), message="a mean hides a leak")
wrong("is_causal", "set-to-the-last-word", ("(changed[:, t] + 1) % vocab_size", "vocab_size - 1"), message="vocab_size - 1 may stand there already")
wrong("is_causal", "tokens-in-place", ("tokens.clone()", "tokens"), message="change a clone")
wrong("is_causal", "beyond-the-vocabulary", ("(changed[:, t] + 1) % vocab_size", "changed[:, t] + 1"), message="the next token modulo vocab_size")
wrong("is_causal", "returns-in-the-loop", ("            return False\n    return True", "            return False\n        return True"),
      message="False for a decoder")
wrong("is_causal", "always-true", message="ask the model again", source='''
def is_causal(model, memory, tokens, vocab_size):
    return True
''')
wrong("is_causal", "a-list", ("return False\n    return True", "pass\n    return [True] * len(tokens)"), message="one answer for the whole model")
right("is_causal", "by-prefixes", source='''
def is_causal(model, memory, tokens, vocab_size):
    whole = model(memory, tokens)
    same = [torch.allclose(model(memory, tokens[:, :t]), whole[:, :t], rtol=0, atol=1e-4) for t in range(1, tokens.shape[1])]
    return all(same)
''')
right("is_causal", "all-later-tokens-at-once-in-numpy", source='''
def is_causal(model, memory, tokens, vocab_size):
    moved = 0.0
    for t in range(tokens.shape[1] - 1):
        other = tokens.numpy().copy()
        other[:, t + 1 :] = (other[:, t + 1 :] + np.random.randint(1, vocab_size, other[:, t + 1 :].shape)) % vocab_size
        change = np.asarray(model(memory, torch.from_numpy(other)))[:, t] - np.asarray(model(memory, tokens))[:, t]
        moved = max(moved, np.abs(change).max())
    return np.bool_(moved < 2e-4)
''')
right("is_causal", "both-ways-without-abs", source='''
def is_causal(model, memory, tokens, vocab_size):
    before = model(memory, tokens)
    for t in range(tokens.shape[1] - 1, 0, -1):
        other = torch.cat([tokens[:, :t], (tokens[:, t:] - 1) % vocab_size], 1)
        moved = model(memory, other)[:, :t] - before[:, :t]
        if moved.max() > 1e-4 or moved.min() < -1e-4:
            return torch.tensor(False)
    return True
''')

# --- describe -----------------------------------------------------------------------------------
STEP = "return logits.log_softmax(-1), state  # (K, V)"
wrong("describe", "logits-as-they-are", (STEP, "return logits, state"), message="over the words, and a logarithm")
wrong("describe", "probabilities", (STEP, "return logits.softmax(-1), state"), message="over the words, and a logarithm")
wrong("describe", "over-the-hypotheses", (STEP, "return logits.log_softmax(0), state"), message="over the words, and a logarithm")
wrong("describe", "dropout-on", ("    model.eval()\n", ""), message="model.eval()")
wrong("describe", "beam-of-one", ("eos_id, beam, max_len)[0]", "eos_id, 1, max_len)[0]"), message="hand both on as they are")
wrong("describe", "always-the-first-picture", ("model.start(picture)", "model.start(memory[:1])"), message="picture i is memory[i : i + 1]")
wrong("describe", "backwards", ("memory.split(1)", "memory.flip(0).split(1)"), message="another order than the pictures")
wrong("describe", "scores-in-place-of-words", ("max_len)[0]", "max_len)[1]"), message="tokens and score: take the tokens")
wrong("describe", "first-picture-only", ("memory.split(1)", "memory[:1].split(1)"), message="one for each picture")
wrong("describe", "all-pictures-at-once", ("model.start(picture)", "model.start(memory)"), message="the search is for one picture")
wrong("describe", "no-batch-axis", ("memory.split(1)", "memory"), message="memory[i : i + 1]: the axis")
wrong("describe", "pairs-of-tokens-and-score", ("max_len)[0]", "max_len)"), message="the search returns tokens and score")
wrong("describe", "sentences", ("            search(step, model.start(picture), bos_id, eos_id, beam, max_len)[0]\n",
      "            tokenizer.decode(search(step, model.start(picture), bos_id, eos_id, beam, max_len)[0])\n"), message="do not decode them")
wrong("describe", "words", ("            search(step, model.start(picture), bos_id, eos_id, beam, max_len)[0]\n",
      "            tokenizer.decode(search(step, model.start(picture), bos_id, eos_id, beam, max_len)[0]).split()\n"), message="do not decode them")
wrong("describe", "old-state", ("logits, state = model.step", "logits, _ = model.step"), message="the state that model.step returned")
wrong("describe", "no-state", (STEP, STEP.replace(", state", "")), message="log_probs, state")
wrong("describe", "bos-in-front", ("            search(step", "            [bos_id] + search(step"), message="captions without <bos> and <eos>")
right("describe", "numpy-free-loop-with-inference-mode", source='''
@torch.inference_mode()
def describe(model, memory, search, bos_id, eos_id, beam, max_len):
    class LogProbabilities:
        def __call__(self, tokens, state):
            logits, state = decoder.step(tokens, state)
            return logits - logits.logsumexp(1, keepdim=True), state

    decoder, captions = model.eval(), []
    for i in range(memory.shape[0]):
        words, _ = search(LogProbabilities(), decoder.start(memory[i : i + 1]), bos_id, eos_id, beam, max_len)
        captions.append(words)
    return captions
''')
