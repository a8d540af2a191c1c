"""The grammar of the scenes: captions from a scene, and from a caption the facts it claims."""

NUMBERS = {1: "a", 2: "two", 3: "three"}
NAMES = {
    "house": ("house", "house", "cottage"),
    "tree": ("tree",),
    "boat": ("boat", "boat", "sailboat"),
    "car": ("car",),
    "cat": ("cat", "cat", "kitten"),
    "flower": ("flower",),
    "mushroom": ("mushroom",),
    "tent": ("tent",),
    "ball": ("ball",),
    "bird": ("bird",),
    "balloon": ("balloon",),
    "kite": ("kite",),
}
SIZES = {"big": ("big", "big", "large"), "small": ("small", "small", "little", "tiny")}
VERBS = {
    "house": "stands",
    "tree": "grows",
    "boat": "floats",
    "car": "waits",
    "cat": "sits",
    "flower": "grows",
    "mushroom": "grows",
    "tent": "stands",
    "ball": "lies",
    "bird": "flies",
    "balloon": "flies",
    "kite": "flies",
}
GROUND_PHRASES = {
    "grass": ("on the grass", "on the grass", "in a meadow"),
    "sand": ("on the sand", "on the sand", "on a beach"),
    "water": ("on the water", "on the water", "on a lake"),
    "snow": ("in the snow", "in the snow", "on snowy ground"),
}
SKY_PHRASES = {
    "day": ("on a sunny day", "on a sunny day", "under a blue sky"),
    "night": ("at night", "at night", "under the stars"),
    "sunset": ("at sunset", "at sunset", "under an orange sky"),
    "rain": ("in the rain", "in the rain", "under a grey sky"),
}
PLACES = {"left": "on the left", "middle": "in the middle", "right": "on the right"}
OPENINGS = ("there {be} ", "a picture of ", "we see ")

FLYING = ("bird", "balloon", "kite")
COLOUR_NAMES = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")


class Dice:
    """Chances drawn from `random.Random.random()` alone, the one stream Python promises never to change."""

    def __init__(self, rng):
        self.rng = rng

    def below(self, n):
        return int(self.rng.random() * n)

    def pick(self, options):
        return options[self.below(len(options))]

    def chance(self, p):
        return self.rng.random() < p

    def pick_several(self, options, count):
        pool = list(options)
        return [pool.pop(self.below(len(pool))) for _ in range(count)]


def plural(name):
    """The plural of a thing's name: all of them take an s."""
    return name + "s"


def describe(scene, dice):
    """One caption of a scene: lower case, no punctuation, every claim true.

    What it mentions, its order and its wording vary; the likely wordings are likely enough for
    five captions of one scene to share whole phrases.
    """
    ground = list(scene.on_ground())
    sky = list(scene.in_sky())
    place_words = dice.chance(0.2)
    ground_words = dice.pick(GROUND_PHRASES[scene.ground]) if dice.chance(0.85) else ""
    sky_words = dice.pick(SKY_PHRASES[scene.sky]) if dice.chance(0.75) else ""
    if ground and sky:
        body = _both(ground, sky, ground_words, place_words, dice)
    else:
        body = _one_row(ground or sky, ground_words, bool(ground), place_words, dice)
    if sky_words and dice.chance(0.15):
        return f"{sky_words} {body}"
    return f"{body} {sky_words}".strip()


def _both(ground, sky, ground_words, place_words, dice):
    """Things in the air over things on the ground, told from either end."""
    below = _list(ground, place_words, dice)
    above = _list(sky, False, dice)
    if dice.chance(0.7):
        verb = _verb(sky, dice) if dice.chance(0.6) else ""
        return _join(above, verb, dice.pick(("over", "over", "above")), below, ground_words)
    return _join(below, ground_words, "and", above, "in the sky")


