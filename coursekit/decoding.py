"""Greedy search, beam search and sampling, for any step model.

A step model has two methods:
    start(memory) -> state                          memory (B, N, D) or anything with B first
    step(tokens (B,), state) -> logits (B, V), state
where state is any nest of tuples, lists and dicts of tensors, each with B first, or of things with `rows(index)`.
Every decoder returns a list of B token lists, without bos and eos, and their B scores: summed log-probabilities.
"""

import torch

from coursekit.errors import CourseError


def select(state, index):
    """The rows `index` (int64) of every tensor in a state."""
    if isinstance(state, torch.Tensor):
        # Copies whole rows, where state[index] goes number by number
        return state.index_select(0, index)
    if hasattr(state, "rows"):  # a cache copies itself with room for what comes
        return state.rows(index)
    if isinstance(state, dict):
        return {key: select(value, index) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(select(value, index) for value in state)
    return state


def greedy(model, memory, bos_id, eos_id, max_len=30):
    """The likeliest token at every step. Returns token lists and scores."""
    return _one_by_one(model, memory, bos_id, eos_id, max_len, lambda logits: logits.argmax(-1))


def sample(
    model,
    memory,
    bos_id,
    eos_id,
    max_len=30,
    temperature=1.0,
    top_k=None,
    top_p=None,
    generator=None,
):
    """A token drawn at every step, after `temperature`, then the `top_k` likeliest, then the nucleus of mass `top_p`
    (Holtzman et al. 2020). Scores are log-probabilities of the model itself, before any of these.

    Raises CourseError if temperature <= 0, top_k < 1 or top_p is outside (0, 1].
    """
    if temperature <= 0:
        raise CourseError(
            f"A temperature is above 0, not {temperature}: for the limit 0 use greedy."
        )
    if top_k is not None and top_k < 1:
        raise CourseError(f"top_k keeps at least one token, not {top_k}.")
    if top_p is not None and not 0 < top_p <= 1:
        raise CourseError(f"top_p is a probability above 0 and up to 1, not {top_p}.")

    def draw(logits):
        kept = filter_logits(logits / temperature, top_k, top_p)
        return torch.multinomial(kept.softmax(-1), 1, generator=generator)[:, 0]

    return _one_by_one(model, memory, bos_id, eos_id, max_len, draw)


def filter_logits(logits, top_k=None, top_p=None):
    """logits (B, V) with all but the top_k likeliest, and all outside the nucleus of top_p, set to -inf.

    The nucleus is the smallest set of likeliest tokens whose probabilities reach top_p; it is never empty.
    """
    if top_k is not None:
        least = logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]  # (B, 1)
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p is not None:
        ordered, order = logits.sort(descending=True)
        mass_before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)  # (B, V)
        cut = torch.zeros_like(mass_before, dtype=torch.bool).scatter(
            1, order, mass_before >= top_p
        )
        logits = logits.masked_fill(cut, -torch.inf)
    return logits


@torch.no_grad()
def _one_by_one(model, memory, bos_id, eos_id, max_len, choose):
    state, device = model.start(memory), _device(memory)
    tokens = torch.full((len(memory),), bos_id, device=device)
    alive = torch.ones_like(tokens, dtype=torch.bool)
    scores = torch.zeros(len(memory), device=device)
    steps = []
    for _ in range(max_len):
        logits, state = model.step(tokens, state)
        logits = logits.float()  # (B, V)
        tokens = choose(logits).where(alive, torch.as_tensor(eos_id, device=device))
        gained = logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0]
        scores = scores + gained * alive
        steps.append(tokens)
        alive = alive & (tokens != eos_id)
        if not alive.any():
            break
    return [_cut(row, eos_id) for row in torch.stack(steps, 1).tolist()], scores.tolist()


def _cut(row, eos_id):
    return row[: row.index(eos_id)] if eos_id in row else row


def _device(memory):
    return memory.device if isinstance(memory, torch.Tensor) else torch.device("cpu")


