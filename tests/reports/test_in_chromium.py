"""The report in a real browser: its small script sorts, filters, shows values and facts, and nothing is loaded."""

import base64
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from fewshot_bench.reports.report import report_html

WIDE, PHONE = (1200, 900), (400, 800)


class Chromium:
    """A headless Chromium with one page, driven through its debugging pipe."""

    def __init__(self, folder: Path) -> None:
        (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
        words = "--headless --no-sandbox --disable-gpu --remote-debugging-pipe --disable-dev-shm-usage --no-first-run"
        command = f"exec chromium {words} --user-data-dir={folder} about:blank 3<&{theirs_in} 4>&{theirs_out}"
        self._process = subprocess.Popen(
            ["bash", "-c", command], pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL
        )
        for end in (theirs_in, theirs_out):
            os.close(end)
        self._out, self._in = os.fdopen(ours_out, "wb"), os.fdopen(ours_in, "rb")
        self._n_asked, self._session, self._rest, self.complaints = 0, {}, b"", []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def close(self) -> None:
        self._session = {}
        self.ask("Browser.close")
        self._process.wait(20)
        self._out.close()
        self._in.close()

    def ask(self, method, **params):
        """Send one command and wait for its answer; what the page complains of meanwhile is kept."""
        self._n_asked += 1
        asked = {"id": self._n_asked, "method": method, "params": params} | self._session
        self._out.write(json.dumps(asked).encode() + b"\0")
        self._out.flush()
        while True:
            told = self._next()
            if told.get("id") == self._n_asked:
                assert "error" not in told, told
                return told["result"]
            self._listen(told)

    def wait_for(self, event):
        while True:
            told = self._next()
            self._listen(told)
            if told.get("method") == event:
                return

    def _listen(self, told):
        if told.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
            self.complaints.append(told["params"])
        if told.get("method") == "Network.requestWillBeSent":
            url = told["params"]["request"]["url"]
            self.complaints += [] if url.startswith(("file:", "data:")) else [url]

    def _next(self):
        while b"\0" not in self._rest:
            part = os.read(self._in.fileno(), 1 << 16)
            assert part, "Chromium ended"
            self._rest += part
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def open(self, file: Path, size=WIDE, script=True):
        self.complaints.clear()
        self.ask("Emulation.setScriptExecutionDisabled", value=not script)
        self.ask("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False)
        self.look()
        self.ask("Page.navigate", url=file.as_uri())
        self.wait_for("Page.loadEventFired")

    def look(self, media="screen", scheme="light"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", media=media, features=features)

    def value(self, expression):
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def middle(self, selector):
        """Where an element is, after it was scrolled to."""
        box = self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center', "
            "inline: 'center'}); const b = e.getBoundingClientRect(); "
            "return [b.x + b.width / 2, b.y + b.height / 2] })()"
        )
        return {"x": box[0], "y": box[1]}

    def hover(self, selector):
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", **self.middle(selector))

    def click(self, selector):
        place = self.middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def type(self, selector, text):
        self.value(f"document.querySelector({json.dumps(selector)}).focus()")
        self.ask("Input.insertText", text=text)

    def picture(self, file: Path, whole=False):
        shown = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shown["data"]))

    def printed(self):
        return base64.b64decode(self.ask("Page.printToPDF", preferCSSPageSize=True)["data"])

    def texts(self, selector):
        return self.value(f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent.trim())")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    if not shutil.which("chromium"):
        assert not os.environ.get("CI"), "CI installs Chromium"
        pytest.skip("needs Chromium: apt-get install chromium")
    browser = Chromium(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def file(marked, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report_html(marked), encoding="utf-8")
    return path


@pytest.fixture
def page(chromium, file):
    """The report, opened anew; at the end it has complained of nothing and asked for nothing."""
    chromium.open(file)
    yield chromium
    assert chromium.complaints == []


MEASURED = "table.measured"
FIRST = f"{MEASURED} tbody:nth-of-type(1) tr:nth-child(2)"  # the row of 5-way 1-shot


def column(page, n):
    return page.texts(f"{MEASURED} tbody:nth-of-type(1) tr:not(.way) > :nth-child({n})")


def test_a_click_on_a_heading_sorts_the_rows_of_each_way(page):
    before = column(page, 2)
    page.click(f"{MEASURED} thead th:nth-child(2) button")
    falling = column(page, 2)
    assert falling == sorted(before, key=lambda text: -float(text.split()[0]))
    assert falling != before
    page.click(f"{MEASURED} thead th:nth-child(2) button")
    assert column(page, 2) == falling[::-1]
    assert page.value(f"document.querySelector('{MEASURED} thead th:nth-child(2)').ariaSort") == "ascending"


def test_a_click_on_a_setting_orders_the_columns_by_it(page):
    names = page.texts(f"{MEASURED} thead th")
    facts = f"[...document.querySelectorAll('{FIRST} td[data-cell]')].map((cell) => JSON.parse(cell.dataset.cell))"
    page.click(f"{FIRST} th button")
    ordered = page.value(facts)
    means = [cell["mean"] for cell in ordered]
    assert means[-1] is None  # a failed one comes last
    assert means[:-1] == sorted(means[:-1], reverse=True)
    headings = page.texts(f"{MEASURED} thead th")
    assert headings[1:-2] == [cell["variant"] for cell in ordered]
    assert headings[-2:] == names[-2:]


def test_words_filter_columns_and_rows(page):
    page.type(".filter input", "mtl, proto")
    shown = "[...document.querySelectorAll('{}')].filter((e) => e.offsetParent).map((e) => e.textContent)"
    assert page.value(shown.format(f"{MEASURED} thead th")) == [
        "Task", "protonet", "maml-mtl", "reptile-mtl", "n", "disjoint",
    ]  # fmt: skip
    assert len(page.value(shown.format(f"{FIRST} td"))) == 5
    assert page.texts(".filter output")[0] == "3 of 7"
    page.type("section:has(#cells) .filter input", "maml-mtl 20-way")
    page.value("document.querySelector('section:has(#cells) .filter input').value")
    rows = page.value(shown.format("table.cells tbody th"))
    assert all("maml-mtl" in row or "20-way" in row for row in rows)
    assert len(rows) == 9 + 3 * 6


def test_a_click_on_a_number_shows_its_facts(page):
    assert page.value("document.querySelector('dialog').open") is False
    page.click(f"{FIRST} td:nth-child(3) a")
    shown = page.value("document.querySelector('dialog').innerText")
    for words in (
        "protonet 5-way 1-shot",
        "protonet-5-1-0",  # its key
        "sampler",
        "bench show protonet-5-1-0",
        "bench run --grid full --method protonet --way 5 --shot 1 --seed 0",
    ):
        assert words in shown
    assert page.value("document.querySelector('dialog dd').textContent") == page.value(
        f"document.querySelector('{FIRST} td:nth-child(3)').firstChild.firstChild.textContent.trim()"
    )
    page.click(f"{FIRST} td:nth-child(4) a")
    assert "the loss became NaN at step 30" in page.value("document.querySelector('dialog').innerText")
    page.ask("Input.dispatchKeyEvent", type="keyDown", key="Escape")
    assert page.value("document.querySelector('dialog').open") is False


def test_values_stand_beside_the_pointer(page):
    tip = "document.getElementById('tip')"
    assert page.value(f"{tip}.hidden")
    page.hover(f"{FIRST} td:nth-child(3)")
    assert page.value(f"{tip}.innerText").startswith("protonet 5-way 1-shot: ")
    page.hover("figure svg .value")
    assert page.value(f"{tip}.innerText").endswith("%")
    page.hover("h1")
    assert page.value(f"{tip}.hidden")


def test_the_page_is_dark_where_the_reader_wants_it(page):
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    paper = "getComputedStyle(document.querySelector('figure svg path')).fill"
    assert page.value(ground) == page.value(paper) == "rgb(255, 255, 255)"
    page.look(scheme="dark")
    assert page.value(ground) == page.value(paper) == "rgb(21, 24, 28)"
    page.look("print", "dark")
    assert page.value(ground) == page.value(paper) == "rgb(255, 255, 255)"


def test_on_paper_there_are_no_controls(page):
    page.look("print")
    for selector in ("nav", ".filter", "#tip"):
        assert page.value(f"getComputedStyle(document.querySelector('{selector}')).display") == "none"
    assert page.printed().startswith(b"%PDF")


def test_on_a_phone_the_first_column_stays(chromium, file):
    chromium.open(file, PHONE)
    room = chromium.value("document.documentElement.clientWidth")
    assert chromium.value("document.documentElement.scrollWidth") == room  # tables and figures scroll by themselves
    left = f"document.querySelector('{FIRST} th').getBoundingClientRect().left"
    before = chromium.value(left)
    chromium.value(f"document.querySelector('{MEASURED}').parentElement.scrollLeft = 300")
    assert chromium.value(left) == pytest.approx(before, abs=1)
    assert chromium.value(f"document.querySelector('{FIRST} td').getBoundingClientRect().left") < 0
    assert chromium.value("document.querySelector('figure svg').clientWidth") > room  # as readable as on a screen
    chromium.click(f"{FIRST} td:nth-child(3) a")
    box = chromium.value("document.querySelector('dialog').getBoundingClientRect().toJSON()")
    assert box["left"] >= 0
    assert box["right"] <= PHONE[0]


def test_marks_keep_clear_of_the_next_number(chromium, make_results, tmp_path):
    """As many marks as a cell can have: how it stands to the best, for other classes, for other seeds, a note."""
    path = tmp_path / "report.html"
    path.write_text(report_html(make_results(("maml", "protonet", "reptile"), ((5, 1),), n=40)), encoding="utf-8")
    chromium.open(path)
    chromium.value(f"document.querySelector('{FIRST} td').insertAdjacentHTML('beforeend', '<sup>†§¶a</sup>')")
    marks, number = (
        chromium.value(
            "(() => { const range = document.createRange();"
            f"range.selectNodeContents(document.querySelector('{FIRST} {part}'));"
            "return range.getBoundingClientRect().toJSON() })()"
        )
        for part in ("td:nth-child(2) sup:last-child", "td:nth-child(3) a")
    )
    assert marks["right"] < number["left"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", [MEASURED, "figure svg"])
def test_an_edge_beyond_which_there_is_more_is_shaded(chromium, file, tmp_path, place, scheme):
    chromium.open(file, PHONE)
    chromium.look(scheme=scheme)
    box = f"document.querySelector('{place}').closest('.scroll')"

    def edge(left):
        """How light a point at the right edge is, of what is scrolled so far."""
        chromium.value(f"{box}.scrollIntoView(), {box}.scrollLeft = {left}, 0")
        chromium.picture(tmp_path / "page.png")
        bounds = chromium.value(f"{box}.getBoundingClientRect().toJSON()")
        with Image.open(tmp_path / "page.png") as image:
            found = image.convert("L").getpixel((int(bounds["right"]) - 2, int(bounds["top"]) + 2))
        assert isinstance(found, int)
        return found

    more, end = edge(0), edge(9999)
    assert more < end - 20 if scheme == "light" else more > end + 20


def test_without_its_script_every_number_still_leads_to_its_facts(chromium, file):
    chromium.open(file, script=False)
    chromium.click(f"{FIRST} td:nth-child(3) a")
    assert chromium.value("location.hash") == "#protonet-5-way-1-shot"
    assert chromium.value("document.querySelector('tr:target th').textContent") == "protonet 5-way 1-shot"
    assert chromium.value("document.querySelectorAll('button, input, dialog').length") == 0


def test_another_script_is_not_run(chromium, file, tmp_path):
    """What gets into the page by whatever way: its policy knows one script."""
    foreign = tmp_path / "foreign.html"
    html = file.read_text(encoding="utf-8").replace("</main>", "</main><script>document.title = 'foreign'</script>")
    foreign.write_text(html, encoding="utf-8")
    chromium.open(foreign)
    assert chromium.value("document.title") == "Few-shot benchmark: strokes"
    assert chromium.value("document.querySelectorAll('thead button').length") > 0
    assert any("Content Security Policy" in json.dumps(complaint) for complaint in chromium.complaints)


def test_strange_names_are_words_in_the_panel_too(chromium, make_results, tmp_path):
    evil = "<img src=x onerror=alert(1)>'\" url(#x"
    path = tmp_path / "evil.html"
    results = make_results(("maml", evil), ((5, 1), (5, 5)))
    path.write_text(report_html(replace(results)), encoding="utf-8")
    chromium.open(path)
    chromium.click(f"{FIRST} td:nth-child(3) a")
    shown = chromium.value("document.querySelector('dialog').innerText")
    assert f"{evil} 5-way 1-shot" in shown
    assert """--method '<img src=x onerror=alert(1)>'"'"'" url(#x' --way 5""" in shown
    assert chromium.value("document.querySelectorAll('img').length") == 0
    chromium.hover("figure svg .value")
    assert chromium.complaints == []
