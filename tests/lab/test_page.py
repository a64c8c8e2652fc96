# SPDX-License-Identifier: BSD-2-Clause
"""The status page in headless Chromium: layout, what a keyboard and a screen reader meet, and a failover seen live."""
import itertools
import os
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from .browser import Browser, axe
from .mhad import Mhad
from .util import until
from .web import Served, Web

SIZES = {360: 740, 1024: 768, 1920: 1080}
ALL = list(itertools.product(SIZES, (False, True)))  # widths; light and dark
SOME = ALL if os.environ.get("MHAD_FULL") else [(360, True), (1024, False), (1920, False)]
FEW = ALL if os.environ.get("MHAD_FULL") else [(360, False), (1920, True)]
RUN = "20261120-031209-4711"
SHOTS = os.environ.get("MHAD_SHOTS")  # a directory: what the tests see is kept there

# Without axe-core: what can be told by looking at the elements.  Returns complaints.
LOOK = r"""
(() => {
	const found = [], say = (e, what) => found.push(what + ": " + (e.outerHTML || "").slice(0, 120));
	const seen = e => { const r = e.getBoundingClientRect(); return r.width > 1 && r.height > 1 && getComputedStyle(e).visibility !== "hidden"; };
	const parse = c => { const m = c.match(/[\d.]+/g).map(Number); return [m[0], m[1], m[2], m.length > 3 ? m[3] : 1]; };
	const under = e => {
		const layers = [];
		for (; e; e = e.parentElement) {
			const c = parse(getComputedStyle(e).backgroundColor);
			if (c[3] > 0)
				layers.push(c);
			if (c[3] === 1)
				break;
		}
		return layers.reverse().reduce((a, b) => a.map((x, i) => x * (1 - b[3]) + b[i] * b[3]), [255, 255, 255]);
	};
	const light = c => { const f = c.slice(0, 3).map(x => x / 255).map(x => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
		return .2126 * f[0] + .7152 * f[1] + .0722 * f[2]; };
	const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); };
	for (const e of document.querySelectorAll("body *")) {
		const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
		if (!own || !seen(e) || e.closest(".hide, svg, script, noscript"))
			continue;
		const s = getComputedStyle(e), big = parseFloat(s.fontSize) >= 24 || (parseFloat(s.fontSize) >= 18.66 && s.fontWeight >= 700);
		const c = contrast(parse(s.color), under(e));
		if (c < (big ? 3 : 4.5))
			say(e, "contrast " + c.toFixed(2));
	}
	const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
	for (const id of ids.filter((x, i) => ids.indexOf(x) !== i))
		found.push("id twice: " + id);
	for (const e of document.querySelectorAll("[aria-labelledby]"))
		for (const id of e.getAttribute("aria-labelledby").split(" "))
			if (!document.getElementById(id))
				say(e, "label that is not there");
	for (const e of document.querySelectorAll("a, button"))
		if (!e.textContent.trim() && !e.getAttribute("aria-label"))
			say(e, "no name");
	for (const e of document.querySelectorAll("input:not([type=hidden])"))
		if (!e.labels.length)
			say(e, "no label");
	for (const e of document.querySelectorAll("svg"))
		if (e.getAttribute("aria-hidden") !== "true" && !e.getAttribute("role"))
			say(e, "picture without a name");
	let level = 0;
	for (const e of document.querySelectorAll("h1, h2, h3, h4")) {
		const n = Number(e.tagName[1]);
		if (n > level + 1)
			say(e, "heading skips a level");
		level = n;
	}
	for (const [name, n] of [["main", 1], ["body > header", 1], ["body > footer", 1], ["h1", 1]])
		if (document.querySelectorAll(name).length !== n)
			found.push(name + " is there " + document.querySelectorAll(name).length + " times");
	for (const e of document.querySelectorAll("nav, section"))
		if (!e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby"))
			say(e, "landmark without a name");
	if (!document.documentElement.lang || !document.title)
		found.push("no language or title");
	return found;
})()
"""
OVERFLOW = """[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > {width} + 1
	&& !e.closest("pre, .hide")).map(e => e.outerHTML.slice(0, 100)).slice(0, 5)"""
# Text that its own box does not hold.
CUT_OFF = """[...document.querySelectorAll(".card *, .hero *, .node, .node *, td, dd")].filter(e => e.scrollWidth > e.clientWidth + 1
	&& e.clientWidth && getComputedStyle(e).display !== "inline" && !e.closest(".hide, pre")).map(e => e.outerHTML.slice(0, 100)).slice(0, 5)"""


@pytest.fixture(scope="module")
def browser():
    with Browser() as b:
        yield b


def shot(browser, name):
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        browser.shot(f"{SHOTS}/{name}.png", whole="1000" not in name)


