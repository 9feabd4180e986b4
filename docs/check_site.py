"""Checks a built site: `python docs/check_site.py site`.

Every link and image within it leads somewhere, to the very place on a page; nothing is
loaded from elsewhere; every public name of the library has a place of its own; and the
interactive page has the curves that it offers.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What the browser loads by itself, as opposed to what a reader may click on.
LOADED = {
    "img": "src",
    "script": "src",
    "link": "href",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "use": "href",
}
HARMLESS = {"canonical", "next", "prev", "alternate"}


class Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        for name in ("id", "name"):
            if given.get(name):
                self.ids.add(given[name])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in LOADED and given.get(LOADED[tag]):
            if tag == "link" and HARMLESS & set(given.get("rel", "").split()):
                return
            self.loads.append(given[LOADED[tag]])


def check_links(site: Path, pages: dict[Path, Page]) -> list[str]:
    found = []
    for path, page in pages.items():
        where = path.relative_to(site)
        for url in page.links + page.loads:
            parts = urlsplit(url)
            if parts.scheme in ("http", "https", "mailto", "data"):
                continue
            target = path
            if parts.path:
                base = site if parts.path.startswith("/") else path.parent
                target = (base / unquote(parts.path).lstrip("/")).resolve()
            if target.is_dir():
                target = target / "index.html"
            if not target.exists():
                found.append(f"{where}: {url} leads nowhere")
            elif parts.fragment and target in pages:
                place = unquote(parts.fragment)
                if not place.startswith("__") and place not in pages[target].ids:
                    found.append(f"{where}: {url} leads to no place on that page")
    return found


def check_loads(site: Path, pages: dict[Path, Page]) -> list[str]:
    """Check that nothing is loaded from elsewhere, by pages or by style sheets."""
    found = [
        f"{path.relative_to(site)}: loads {url}"
        for path, page in pages.items()
        for url in page.loads
        if urlsplit(url).netloc
    ]
    for style in site.rglob("*.css"):
        found += [
            f"{style.relative_to(site)}: loads {url}"
            for url in re.findall(
                r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]+)", style.read_text()
            )
        ]
    return found


def check_names(site: Path, pages: dict[Path, Page]) -> list[str]:
    import public_names

    ids = set()
    for path, page in pages.items():
        if path.parent == site / "api":
            ids |= page.ids
    return [
        f"api: {name} is missing" for name in public_names.names() if name not in ids
    ]


def check_curves(site: Path, pages: dict[Path, Page]) -> list[str]:
    """Check that the interactive page has what its script draws."""
    import try_it

    folder = site / "generated" / "try_it"
    index = try_it.read(folder / "index.js")
    shape = (len(index["softness"]), index["points"])
    found = []
    for name, operator in index["operators"].items():
        table = try_it.read(folder / f"{name}.js")
        if missing := set(operator["choices"]) - set(table["curves"]):
            found.append(f"{name}: there are no curves of {sorted(missing)}")
        curves = [c for text in table["curves"].values() for c in try_it.decode(text)]
        if any(curve.shape != shape for curve in curves):
            found.append(f"{name}: curves are not of shape {shape}")
        if any(len(curve) != shape[1] for curve in table["hard"]):
            found.append(f"{name}: hard curves have not {shape[1]} points")
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > 1_000_000:
        found.append(f"curves take {size} bytes")
    script = (site / "try_it.js").read_text()
    wanted = {f"try-{name}" for name in re.findall(r'element\("([\w-]+)"\)', script)}
    missing = wanted - pages[site / "try_it.html"].ids
    return found + [f"try_it.html: {place} is missing" for place in sorted(missing)]


def main() -> None:
    site = Path(sys.argv[1]).resolve()
    paths = [p for p in site.rglob("*.html") if p.name != "404.html"]
    pages = {path: Page(path.read_text()) for path in paths}
    found = [
        problem
        for check in (check_links, check_loads, check_names, check_curves)
        for problem in check(site, pages)
    ]
    print("\n".join(found) or f"{len(pages)} pages, all well")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
