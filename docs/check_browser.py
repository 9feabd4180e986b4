"""Tries a built site in a headless Chromium: `python docs/check_browser.py site`.

The interactive page is worked with keyboard, mouse and finger; its curves are what the
code that it shows computes; its controls have names. No page asks for anything from
elsewhere, is wider than a phone, or has an error. Without a Chromium, nothing is tried.
"""

import functools
import http.server
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from browser import Browser, find, opened

PHONES = (390, 360)
# Address and softness of curves that are compared with their code.
COMPARED = (
    "operator=relu&mode=smooth&softness=0.05",
    "operator=clip&mode=c1&softness=0.2&straight=",
    "operator=round&mode=quintic&softness=0.04",
    "operator=isclose&mode=pseudohuber&softness=0.1",
    "operator=logical_xor&mode=c2&softness=0.063",
    "operator=where&mode=cubic&softness=0.01",
    "operator=sort&mode=c0&method=ot&softness=0.25",
    "operator=sort&mode=smooth&method=smooth_sort&softness=0.1&straight=",
    "operator=rank&mode=c1&method=fast_soft_sort&softness=1",
    "operator=median&mode=c0&method=neuralsort&softness=0.4",
    "operator=argsort&mode=smooth&softness=0.125",
    "operator=top_k_mask&mode=c1&method=hypersimplex&softness=0.315",
)
# Points of a curve in pixels, and the labels of its axis with their places.
_DRAWN = """(() => {
  const svg = document.getElementById("try-%s");
  const path = svg.querySelector(".try-line-soft, .try-line-straight");
  const marks = [...svg.querySelectorAll("text[text-anchor=end]")];
  return {d: path.getAttribute("d"),
          marks: marks.map(m => [Number(m.textContent), m.getAttribute("y") - 4])};
})()"""
_CODE = "document.getElementById('try-code').textContent"
_READY = "document.querySelector('#try-slope path') !== null"
_MIDDLE = """(() => {
  const element = document.querySelector(%r);
  element.scrollIntoView({block: "center"});
  const box = element.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
})()"""
# What is wider than the page, except where it scrolls by itself.
_TOO_WIDE = """[...document.querySelectorAll("article *")].filter(element => {
  const box = element.getBoundingClientRect();
  if (box.width === 0 || (box.right <= innerWidth + 1 && box.left >= -1)) return false;
  for (let e = element.parentElement; e; e = e.parentElement) {
    if (getComputedStyle(e).overflowX !== "visible") return false;
  }
  return true;
}).map(element => element.outerHTML.slice(0, 80))"""


def drawn(browser: Browser, which: str) -> tuple[np.ndarray, float]:
    """The curve that is drawn, in its units, and the size of a pixel."""
    found = browser.evaluate(_DRAWN % which)
    points = re.findall(r"[ML][-\d.]+ ([-\d.]+)", found["d"])
    (first, low), *_, (last, high) = found["marks"]
    size = (last - first) / (high - low)
    return first + size * (np.asarray(points, float) - low), abs(size)


def open_page(browser: Browser, base: str, query: str = "") -> None:
    browser.go(f"{base}/try_it.html?{query}")
    browser.wait(_READY)


def changes(browser: Browser, act: Callable[[], None], *seen: str) -> list[str]:
    """Complaint about an expression of `seen` that `act` leaves as it was, if any."""
    before = [browser.evaluate(s) for s in seen]
    act()
    for was, s in zip(before, seen, strict=True):
        try:
            browser.wait(f"({s}) !== {was!r}", 5)
        except TimeoutError:
            return [f"{act.__name__} leaves as it was: {s}"]
    return []