def is_in_order(browser, served, width, name):
    """No part of it is out of sight, nothing complains, nothing comes from elsewhere."""
    assert not browser.js(OVERFLOW.replace("{width}", str(width))), f"{name}: wider than the screen"
    assert not browser.js(CUT_OFF), f"{name}: text that is cut off"
    assert not browser.complaints()
    assert all(u.startswith(served.url) for u in browser.requests()), browser.requests()


@pytest.mark.parametrize("clusters", [1, 30, 1000])
def test_overview(browser, clusters):
    """At three widths, light and dark: readable, and what needs a person is what is seen first."""
    with Served(clusters=clusters, ill=6 if clusters > 1 else 0) as served:
        for width, dark in SOME:
            name = f"overview-{clusters}-{width}-{'dark' if dark else 'light'}"
            browser.size(width, SIZES[width], dark).open(served.url)
            browser.until("it is live", "document.querySelector('.live.on') !== null", 5)
            shot(browser, name)
            is_in_order(browser, served, width, name)
            assert browser.js("document.querySelectorAll('.card, .tile').length") == clusters
            if clusters < 1000 or width == 1024:
                assert not browser.js(LOOK), name
            first = "document.querySelector('.card').classList.contains('{}')"
            assert browser.js(first.format("down" if clusters > 1 else "well"))
            assert browser.js("document.querySelector('.card').getBoundingClientRect().top < innerHeight")
            assert browser.js(f"getComputedStyle(document.body).backgroundColor !== 'rgb(243, 245, 248)'") == dark


PAGES = {"cluster-down": "/clusters/c0007", "cluster-odd": "/clusters/c0004", "cluster-broken": "/clusters/c0006",
         "incidents": "/incidents", "incident": f"/incidents/c0007-{RUN}", "found": "/?q=c000&show=ill", "nothing": "/clusters/nobody"}


@pytest.fixture(scope="module")
def thirty():
    with Served(clusters=30, ill=8) as s:
        s.add_incident("c0007", RUN)
        s.add_incident("c0007", "20261119-031209-4711", result="failed", new_master=None, opened_ms=-1, lost="3 transactions <b>")
        yield s


@pytest.mark.parametrize("name", PAGES)
def test_pages(browser, thirty, name):
    for width, dark in FEW:
        browser.size(width, SIZES[width], dark)
        browser.open(thirty.url + PAGES[name])
        browser.pump(0.2)
        shot(browser, f"{name}-{width}-{'dark' if dark else 'light'}")
        if name != "nothing":  # its status is an error to the console
            is_in_order(browser, thirty, width, name)
        assert not browser.js(LOOK), f"{name} {width}"


@pytest.mark.parametrize("dark", [pytest.param(False, marks=pytest.mark.slow), True])
def test_axe(browser, thirty, dark):
    """axe-core finds nothing, by WCAG 2.2 AA and its own best practices."""
    program = axe()
    for width, (name, path) in itertools.product((360, 1920), {"overview": "/", **PAGES}.items()):
        browser.size(width, SIZES[width], dark).open(thirty.url + path)
        browser.js(program + "; 1")
        browser.pump(0.2)
        found = browser.js("axe.run({resultTypes: ['violations']}).then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html.slice(0, 120)).slice(0, 3).join(' | ')))")
        assert not found, f"{name} at {width}: " + "\n".join(found)


class Text(HTMLParser):
    """What is there without scripts and styles."""

    def __init__(self, html):
        super().__init__()
        self.parts, self.depth = [], 0
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self.parts))

    def handle_starttag(self, tag, attrs):
        self.depth += tag in ("script", "style")
        assert not {"style", "onclick", "onload"} & {k for k, _ in attrs}, "nothing inline: the policy forbids it"

    def handle_endtag(self, tag):
        self.depth -= tag in ("script", "style")

    def handle_data(self, data):
        if not self.depth:
            self.parts.append(data)


def test_without_scripts(browser, thirty):
    """All text is there, and it renews itself."""
    html = thirty.web.get("/").text
    text = Text(html).text
    for words in ("1 of 30 clusters is down", "process_dead", "the server's process is gone", "& says <so>", "No failover now", "1 of 3 slaves does not replicate"):
        assert words in text, words
    assert '<noscript><meta http-equiv="refresh"' in html
    browser.size(1024, 768, script=False).open(thirty.url + "/clusters/c0007")
    assert "Why not now" in Text(thirty.web.get("/clusters/c0007").text).text
    assert browser.js("document.querySelector('.live').textContent") == ""
    browser.size(1024, 768)


def test_what_servers_say_is_no_html(thirty):
    html = thirty.web.get("/incidents").text + thirty.web.get(f"/incidents/c0007-{RUN}").text + thirty.web.get("/?q=<script>\"'").text
    assert "3 transactions &lt;b&gt;" in html and "&lt;refused&gt;" in html and "&lt;script&gt;&quot;&#39;" in html
    assert "<so>" not in html and html.count("<script") == html.count('<script src="/static/page.js')


