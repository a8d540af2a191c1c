"""Whether every link of the course leads somewhere: relative ones and their anchors always, outside ones by asking.

    python tests/links.py
    python tests/links.py --offline

`make links` calls it. Outside ones are asked politely: HEAD, then GET, one at a time for each host, again after a pause
where a server is busy. Without a network they are counted and not tried. Exit codes: 0 none is dead, 1 some are.
"""

import argparse
import re
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests
from markdown_it import MarkdownIt
from requests.adapters import HTTPAdapter, Retry

from coursekit.notebooks import load

ROOT = Path(__file__).resolve().parents[1]
GUIDES = ["*.md", "docs/*.md"]
NOTEBOOKS = ["course/*.ipynb", "assignments/*/*.ipynb"]
# Read for addresses alone; pages of the site are templates, whose links its own tests follow
OTHERS = ["course/*.py", "solutions/*.py", "coursekit/**/*.py", "data_scripts/*.py", "site/**/*.md"]
# Brackets belong to an address in pairs
ADDRESS = re.compile(r"https?://(?:[^\s<>\"'`\\|()\[\]]|\([^\s()]*\))+")
# Addresses that are filled in later, and those of no outside server
UNFILLED, INSIDE = re.compile(r"[{}…]|/YOUR_"), {"localhost", "127.0.0.1", "example.org"}
AGENT = {"User-Agent": "coursekit-links (checks a course's links once a week)"}
TIMEOUT, WORKERS = 20, 8
# A redirect of theirs proves that the name exists; the publisher behind it often refuses programs
REGISTRIES = {"doi.org"}
SHUT = {401, 403, 405, 406, 418, 429, 999}


def collect(root=ROOT):
    """({outside address: files that name it}, broken relative links as lines, how many addresses are unfilled)."""
    root, outside, broken, unfilled = Path(root), {}, [], set()
    for path in _files(root, GUIDES + NOTEBOOKS + OTHERS):
        name = path.relative_to(root).as_posix()
        found = {address for text, _ in texts(path) for address in addresses(text)}
        unfilled |= {address for address in found if UNFILLED.search(address)}
        for address in found - unfilled:
            if urlsplit(address).hostname not in INSIDE:
                outside.setdefault(address, []).append(name)
    for path in _files(root, GUIDES + NOTEBOOKS):
        name = path.relative_to(root).as_posix()
        links = [link for text, prose in texts(path) if prose for link in relative(text)]
        broken += [f"{name}: {link}" for link in links if not leads(path, link)]
    return outside, broken, len(unfilled)


def _files(root, patterns):
    found = {path for pattern in patterns for path in root.glob(pattern)}
    return sorted(path for path in found if path.is_file())


def texts(path):
    """Pairs of a text in a file and whether it is Markdown: the cells of a notebook, else all of it."""
    if path.suffix == ".ipynb":
        return [(cell["source"], cell["cell_type"] == "markdown") for cell in load(path)["cells"]]
    return [(path.read_text(encoding="utf-8"), path.suffix == ".md")]


def addresses(text):
    """Outside addresses in any text, without their anchors and the marks that end a sentence."""
    return [found.partition("#")[0].rstrip(".,;:!?*_") for found in ADDRESS.findall(text)]


def relative(text):
    """Targets of Markdown links, pictures and HTML in Markdown that name no outside address."""
    targets = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        for each in [token, *(token.children or [])]:
            targets += [each.attrs[key] for key in ("href", "src") if key in each.attrs]
            if each.type in ("html_block", "html_inline"):
                targets += re.findall(r'\b(?:href|src)="([^"]+)"', each.content)
    return [str(one) for one in targets if not urlsplit(str(one)).scheme]


def leads(path, link):
    """Whether a relative link of a file leads to a file or folder, and its anchor to a heading there."""
    place, _, anchor = unquote(link).partition("#")
    target = (path.parent / place.partition("?")[0]).resolve() if place else path
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in anchors(target.read_text("utf-8"))


def anchors(text):
    """The anchors that GitHub gives to the headings of a Markdown text, and those that it sets itself."""
    tokens, seen, found = MarkdownIt("commonmark").parse(text), Counter(), set()
    for token, inline in zip(tokens, tokens[1:], strict=False):
        if token.type == "heading_open":
            told = "".join(one.content for one in inline.children if one.type in ("text", "code_inline"))  # fmt: skip
            slug = re.sub(r"[^\w -]", "", told.lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return found | set(re.findall(r'\b(?:id|name)="([^"]+)"', text))


# --- outside


def ask(outside, timeout=TIMEOUT, tries=3, pause=2.0):
    """{address: "" when it answers, "shut: …" when it refuses programs, "dead: …" or "silent: …"}."""
    hosts = {}
    for address in sorted(outside):
        hosts.setdefault(urlsplit(address).netloc, []).append(address)
    with ThreadPoolExecutor(WORKERS) as pool:
        found = pool.map(lambda own: _ask_host(own, timeout, tries, pause), hosts.values())
        return {address: verdict for verdicts in found for address, verdict in verdicts.items()}


def _ask_host(addresses, timeout, tries, pause):
    """The verdicts of one host's addresses, asked one after the other; a silent host is not asked again."""
    again = Retry(tries, redirect=10, backoff_factor=pause, backoff_max=60, status_forcelist=[429, 500, 502, 503, 504],
                  raise_on_status=False)  # fmt: skip
    verdicts = {}
    with requests.Session() as session:
        session.headers.update(AGENT)
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=again))
        for address in addresses:
            verdicts[address] = _verdict(session, address, timeout)
            if verdicts[address].startswith("silent"):
                return dict.fromkeys(addresses, verdicts[address]) | verdicts
    return verdicts


def _verdict(session, address, timeout):
    follow = urlsplit(address).hostname not in REGISTRIES
    try:
        status = session.head(address, timeout=timeout, allow_redirects=follow).status_code
        if status >= 400:
            with session.get(address, timeout=timeout, allow_redirects=follow, stream=True) as got:
                status = got.status_code
    except (requests.ConnectionError, requests.Timeout) as error:
        return f"silent: {type(error).__name__}"
    except requests.RequestException as error:
        return f"dead: {type(error).__name__}"
    if status in SHUT:
        return f"shut: {status}"
    return f"dead: {status}" if status >= 400 else ""


def main(arguments=None, root=ROOT):
    """Checks all links and prints what is wrong; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--offline", action="store_true", help="try no outside link")
    options = parser.parse_args(arguments)
    outside, broken, unfilled = collect(root)
    print("\n".join([*broken, f"{len(broken)} relative links are broken."]))
    if unfilled:
        print(f"{unfilled} addresses are filled in when the course is published: not tried.")
    verdicts = {} if options.offline else ask(outside)
    if all(verdict.startswith("silent") for verdict in verdicts.values()):
        print(f"NOT TRIED: {len(outside)} outside links{'' if options.offline else '; there is no network'}.")  # fmt: skip
        return int(bool(broken))
    for address, verdict in sorted(verdicts.items()):
        if verdict:
            print(f"{verdict}  {address}  ({', '.join(sorted(set(outside[address])))})")
    wrong = sum(not verdict.startswith("shut") for verdict in verdicts.values() if verdict)
    print(f"{len(verdicts)} outside links: {wrong} dead or silent; shut ones let no program in, look at them by hand.")  # fmt: skip
    return int(bool(broken or wrong))


if __name__ == "__main__":
    sys.exit(main())
