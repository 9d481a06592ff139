"""Print the built book into one PDF with an installed Chromium, in the order of `_toc.yml`. `make pdf` runs this.

Folded answers are printed unfolded, players are left out (paper makes no sound), and links within the book become
plain text; links to elsewhere stay.

    python book/pdf.py [--html FOLDER] [--out FILE]
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from pathlib import Path

import yaml
from check import ARGUMENTS, ROOT, environment, find_browser, serve

# Runs in the page before it is printed.
PREPARE = """async () => {
    if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
    document.querySelectorAll('details').forEach((one) => { one.open = true; });
    document.querySelectorAll('.toggle-hidden').forEach((one) => one.classList.remove('toggle-hidden'));
    const off = 'audio, iframe, .toggle-button, .headerlink, .copybtn';
    document.querySelectorAll(off).forEach((one) => one.remove());
    document.querySelectorAll('article a[href]').forEach((one) => {
        if (new URL(one.href).origin === location.origin) one.removeAttribute('href');
    });
    const images = [...document.images];
    images.forEach((image) => { image.loading = 'eager'; });
    await Promise.all(images.map((image) => image.decode().catch(() => null)));
    return document.querySelector('h1')?.textContent.replace('#', '').trim() || document.title;
}"""
MARGIN = {"top": "16mm", "bottom": "18mm", "left": "14mm", "right": "14mm"}
FOOTER = (
    '<div style="font-size: 8px; width: 100%; text-align: center">'
    '<span class="title"></span> · <span class="pageNumber"></span></div>'
)


def chapters(toc: dict) -> list[tuple[str, list[str]]]:
    """Parts of the book with their pages, the first page before all parts.

    >>> chapters({"root": "intro", "parts": [{"caption": "A", "chapters": [{"file": "x", "sections": []}]}]})
    [('', ['intro']), ('A', ['x'])]
    """
    parts = [("", [toc["root"]])]
    for part in toc.get("parts", []):
        files = []
        for chapter in part["chapters"]:
            files += [chapter["file"], *(section["file"] for section in chapter.get("sections", []))]
        parts.append((part["caption"], files))
    return parts


def print_book(html: Path, toc: dict, out: Path, browser_path: str) -> int:
    """Print all pages into `out`; returns the number of sheets.

    Raises
    ------
    FileNotFoundError
        If a page of the table of contents has not been built.
    """
    from playwright.sync_api import sync_playwright
    from pypdf import PdfReader, PdfWriter

    missing = [name for _, names in chapters(toc) for name in names if not (html / f"{name}.html").is_file()]
    if missing:
        raise FileNotFoundError(f"{html} has no page for {', '.join(missing)}: run `make book` first")
    book = PdfWriter()
    with serve(html) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=ARGUMENTS, env=environment())
        tab = browser.new_page(color_scheme="light", viewport={"width": 900, "height": 1200})
        tab.route("**/*", lambda route, request: route.continue_() if address in request.url else route.abort())
        for caption, names in chapters(toc):
            part = None
            for name in names:
                tab.goto(f"{address}/{name}.html", wait_until="networkidle")
                title = tab.evaluate(PREPARE)
                sheets = tab.pdf(
                    format="A4",
                    scale=0.8,  # of what is comfortable on a screen
                    margin=MARGIN,
                    print_background=True,
                    tagged=True,
                    display_header_footer=True,
                    header_template="<span></span>",
                    footer_template=FOOTER,
                )
                first = len(book.pages)
                book.append(PdfReader(io.BytesIO(sheets)), import_outline=False)
                if caption and part is None:
                    part = book.add_outline_item(title=caption, page_number=first)
                book.add_outline_item(title=title, page_number=first, parent=part)
        browser.close()
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f"{out.name}.{os.getpid()}.part")
    with unfinished.open("wb") as file:
        book.write(file)
    unfinished.replace(out)
    return len(book.pages)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--html", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / "book.pdf")
    options = parser.parse_args()
    browser_path = find_browser()
    if not browser_path:
        print(
            "No Chromium found: install chromium or Google Chrome, or set CHROMIUM to its path.", file=sys.stderr
        )
        return 2
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    try:
        sheets = print_book(options.html, toc, options.out, browser_path)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.out}: {sheets} pages, {options.out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
