"""Every relative link leads somewhere; and the checker itself, against a server on loopback that misbehaves."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import links
import pytest


def test_every_relative_link_of_the_course_leads_somewhere():
    outside, broken, _ = links.collect()
    assert broken == []
    assert len(outside) > 20 and not [one for one in outside if links.UNFILLED.search(one)]


@pytest.fixture
def course(tmp_path):
    """A folder with a guide, a page beside it, and a notebook."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "course").mkdir()
    page = "# Two words\n\n## `code`, and marks!\n\n## Two words\n\n<a id='x'></a>\n<a id=\"own\"></a>\n"
    (tmp_path / "docs" / "data.md").write_text(page)
    return tmp_path


def broken(course, text, name="README.md"):
    (course / name).write_text(text)
    return [line.removeprefix(f"{name}: ") for line in links.collect(course)[1]]


@pytest.mark.parametrize(
    "link",
    [
        "docs/data.md", "docs/", "docs/data.md#two-words", "docs/data.md#two-words-1", "docs/data.md#code-and-marks",
        "docs/data.md#own", "#here", "docs/data.md?plain=1", "https://elsewhere.org/docs", "mailto:a@b.c",
    ],
)  # fmt: skip
def test_a_link_that_leads_somewhere(course, link):
    assert broken(course, f"# Here\n\n[told]({link})\n") == []


@pytest.mark.parametrize(
    "link", ["docs/date.md", "#there", "docs/data.md#three-words", "docs/data.md#two-words-2", "../x"]
)  # fmt: skip
@pytest.mark.parametrize(
    "form",
    ["[told]({})", "![told]({})", '<img alt="" src="{}">', "[told][1]\n\n[1]: {}", "|a|\n|---|\n|[told]({})|"],
)  # fmt: skip
def test_a_link_that_leads_nowhere_is_found_in_every_form(course, form, link):
    assert broken(course, f"# Here\n\n{form.format(link)}\n") == [link]


def test_code_is_no_link(course):
    assert broken(course, "`rows[0](x)`\n\n```python\nrows[0](x)\n```\n") == []


def test_notebooks_are_read_cell_by_cell(course):
    cells = [
        dict(cell_type="markdown", metadata={}, source="[a](gone.md), https://one.org/a."),
        dict(
            cell_type="code", metadata={}, source="rows[0](x)  # https://two.org/b(c)", outputs=[]
        ),
    ]
    text = json.dumps(dict(cells=cells, metadata={}, nbformat=4, nbformat_minor=5))
    assert broken(course, text, "course/00.ipynb") == ["gone.md"]
    assert set(links.collect(course)[0]) == {"https://one.org/a", "https://two.org/b(c)"}


@pytest.mark.parametrize(
    "text, address",
    [
        ("See https://a.org/x.", "https://a.org/x"),
        ("(https://a.org/x)", "https://a.org/x"),
        ("[a](https://a.org/x_(y)), b", "https://a.org/x_(y)"),
        ("<https://a.org/x?y=1&z=2#part>", "https://a.org/x?y=1&z=2"),
        ("`https://a.org/x`: told", "https://a.org/x"),
        ("**https://a.org/x**", "https://a.org/x"),
        ('url = "https://a.org/x",', "https://a.org/x"),
    ],
)
def test_an_address_ends_where_it_ends(text, address):
    assert links.addresses(text) == [address]


def test_unfilled_and_inside_addresses_are_not_asked(course):
    text = "https://github.com/YOUR_ACCOUNT/x https://a.org/{path} http://localhost:8888/lab https://b.org/"
    assert broken(course, text) == []
    outside, _, unfilled = links.collect(course)
    assert set(outside) == {"https://b.org/"} and unfilled == 2


# --- outside


@pytest.fixture
def server():
    """A server: /CODE answers with it, /no-head refuses HEAD, /busy is busy twice, /round leads to itself."""
    seen, busy, most = [], [], [0, 0]

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            most[0] += 1
            most[1] = max(most)
            seen.append((self.command, self.path))
            self.send_response(self.code(self.path.strip("/")))
            if self.path == "/round":
                self.send_header("Location", "/round")
            self.send_header("Content-Length", "0")
            self.end_headers()
            most[0] -= 1

        do_GET = do_HEAD

        def code(self, name):
            if name == "busy":
                busy.append(name)
                return 503 if len(busy) < 3 else 200
            if name == "no-head":
                return 200 if self.command == "GET" else 405
            return 302 if name == "round" else int(name)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.seen, server.most = seen, most
    server.address = f"http://127.0.0.1:{server.server_port}/"
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "name, verdict",
    [
        ("200", ""), ("no-head", ""), ("busy", ""), ("404", "dead: 404"), ("410", "dead: 410"),
        ("500", "dead: 500"), ("403", "shut: 403"), ("429", "shut: 429"), ("round", "dead: TooManyRedirects"),
    ],
)  # fmt: skip
def test_what_a_server_says(server, name, verdict):
    address = server.address + name
    assert links.ask([address], timeout=5, tries=3, pause=0.01) == {address: verdict}


def test_a_registry_is_believed_without_its_publisher(server, monkeypatch):
    monkeypatch.setattr(links, "REGISTRIES", {"127.0.0.1"})
    assert links.ask([server.address + "round"], pause=0.01) == {server.address + "round": ""}


def test_one_at_a_time_for_each_host(server):
    addresses = [f"{server.address}{code}" for code in range(200, 230)]
    assert set(links.ask(addresses, pause=0.01).values()) == {""}
    assert server.most[1] == 1 and len(server.seen) == len(addresses)


def test_a_silent_host_is_asked_once(monkeypatch):
    addresses = [f"http://127.0.0.1:9/{number}" for number in range(3)]
    found = links.ask(addresses, timeout=1, tries=0, pause=0.01)
    assert found == dict.fromkeys(addresses, "silent: ConnectionError")


@pytest.mark.parametrize(
    "names, code, words",
    [
        (["200", "403"], 0, "2 outside links: 0 dead or silent"),
        (["200", "404"], 1, "dead: 404  "),
        ([], 0, "0 relative links are broken."),
    ],
)
def test_the_whole_check(server, course, capsys, monkeypatch, names, code, words):
    monkeypatch.setattr(links, "INSIDE", set())
    (course / "README.md").write_text(" ".join(server.address + name for name in names))
    assert links.main([], root=course) == code
    assert words in capsys.readouterr().out


def test_without_a_network_outside_links_are_counted(course, capsys, monkeypatch):
    monkeypatch.setattr(links, "INSIDE", set())
    monkeypatch.setattr(links, "ask", lambda them: dict.fromkeys(them, "silent: ConnectionError"))
    (course / "README.md").write_text("http://127.0.0.1:9/a [b](gone)")
    assert links.main([], root=course) == 1
    assert "NOT TRIED: 1 outside links; there is no network." in capsys.readouterr().out
    (course / "README.md").write_text("http://127.0.0.1:9/a")
    assert links.main(["--offline"], root=course) == 0
