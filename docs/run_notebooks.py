"""Notebooks of the site, run from top to bottom: `python docs/run_notebooks.py FOLDER`.

Their sources in `docs/notebooks/` are Python in the percent format of Jupytext. Of each
of them, or of those that are named after the folder, there is then NAME.ipynb with its
outputs, to download, and NAME.md, the page of the site, with its pictures. What raises
in a notebook is raised here.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

SOURCES = Path(__file__).parent / "notebooks"
# Links of pages lead nowhere in a notebook that has been downloaded.
_LINK = re.compile(r"\[([^]]+)\]\([^):]+\.md[^)]*\)")
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def names() -> list[str]:
    return sorted(path.stem for path in SOURCES.glob("*.py"))


def run(name: str) -> Any:
    """Notebook with its outputs."""
    notebook = jupytext.read(SOURCES / f"{name}.py")
    notebook.metadata = nbformat.from_dict({"kernelspec": _KERNEL})
    client = NotebookClient(
        notebook,
        timeout=600,
        record_timing=False,
        coalesce_streams=True,
        config=Config({"KernelManager": {"transport": "ipc"}}),  # needs no ports
    )
    inline = "module://matplotlib_inline.backend_inline"
    client.execute(env=os.environ | {"MPLBACKEND": inline})
    return notebook


def show(output: Any, picture: Path) -> str:
    """Markdown of an output. A picture goes into a file of that name."""
    if output.output_type == "stream":
        # The rest are warnings about the machine, for instance that it has no GPU.
        text = output.text if output.name == "stdout" else ""
    elif png := output.data.get("image/png"):
        picture.write_bytes(base64.b64decode(png))
        return f"![Picture that the code above draws]({picture.name})\n\n"
    else:
        text = output.data.get("text/plain", "")
    if not text.strip():
        return ""
    # In the style of what other pages print.
    fence = f"```text\n{text.rstrip()}\n```"
    return f'<div class="result" markdown>\n\n{fence}\n\n</div>\n\n'


def page(notebook: Any, folder: Path, name: str) -> Iterator[str]:
    """Markdown of the page, in pieces: the title, how to get the notebook, the rest."""
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            title, _, rest = cell.source.partition("\n")
            if i == 0:
                yield f"{title}\n\n[Download this notebook]({name}.ipynb){{download}}\n"
                title = ""
            yield f"{title}\n{rest}\n\n"
            continue
        yield f"```python\n{cell.source}\n```\n\n"
        for j, output in enumerate(cell.outputs):
            yield show(output, folder / f"{name}_{i}_{j}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=names())
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.names:
        notebook = run(name)
        text = "".join(page(notebook, args.folder, name))
        (args.folder / f"{name}.md").write_text(text)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = _LINK.sub(r"\1", cell.source)
        nbformat.write(notebook, args.folder / f"{name}.ipynb")


if __name__ == "__main__":
    main()