def _one_row(things, ground_words, standing, place_words, dice):
    phrase = _list(things, place_words, dice)
    where = ground_words if standing else _join("in the sky", ground_words and _over(ground_words))
    if dice.chance(0.35) and not place_words:
        return _join(phrase, _verb(things, dice), where)
    if dice.chance(0.25):
        be = "is" if things[0].count == 1 else "are"
        return _join(dice.pick(OPENINGS).format(be=be).strip(), phrase, where)
    return _join(phrase, where)


def _over(ground_words):
    return "over " + ground_words.split(" ", 1)[1]


def _join(*parts):
    return " ".join(part for part in parts if part)


def _verb(things, dice):
    verb = VERBS[things[0].name] if len({VERBS[t.name] for t in things}) == 1 else "appears"
    many = len(things) > 1 or things[0].count > 1
    if not many:
        return verb
    return {"flies": "fly", "lies": "lie"}.get(verb, verb.removesuffix("s"))


def _list(things, place_words, dice):
    # Left to right is the usual order, so that captions agree more often than not.
    order = things if dice.chance(0.8) else things[::-1]
    return " and ".join(_noun_phrase(t, place_words, dice) for t in order)


def _noun_phrase(thing, place_words, dice):
    name = dice.pick(NAMES[thing.name])
    words = [NUMBERS[thing.count]]
    if dice.chance(0.4):
        words.append(dice.pick(SIZES[thing.size]))
    if dice.chance(0.95):
        words.append(thing.colour)
    if words == ["a", "orange"]:
        words = ["an", "orange"]
    words.append(name if thing.count == 1 else plural(name))
    if place_words and thing.count == 1:
        words.append(PLACES[thing.place])
    return " ".join(words)


_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3}
_SIZE_OF = {word: size for size, options in SIZES.items() for word in options}
_THING_OF = {
    word: name for name, options in NAMES.items() for o in options for word in (o, plural(o))
}
_GROUND_OF = {
    "grass": "grass",
    "meadow": "grass",
    "sand": "sand",
    "beach": "sand",
    "water": "water",
    "lake": "water",
    "snow": "snow",
    "snowy": "snow",
}
_SKY_OF = {
    "sunny": "day",
    "night": "night",
    "stars": "night",
    "sunset": "sunset",
    "rain": "rain",
}
_SKY_COLOURS = {"blue": "day", "orange": "sunset", "grey": "rain"}


def claims(caption):
    """The facts a caption claims, in the form of `Scene.facts`: a set of tuples.

    Works on any word sequence, also a wrong or broken one: words that the grammar does not know claim nothing.
    """
    found, pending, last = set(), {}, None
    for word in caption.lower().split():
        if word in _COUNTS:
            pending = {"count": _COUNTS[word]}
        elif word in _SIZE_OF:
            pending["size"] = _SIZE_OF[word]
        elif word in COLOUR_NAMES or word == "grey":
            pending["colour"] = word
        elif word in _THING_OF:
            last = _THING_OF[word]
            found |= {("thing", last)} | {(key, last, value) for key, value in pending.items()}
            pending = {}
        else:
            found |= _claims_elsewhere(word, pending, last)
            pending = {}
    return found


def _claims_elsewhere(word, pending, last):
    if word in _GROUND_OF:
        return {("ground", _GROUND_OF[word])}
    if word in _SKY_OF:
        return {("sky", _SKY_OF[word])}
    if word == "sky" and pending.get("colour") in _SKY_COLOURS:
        return {("sky", _SKY_COLOURS[pending["colour"]])}
    if word in PLACES and last:
        return {("place", last, word)}
    return set()


def false_words(caption, facts):
    """For each word of a caption: would it claim less that is false without it, and all that is true?"""
    words, said = caption.split(), claims(caption)
    without = [claims(" ".join(words[:t] + words[t + 1 :])) for t in range(len(words))]
    return [said & facts <= rest and len(rest - facts) < len(said - facts) for rest in without]
