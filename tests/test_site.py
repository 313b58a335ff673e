"""`make docs`: the site has every page and the whole interface, its links lead somewhere, and it loads nothing."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest

import fewshot_bench
from fewshot_bench.cli import cli

ROOT = Path(__file__).parents[1]
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "srcset", "link": "href"}


class Page(HTMLParser):
    """What a page loads, what it links to, and the places in it that can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if address := given.get(LOADS.get(tag, "")):
            self.loaded.append(address)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built without a network."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | NO_NETWORK | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site(site):
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    written = {
        path.relative_to(ROOT).with_suffix("").as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    }
    made = {path.relative_to(site.resolve()).with_suffix("").as_posix() for path in pages}
    assert made == written - {"README"} | {"index", "404"}
    check_that_it_loads_nothing_from_elsewhere(site, pages)
    check_that_links_lead_somewhere(pages)
    check_the_reference(site)


def check_that_it_loads_nothing_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    loaded = [address for page in pages.values() for address in page.loaded]
    styles = [path.read_text(encoding="utf-8") for path in [*site.rglob("*.css"), *pages]]
    loaded += [address for text in styles for address in re.findall(r"""(?:url\(|@import)\s*["']?([^"')\s]+)""", text)]
    assert len(loaded) > 100
    assert [address for address in loaded if re.match(r"(?!data:)\w*:?//|https?:", address)] == []


def check_that_links_lead_somewhere(pages: dict[Path, Page]) -> None:
    missing = []
    for path, page in pages.items():
        for link in page.links:
            to = urlsplit(link)
            if to.scheme or path.name == "404.html":  # whose links count from the root of a server
                continue
            target = (path.parent / unquote(to.path)).resolve() if to.path else path
            place = unquote(to.fragment)
            if not target.exists() or (place and place not in pages[target].places):
                missing.append(f"{path.name}: {link}")
    assert missing == []


def check_the_reference(site: Path) -> None:
    headings = re.findall(r"<h3 id=\"([^\"]+)\"", (site / "docs/command-line.html").read_text(encoding="utf-8"))
    names = [f"bench-{name}" for name in cli.commands]
    for name, command in cli.commands.items():
        if isinstance(command, click.Group):
            names += [f"bench-{name}-{below}" for below in command.commands]
    assert sorted(headings) == sorted(names)
    text = (site / "docs/python.html").read_text(encoding="utf-8")
    described = set(re.findall(r"<h[23] id=\"fewshot_bench\.[\w.]*?(\w+)\"", text))
    assert set(fewshot_bench.__all__) <= described
