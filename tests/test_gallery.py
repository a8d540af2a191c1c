"""The gallery: what stands on the page is true, and nothing that stands there acts."""

import base64
import hashlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import chromium, shot
from bs4 import BeautifulSoup
from PIL import Image
from test_plots import contrast
from test_report import Tags

from coursekit import datasets, gallery, recipes
from coursekit.datasets import CaptionSet
from coursekit.datasets.captions import Photos
from coursekit.datasets.scene_words import false_words
from coursekit.errors import CourseError
from coursekit.gallery.page import HERE
from coursekit.gallery.telling import dispute
from coursekit.metrics.captions import caption_scores

HACK = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
BREAK = "\"'> </style></p><svg onload=window.hacked=1> {{ 7 * 7 }} &lt;"
HOSTILE = [
    [HACK, BREAK, "a dog"],
    ["", "  ", "\n"],
    ["a" * 10_000, "🐕‍🦺 runs 🏖️", "שלום עולם", "‮evil‬"],
    ["one \x00 two", "half a pair \ud83d", "a cat"],
]
WAYS = ("greedy", "nucleus 0.9")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two tiny captioners: {model: (captioner, its folder)}."""
    found = {}
    for model in ("show-and-tell", "show-attend-and-tell"):
        out = tmp_path_factory.mktemp(model)
        found[model] = (
            recipes.train_captioner(model, "scenes", "smoke", out=out, quiet=True)[0],
            out,
        )
    return found


@pytest.fixture(scope="module")
def captioners(trained):
    return {model: captioner for model, (captioner, _) in trained.items()}


@pytest.fixture(scope="module")
def scenes():
    return datasets.load("scenes", "test", count=8)


@pytest.fixture(scope="module")
def built(captioners, scenes):
    return gallery.build(captioners, scenes, 5, WAYS)


@pytest.fixture(scope="module")
def page(built):
    return BeautifulSoup(built.html(), "html.parser")


class Hostile(CaptionSet):
    """Pictures whose captions and names want to do harm."""

    def __init__(self):
        names = [HACK, BREAK, "c" * 300, "d"]
        super().__init__(f"set {HACK}", f"split {BREAK}", names, HOSTILE)

    def image(self, index):
        return torch.full((3, 64, 64), 60 * index, dtype=torch.uint8)


def photos(folder, count, size=(500, 375)):
    """Photos on disk: noise of several grains, as rich in detail as the world."""
    for i in range(count):
        layers = [
            Image.effect_noise((size[0] // k, size[1] // k), 90).resize(size) for k in (3, 9, 40)
        ]
        Image.merge("RGB", layers).save(folder / f"{i}.jpg", quality=90)
    captions = [
        [f"a dog {i}", "a brown dog runs", "dog", "the dog", "one dog"] for i in range(count)
    ]
    return Photos("photos", "test", folder, [f"{i}.jpg" for i in range(count)], captions)


# --- what is told -------------------------------------------------------------------------------
def test_every_picture_has_its_references_and_all_that_was_said(built, page, scenes):
    articles = page.find_all("article")
    assert [one["data-number"] for one in articles] == list("12345")
    for i, one in enumerate(articles):
        assert [li.get_text() for li in one.select(".references li")] == scenes.captions[i]
        assert one.img["alt"] == scenes.captions[i][0]
        said = [" ".join(p.get_text().replace(" (false)", "").split()) for p in one.select(".said")]
        assert said == [told.captions[i] or "says nothing" for told in built.told]
        assert [w.get_text() for w in one.select(".way")] == list(WAYS) * 2


def test_pictures_are_kept_to_the_pixel(page, scenes):
    kept = base64.b64decode(page.article.img["src"].split(",")[1])
    picture = torch.from_numpy(np.array(Image.open(io.BytesIO(kept))))
    assert torch.equal(picture.permute(2, 0, 1), scenes.image(0))


def test_scores_are_those_of_the_whole_set(built, page, scenes):
    told = built.told[0]
    whole = caption_scores(told.captions, scenes.captions, meteor=False)
    each = caption_scores(told.captions, scenes.captions, meteor=False, per_caption=True)
    assert {key: told.whole[key] for key in whole} == whole
    row = page.tbody.tr.get_text(" ", strip=True)
    assert row.startswith("show-and-tell greedy") and f"{whole['ROUGE_L']:.2f}" in row
    assert "Scores of all 8 pictures" in page.get_text()
    third = page.find_all("article")[2].select(".numbers")[0].get_text(" ", strip=True)
    assert f"ROUGE-L {each['ROUGE_L'][2]:.2f}" in third and f"CIDEr {each['CIDEr'][2]:.2f}" in third


def test_certainty_is_the_mean_over_words_and_end(captioners, scenes):
    captioner = captioners["show-and-tell"]
    told = gallery.build(captioner, scenes, 1, ["greedy"]).told[0]
    captions, scores = captioner.decode(captioner.memory(scenes.images(range(8))), "greedy")
    wanted = [s / (len(c.split()) + 1) for c, s in zip(captions, scores, strict=True)]
    assert told.certainty == pytest.approx(wanted, abs=1e-4)
    assert told.distinct == len(set(captions))


def test_false_words_are_marked_in_colour_line_and_words(built, page, scenes):
    found = 0
    for i, one in enumerate(page.find_all("article")):
        for told, said in zip(built.told, one.select(".said"), strict=True):
            words = told.captions[i].split()
            marks = false_words(told.captions[i], scenes.facts()[i])
            wanted = [word for word, false in zip(words, marks, strict=True) if false]
            marked = [mark.get_text() for mark in said.select(".false")]
            assert marked == [f"{word} (false)" for word in wanted]
            found += len(wanted)
    assert found  # two epochs do not make an honest captioner
    assert ".false" in page.style.get_text() and "underline wavy" in page.style.get_text()


def test_an_attention_model_shows_where_it_looked(built, page):
    for i, one in enumerate(page.find_all("article")):
        assert "--picture" in one["style"]
        maps = [li.select("ol li") for li in one.select(".sayings > li")]
        assert maps[:2] == [[], []]  # Show and Tell does not look
        for told, each in zip(built.told[2:], maps[2:], strict=True):
            words = [li.find(string=True) for li in each]
            assert words == [*told.captions[i].split(), "(end)"]
            assert all(re.match(r"\d+ % \w", li.img["alt"]) for li in each)
            veil = Image.open(io.BytesIO(base64.b64decode(each[0].img["src"].split(",")[1])))
            assert veil.size == (4, 4) and veil.mode == "RGBA"


def test_without_attention_there_is_nothing_to_look_at(captioners, scenes):
    text = gallery.build(captioners["show-and-tell"], scenes, 2, ["greedy"]).html()
    assert "where it looked" not in text and "--picture: url" not in text


# --- which pictures -----------------------------------------------------------------------------
def test_the_worst_and_the_most_disputed_come_first(captioners, scenes, built):
    worst = gallery.build(captioners, scenes, 8, WAYS, order="worst first").exhibits
    ciders = [one.cider for one in worst]
    assert ciders == sorted(ciders) and len(set(ciders)) > 1
    disputed = gallery.build(captioners, scenes, 3, WAYS, order="most disputed").exhibits
    values = [one.dispute for one in disputed]
    everywhere = [dispute([t.captions[i] for t in built.told]) for i in range(8)]
    assert values == sorted(everywhere, reverse=True)[:3]


def test_dispute_is_the_part_of_words_that_only_one_has():
    assert dispute(["a red boat", "A red boat"]) == 0 == dispute(["", ""]) == dispute(["alone"])
    assert dispute(["a boat", "two cats"]) == 1 == dispute(["", "cats"])
    assert dispute(["a red boat", "a blue boat"]) == pytest.approx(0.5)
    assert dispute(["a", "a", "b"]) == pytest.approx(2 / 3)


def test_more_pictures_than_there_are_are_all_of_them(captioners, scenes):
    assert len(gallery.build(captioners, scenes, 99, ["greedy"]).exhibits) == 8


def test_two_captioners_of_one_model_have_two_names(captioners, scenes):
    one = captioners["show-and-tell"]
    found = gallery.build([one, one], scenes, 1, ["greedy"])
    assert [told.captioner for told in found.told] == ["show-and-tell 1", "show-and-tell 2"]


def test_the_same_seed_gives_the_same_page(captioners, scenes, built):
    assert gallery.build(captioners, scenes, 5, WAYS).html() == built.html()
    other = gallery.build(captioners, scenes, 5, WAYS, seed=1)
    assert other.told[1].captions != built.told[1].captions
    assert other.told[0].captions == built.told[0].captions


# --- the page as a page -------------------------------------------------------------------------
def test_the_page_needs_nothing_from_elsewhere(page):
    policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:; ")
    digest = hashlib.sha256(page.script.get_text().encode()).digest()
    assert policy.endswith(f"script-src 'sha256-{base64.b64encode(digest).decode()}'")
    assert page.find_all(["link", "iframe", "object"]) == [] and len(page.find_all("script")) == 1
    sources = [tag["src"] for tag in page.find_all(src=True)]
    assert sources and all(one.startswith("data:image/") for one in sources)
    assert [tag["href"] for tag in page.find_all(href=True)] == ["#wall"]
    assert not re.search(r"url\((?!data:)|@import|https?:", str(page))


def test_without_a_script_the_controls_stay_hidden(page):
    assert page.find(id="controls").has_attr("hidden")
    assert len(page.select("details.looks summary")) == 5 * len(WAYS)


def test_pictures_maps_and_tables_have_words(page):
    assert all(img.get("alt") for img in page.find_all("img"))
    assert all(th.get("scope") for th in page.find_all("th"))
    assert all(one.find_parent("label") for one in page.find_all(["select", "input"]))


def test_colours_can_be_read_by_day_and_by_night():
    style = (HERE / "page.html").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", style, re.S)[:2]
    for text in (light, dark):
        colours = dict(re.findall(r"--(\w+): (#\w{6});", text))
        for name in ("ink", "soft", "bad", "blue"):
            assert contrast(colours[name], colours["wall"]) >= 4.5, (name, text)


def test_24_scenes_stay_below_1_mb(captioners):
    found = gallery.build(captioners, datasets.load("scenes", "test", count=24))
    assert len(found.exhibits) == 24 and len(found.html().encode()) < 1_000_000


def test_24_photos_stay_below_5_mb_and_keep_their_shape(captioners, tmp_path):
    found = gallery.build(captioners, photos(tmp_path, 24), ways=["greedy"])
    text = found.html()
    assert len(text.encode()) < 5_000_000
    picture = BeautifulSoup(text, "html.parser").article.img["src"]
    assert picture.startswith("data:image/jpeg")
    assert Image.open(io.BytesIO(base64.b64decode(picture.split(",")[1]))).size == (480, 360)
    assert "aspect-ratio: 500 / 375" in text


def test_a_captioner_among_foreign_pictures_is_named(captioners, tmp_path, page):
    found = gallery.build(captioners, photos(tmp_path, 2), ways=["greedy"])
    assert found.known["show-and-tell"] < 0.5
    assert "of the words in these references" in found.html()
    assert "of the words in these references" not in page.get_text()
    assert not found.exhibits[0].sayings[0].claimed and "true claims" not in found.html()


def test_a_notebook_shows_a_short_form(built, captioners):
    text = built._repr_html_()
    short = BeautifulSoup(text, "html.parser")
    assert len(short.find_all("img")) == 5 and len(text) < 100_000
    assert short.find_all(["script", "style", "link"]) == []
    scenes = datasets.load("scenes", "test", count=9)
    text = gallery.build(captioners, scenes, 9, ["greedy"])._repr_html_()
    assert "… and 3 more" in text and text.count("<img") == 6


# --- hostile input ------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def hostile(captioners):
    return gallery.build(
        {f"me {HACK}": one for one in captioners.values()} | captioners, Hostile(), ways=WAYS
    )


@pytest.mark.parametrize("form", ["html", "_repr_html_"])
def test_nothing_in_a_caption_acts(hostile, form):
    text = getattr(hostile, form)()
    tags = Tags(text)
    assert tags.on == [] and not tags.found & {"iframe", "svg", "object"}
    page = BeautifulSoup(text, "html.parser")
    assert len(page.find_all("script")) == (form == "html")
    assert all(img["src"].startswith("data:") for img in page.find_all("img"))
    assert HACK in page.get_text() and BREAK in page.get_text() and "49" not in page.ol.get_text()


def test_odd_captions_are_told_as_what_they_are(hostile):
    page = BeautifulSoup(hostile.html(), "html.parser")
    first, empty, long, broken = page.find_all("article")
    assert first.img["alt"] == HACK
    assert [li.get_text() for li in empty.select(".references li")] == ["empty"] * 3
    assert empty.img["alt"].endswith("which nobody has described")
    assert "(10,000 letters)" in long.get_text() and "a" * 401 not in str(long)
    assert "🐕‍🦺 runs" in long.get_text() and long.select(".references li")[2]["dir"] == "auto"
    assert len(long.img["alt"]) == 400


def test_a_page_with_half_a_character_can_be_written(hostile, tmp_path):
    path = hostile.save(tmp_path / "new" / "page.html")
    assert "half a pair ?" in path.read_text(encoding="utf-8")


# --- the command --------------------------------------------------------------------------------
def test_a_run_writes_the_page(trained, tmp_path):
    folders = [out for _, out in trained.values()]
    found = gallery.run(folders, count=2, ways=["greedy"], pictures=4, out=tmp_path / "page.html")
    assert repr(found) == "Gallery: 2 of 4 pictures of scenes/test"
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == found.html()


def test_two_runs_of_one_model_are_called_by_their_folders(trained, tmp_path):
    captioner, out = trained["show-and-tell"]
    captioner.save(tmp_path / "mine" / recipes.FILE)
    found = gallery.run([out, tmp_path / "mine" / recipes.FILE], count=1, ways=["greedy"], pictures=2,
                        out=tmp_path / "page.html")  # fmt: skip
    assert [one.captioner for one in found.told] == [
        f"show-and-tell ({out.name})",
        "show-and-tell (mine)",
    ]


@pytest.mark.parametrize(
    "changes, told",
    [
        (dict(ways=["greedy", "gready"]), "no way 'gready' to decode: choose among greedy, beam 3"),
        (dict(ways=[]), "No way was given: choose among"),
        (dict(order="best"), "no order 'best': choose one of as they come, worst first, most disp"),
        (dict(count=0), "A gallery shows 1 picture or more, not 0"),
        (dict(checkpoints=["nowhere"]), "There is no checkpoint at nowhere"),
        (dict(checkpoints=[]), "There is no captioner to listen to"),
        (dict(data="cats"), "There is no data set 'cats'"),
        (dict(split="tset"), "no split"),
        (dict(pictures=0), "1 or more, not 0"),
        (dict(ways=["greedy"], order="most disputed"), "One caption a picture is never disputed"),
    ],
)
def test_bad_input_is_told_in_a_sentence(trained, tmp_path, changes, told):
    given = dict(checkpoints=[trained["show-and-tell"][1]], pictures=2, out=tmp_path / "page.html")
    with pytest.raises(CourseError, match=re.escape(told)):
        gallery.run(**given | changes)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told_before_anything_is_computed(tmp_path):
    (tmp_path / "file").write_text("x")
    for out in (tmp_path, tmp_path / "file" / "page.html", tmp_path / "file" / "new" / "page.html"):
        with pytest.raises(CourseError, match="Nothing can be written to .*; choose another name"):
            gallery.run(["nowhere"], out=out)
    assert (tmp_path / "file").read_text() == "x"


# --- in a browser -------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as window:
        yield window


def opened(browser, found, path, width, name, scheme="light"):
    """The page in a window of a width, its picture saved."""
    found.save(path)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    size = dict(width=width, height=1500, deviceScaleFactor=1, mobile=width < 500)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(Path(path).as_uri())
    shot(browser, name)


def quiet(browser):
    """Whether nothing was asked for from elsewhere, and nothing complained."""
    asked = browser.execute_script(
        "return performance.getEntriesByType('resource').map(one => one.name)"
    )
    return all(one.startswith("data:") for one in asked) and browser.get_log("browser") == []


def shown(browser):
    """The numbers of the pictures that can be seen, in their order."""
    return browser.execute_script(
        "return [...document.querySelectorAll('article:not([hidden])')].map(a => +a.dataset.number)"
    )


@pytest.mark.browser
@pytest.mark.parametrize("width", [1300, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_in_peace(browser, built, tmp_path, width, scheme):
    opened(browser, built, tmp_path / "page.html", width, f"gallery-{scheme}-{width}", scheme)
    browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    shot(browser, f"gallery-{scheme}-{width}-open")
    assert quiet(browser)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.browser
def test_pictures_are_sorted_and_filtered(browser, built, tmp_path):
    opened(browser, built, tmp_path / "page.html", 1300, "gallery-sorted")
    assert shown(browser) == [1, 2, 3, 4, 5]
    choose = "document.getElementById('order').value = arguments[0];"
    change = "document.getElementById('order').dispatchEvent(new Event('change'))"
    browser.execute_script(choose + change, "worst")
    worst = sorted(built.exhibits, key=lambda one: one.cider)
    assert shown(browser) == [one.number for one in worst]
    browser.execute_script(choose + change, "given")
    assert shown(browser) == [1, 2, 3, 4, 5]
    browser.find_element("id", "words").send_keys("CAT")
    wanted = [
        one.number
        for one in built.exhibits
        if "cat" in " ".join(one.references + [s.caption for s in one.sayings])
    ]
    assert shown(browser) == wanted and 0 < len(wanted) < 5
    assert browser.find_element("id", "told").text == f"{len(wanted)} of 5 pictures"
    browser.find_element("id", "maps").click()
    assert browser.execute_script("return document.querySelectorAll('.looks[open]').length") == 10


@pytest.mark.browser
def test_a_hostile_set_does_nothing_in_a_browser(browser, hostile, tmp_path):
    for width in (1300, 390):
        opened(browser, hostile, tmp_path / "page.html", width, f"gallery-hostile-{width}")
        browser.execute_script(
            "document.querySelectorAll('details').forEach(one => one.open = true)"
        )
        assert browser.execute_script("return window.hacked === undefined") and quiet(browser)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
