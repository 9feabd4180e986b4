"""Hooks of the build of the site: pictures are drawn, notebooks run, TeX is converted.

The interactive page has its curves computed too.

TeX between dollars becomes MathML, which browsers show by themselves, without a script.
Where a page shows a picture that has been drawn, it gets both of its versions, of which
the palette hides one.
"""

import html
import re
import subprocess
import sys
from pathlib import Path

import gallery
import latex2mathml.converter
import run_notebooks
import try_it

_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)
_PICTURE = re.compile(r'<img ([^>]*)src="([^"]*generated/[^"]*)\.svg"([^>]*)>')


def on_startup(command, dirty):
    drawn = Path(__file__).parent / "generated"
    if command == "build" or not drawn.exists():
        # The last part takes as long as all others.
        *most, last = gallery.PARTS
        drawing = [gallery.__file__, str(drawn)]
        commands = (
            [*drawing, *most],
            [*drawing, last],
            [run_notebooks.__file__, str(drawn / "notebooks")],
            [try_it.__file__, str(drawn / "try_it")],
        )
        processes = [subprocess.Popen([sys.executable, *c]) for c in commands]
        # All are waited for, so that none writes on after a failure.
        statuses = [process.wait() for process in processes]
        if any(statuses):
            raise RuntimeError("A picture, a notebook or the curves of a page failed.")


def on_page_content(content, page, config, files):
    def convert(display):
        def replace(match):
            tex = html.unescape(match[1]).strip()
            return latex2mathml.converter.convert(tex, display=display)

        return replace

    content = _INLINE.sub(convert("inline"), content)
    content = _BLOCK.sub(convert("block"), content)
    both = r'<img \1src="\2.svg#only-light"\3><img \1src="\2-dark.svg#only-dark"\3>'
    return _PICTURE.sub(both, content)
