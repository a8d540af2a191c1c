"""What Sphinx is told. `build.py` lays out what it reads, in .build/site."""

from pathlib import Path

project = "A picture becomes words"
author = "coursekit"
language = "en"
extensions = ["myst_nb", "sphinx_copybutton"]
templates_path = ["templates"]
html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["static"]
html_css_files = ["book.css"]
html_js_files = [("book.js", {"defer": "defer"})]
html_favicon = "static/icon.svg"
html_copy_source = False
html_context = {"default_mode": "auto"}
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "use_source_button": False,
}

# Lessons come executed; each check of an exercise prints a line, and a loop prints many
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4
suppress_warnings = [
    # MyST tells that it sets MathJax's processHtmlClass, which it must
    "myst.mathjax",
]

# Only what TeX in and HTML out needs: all of MathJax would be most of a page's weight
mathjax_path = "mathjax/startup.js"
mathjax3_config = {
    "loader": {"load": ["input/tex-base", "[tex]/ams", "output/chtml", "a11y/assistive-mml"]},
    "tex": {"packages": {"[+]": ["ams"]}},
    # As large as the text around, whatever font a reader's system has
    "chtml": {"matchFontHeight": False},
}


def setup(app):
    app.connect("config-inited", _static)


def _static(app, config):
    """MathJax and the lessons' pictures, as build.py laid them out."""
    config.html_static_path.append(str(Path(app.srcdir).parent / "static"))
