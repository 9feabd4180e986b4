"""What happens when the site is built: pictures are drawn, mathematics is converted.

TeX between dollars becomes MathML, which browsers show by themselves, without a script.
"""

import html
import re
from pathlib import Path

import gallery
import latex2mathml.converter

_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)


def on_startup(command, dirty):
    drawn = Path(__file__).parent / "generated"
    if command == "build" or not drawn.exists():
        gallery.main(drawn)


def on_page_content(content, page, config, files):
    def convert(display):
        def replace(match):
            tex = html.unescape(match[1]).strip()
            return latex2mathml.converter.convert(tex, display=display)

        return replace

    content = _INLINE.sub(convert("inline"), content)
    return _BLOCK.sub(convert("block"), content)