def check_controls(browser: Browser, base: str) -> list[str]:
    """Keyboard, mouse and finger move the curve, and the marker on it."""
    path = "document.querySelector('#try-%s .try-line-soft').getAttribute('d')"
    curves = (path % "value", path % "slope")
    marker = "document.querySelector('#try-value circle').getAttribute('cx')"
    open_page(browser, base)

    def focus(what):
        browser.evaluate(f"document.querySelector({what!r}).focus()")

    def slide():
        focus("#try-softness")
        browser.press("ArrowRight", 4)

    def choose_by_mouse():
        browser.click(*browser.evaluate(_MIDDLE % "input[name=mode][value=c0]"))

    def choose_by_keys():
        focus("input[name=method]:checked")
        browser.press("ArrowRight", 2)  # the first two rank alike

    def touch():
        x, y = browser.evaluate(_MIDDLE % "#try-value")
        browser.touch(x - 60, y)

    return [
        *changes(browser, slide, *curves, _CODE),
        *changes(browser, choose_by_mouse, *curves, _CODE),
        *changes(browser, choose_by_keys, *curves, _CODE),
        *changes(browser, touch, marker),
    ]


def check_curves(browser: Browser, base: str) -> list[str]:
    """Curves are what the code beside them computes."""
    found = []
    for query in COMPARED:
        open_page(browser, base, query)
        names = {}
        exec(browser.evaluate(_CODE), names)
        for which, name in dict(value="y", slope="slope").items():
            curve, pixel = drawn(browser, which)
            wanted = np.asarray(names[name], float)
            allowed = 0.3 * pixel + 1e-3 * np.abs(wanted).max()
            error = np.abs(curve - wanted).max()
            if not error <= allowed:
                found.append(f"{query}: {which} is wrong by {error:.3g}")
    return found


def check_names(browser: Browser, base: str) -> list[str]:
    """Controls and pictures have names that are read out."""
    open_page(browser, base)
    form = browser.send("Runtime.evaluate", expression="document.forms['try-form']")
    nodes = browser.send(
        "Accessibility.queryAXTree", objectId=form["result"]["objectId"]
    )["nodes"]
    roles = ("slider", "radio", "combobox", "checkbox", "button", "image")
    shown = [(n["role"]["value"], n) for n in nodes if not n["ignored"]]
    found = [
        f"a {role} has no name"
        for role, node in shown
        if role in roles and not node["name"]["value"]
    ]
    counted = Counter(role for role, _ in shown)
    if any(counted[role] == 0 for role in roles):
        found.append(f"controls are missing: {counted}")
    return found


def check_without_script(browser: Browser, base: str) -> list[str]:
    browser.go(f"{base}/try_it.html", script=False)
    visible = browser.evaluate(
        "document.querySelector('noscript img').naturalWidth > 0"
        " && document.getElementById('try-form').hidden"
    )
    return [] if visible else ["without JavaScript there is no picture"]


def check_folder(browser: Browser, site: Path) -> list[str]:
    """The page works from a folder too."""
    open_page(browser, site.as_uri())
    return []


def check_widths(browser: Browser, base: str, site: Path) -> list[str]:
    found = []
    for path in sorted(site.rglob("*.html")):
        page = path.relative_to(site).as_posix()
        browser.resize(PHONES[0], 844)
        browser.go(f"{base}/{page}")
        for width in PHONES:
            browser.resize(width, 844)
            wide = browser.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                found.append(f"{page} is {wide} wide, of {width}")
            found += [f"{page}, {width}: {e}" for e in browser.evaluate(_TOO_WIDE)]
    return found


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


def main() -> None:
    site = Path(sys.argv[1]).resolve()
    executable = find()
    if executable is None:
        print("There is no Chromium: nothing is tried.")
        return
    handler = functools.partial(_Quiet, directory=site)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    with opened(executable) as browser:
        browser.resize(1280, 900)
        found = [
            *check_controls(browser, base),
            *check_curves(browser, base),
            *check_names(browser, base),
            *check_without_script(browser, base),
            *check_widths(browser, base, site),
        ]
        found += [f"error: {error}" for error in browser.errors]
        own = (base, "data:", "blob:")
        elsewhere = {url for url in browser.requests if not url.startswith(own)}
        found += [f"asks for {url}" for url in sorted(elsewhere)]
        found += check_folder(browser, site)
    print("\n".join(found) or "tried in a browser, all well")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