@torch.no_grad()
def beam_search(model, memory, bos_id, eos_id, beam=3, max_len=30, length_penalty=0.0):
    """The best of `beam` hypotheses kept alive at every step, all pictures of the batch at once.

    A finished hypothesis is ranked by score / length ** length_penalty, its eos counted in the length: 0 ranks by
    probability and favours short captions, 1 by the mean log-probability of a token. The search of a picture ends
    when no live hypothesis can still win; the others go on without it. Returns token lists and scores (not divided). Raises CourseError if beam < 1.
    """
    if beam < 1:
        raise CourseError(f"A beam holds at least one hypothesis, not {beam}.")
    search = _Beams(len(memory), beam, max_len, eos_id, length_penalty, _device(memory))
    state = select(model.start(memory), search.open.repeat_interleave(beam))
    tokens = torch.full((len(memory) * beam,), bos_id, device=_device(memory))
    for t in range(max_len):
        logits, state = model.step(tokens, state)
        tokens, rows = search.advance(logits.float().log_softmax(-1), t)
        if not len(rows):
            break
        state = select(state, rows)
    return search.best()


class _Beams:
    """Hypotheses as flat tensors: K alive of each of the O pictures still open, and of all B the best that finished."""

    def __init__(self, batch, beam, max_len, eos_id, length_penalty, device):
        self.K, self.max_len = beam, max_len
        self.eos_id, self.length_penalty = eos_id, length_penalty
        self.open = torch.arange(batch, device=device)  # (O,), which pictures they are
        # At first the K hypotheses are equal: all but one start at -inf.
        self.alive = torch.full((batch, beam), -torch.inf, device=device)  # (O, K)
        self.alive[:, 0] = 0.0
        self.tokens = torch.full((batch, beam, max_len), eos_id, device=device)  # (O, K, T)
        self.rank = torch.full((batch,), -torch.inf, device=device)  # (B,), of the best finished
        self.score, self.words = self.rank.clone(), self.tokens[:, 0].clone()  # (B,), (B, T)

    def advance(self, log_probs, t):
        """log_probs (O * K, V) at step t → the next tokens and the rows they continue, of what is still open then."""
        V = log_probs.shape[-1]
        total = (self.alive[..., None] + log_probs.view(-1, self.K, V)).flatten(1)  # (O, K * V)
        # 2K candidates: even if K of them end, K stay alive.
        scores, index = total.topk(min(2 * self.K, total.shape[1]))
        origin, token = index // V, index % V  # (O, 2K)
        ends = token == self.eos_id
        if ends.any():
            self._finish(scores, origin, ends, t)
        self.alive, kept = scores.masked_fill(ends, -torch.inf).topk(self.K)
        origin, token = origin.gather(1, kept), token.gather(1, kept)  # (O, K)
        rows = origin + self.K * torch.arange(len(token), device=token.device)[:, None]  # (O, K)
        self.tokens = self.tokens.flatten(0, 1)[rows]
        self.tokens[:, :, t] = token
        going = self._can_win(t)
        if not going.all():
            self.open, self.alive = self.open[going], self.alive[going]
            self.tokens, token, rows = self.tokens[going], token[going], rows[going]
        return token.flatten(), rows.flatten()

    def _finish(self, scores, origin, ends, t):
        """Keeps the best hypothesis that ends now, among the K best candidates, if it beats the earlier ones."""
        ended = scores.masked_fill(~ends, -torch.inf)[:, : self.K]
        score, k = ended.max(1)  # (O,): all that end now are equally long
        rank = self._rank(score, t + 1)
        better = rank > self.rank[self.open]
        pictures = self.open[better]
        self.rank[pictures], self.score[pictures] = rank[better], score[better]
        self.words[pictures] = self.tokens[better, origin[better, k[better]]]  # eos from t on

    def _rank(self, score, length):
        return score / length**self.length_penalty

    def _can_win(self, t):
        """Where a live hypothesis may still beat the best finished one (O,)."""
        # Scores only fall, so the best a live one can reach is its score now over the most favourable length.
        length = self.max_len if self.length_penalty > 0 else t + 1
        return self._rank(self.alive[:, 0], length) > self.rank[self.open]

    def best(self):
        """Token lists and scores; where nothing has finished, the best that is still alive."""
        none = self.rank[self.open] == -torch.inf
        self.words[self.open[none]] = self.tokens[none, 0]
        self.score[self.open[none]] = self.alive[none, 0]
        return [_cut(row, self.eos_id) for row in self.words.tolist()], self.score.tolist()