def test_keyboard(browser, thirty):
    """Tab goes to the content, the pages, the search and the clusters; each stop can be seen."""
    browser.size(1024, 768).open(thirty.url)
    stops = []
    for _ in range(12):
        browser.key("Tab", 9)
        stops.append(browser.js("(e => [e.textContent.trim() || e.id, getComputedStyle(e).outlineStyle !== 'none', e.getBoundingClientRect().width > 1])"
                                "(document.activeElement)"))
    assert [s[0] for s in stops[:4]] == ["Skip to the content", "mhad", "Clusters", "Incidents"]
    assert "c0007" in [s[0] for s in stops] and "q" in [s[0] for s in stops]
    assert all(s[1] and s[2] for s in stops), stops


def test_live(browser):
    """A death is seen within a second and a half, the focus stays, and so does where one was on the page."""
    with Served(clusters=30) as served:
        browser.size(1024, 768).open(served.url)
        browser.until("it is live", "document.querySelector('.live.on') !== null", 5)
        assert browser.js("document.querySelector('h1').textContent") == "All 30 clusters are well"
        browser.js("document.querySelector('#c-c0020 a').focus(); scrollTo(0, 600)")
        browser.until("the title says that all are well", "document.title.startsWith('All 30')")
        began = time.monotonic()
        served.die()
        browser.until("it is seen", "document.querySelector('#c-c0001').classList.contains('down')", 5)
        took = time.monotonic() - began
        assert took < 2.5, f"{took:.1f} s"
        browser.until("the head says so", "document.querySelector('h1').textContent === '1 of 30 clusters is down'", 3)
        browser.until("the tab says so", "document.title.startsWith('1 of 30')", 3)
        assert browser.js("document.activeElement.closest('li').id") == "c-c0020"
        assert browser.js("scrollY") > 300
        served.rise()
        browser.until("it is well again", "document.querySelector('#c-c0001').classList.contains('well')", 5)
        assert not browser.complaints()


def test_when_mhad_goes_away(browser):
    """A wall that shows old figures says so, and goes on by itself."""
    with Served(clusters=3) as served:
        browser.size(1920, 1080).open(served.url)
        browser.until("it is live", "document.querySelector('.live.on') !== null", 5)
        served.configure('http_listen = "off";')
    browser.until("it says that it is not", "document.querySelector('.live.off') !== null", 10)


def test_ages_go_on(browser):
    with Served(clusters=1) as served:
        browser.size(360, 740).open(served.url)
        at = browser.js("document.querySelector('.age').textContent")
        browser.until("time goes by", f"document.querySelector('.age').textContent !== '{at}'", 5)


def test_failover_seen_live(lab):
    """A real cluster fails over before the eyes of somebody who has the page open; then its incident is there."""
    cluster = lab.cluster("ma1011", 3)
    db1, _, _ = cluster
    mhad = Mhad(lab)
    mhad.use(cluster, auto_failover=True, fence="best_effort", latest_priority=False)
    web = Web.on(lab.manager)
    with mhad.start().watching(), Browser(inside=lab.manager) as b:
        until("it listens", web.up, 5)
        b.size(360, 740).open("http://127.0.0.1:9780/clusters/app1")
        b.until("it is live", "document.querySelector('.live.on') !== null", 5)
        assert b.js("document.querySelector('.node.master .who').textContent") == "db1"
        # Every state that the page shows is kept by the page itself.
        b.js("""window.seen = []; new MutationObserver(() => { const v = document.querySelector(".hero .verdict b").textContent;
            if (window.seen.at(-1) !== v) window.seen.push(v); }).observe(document.body, {childList: true, subtree: true})""")
        db1.kill()
        b.until("db2 is the master", "document.querySelector('.node.master .who').textContent === 'db2'", 20)
        b.until("all is well", "document.querySelector('.hero .verdict b').textContent === 'healthy'", 20)
        seen = b.js("window.seen")
        assert "process_dead" in seen, seen
        b.until("the old one is shown as absent", "document.querySelector('.node.off') !== null", 5)
        if SHOTS:
            b.shot(f"{SHOTS}/failed-over-360.png")
        b.open("http://127.0.0.1:9780/incidents")
        b.js("document.querySelector('.list a').click()")
        b.until("the incident's timeline", "document.querySelectorAll('.timeline tbody tr').length > 5", 5)
        assert not b.js(LOOK)
        assert not b.js(OVERFLOW.replace("{width}", "360"))
        if SHOTS:
            b.shot(f"{SHOTS}/incident-360.png")
        assert not b.complaints()
