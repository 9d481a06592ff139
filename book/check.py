"""Look at every page of the built book in headless Chromium, with the network cut. `make check` runs this.

A page passes if it loads without a console error and without a request to anywhere else, its formulas are
typeset, its images are there and described, its text does not jump while they arrive, its audio players have a
duration and are reached with the Tab key, its links lead somewhere, its cells wrote nothing to stderr, it also
shows in dark mode, it fits the window whether the reader's fonts are wide or narrow, and axe-core finds nothing in
its text and figures that keeps out readers with a screen reader, a keyboard or weak eyes. Prints a table; exits 1
if a page fails.

    python book/check.py [FOLDER]
"""

from __future__ import annotations

import argparse
import atexit
import base64
import functools
import http.server
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
MAX_SHIFT = 0.1  # cumulative layout shift, the limit that browsers' makers call good
MAX_BYTES = 2_000_000  # of one page's HTML, players and figures inside included
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
MAC_BROWSER = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# DejaVu Sans is one of the widest families that browsers fall back on, and matplotlib carries it, so it is there
# wherever the book is built. In percent of its own width: three quarters are about as wide as Arial Narrow.
FAMILIES = {"wide": 100, "narrow": 75}

# Runs in the page: waits until fonts, formulas, images and players are there, and reports them.
LOOK = """async () => {
    const limit = (promise) => Promise.race([promise, new Promise((done) => setTimeout(done, 10000))]);
    if (window.MathJax && MathJax.startup) await limit(MathJax.startup.promise);
    const images = [...document.images];
    images.forEach((image) => { image.loading = 'eager'; });
    await Promise.all(images.map((image) => limit(image.decode().catch(() => null))));
    const players = [...document.querySelectorAll('audio')];
    await Promise.all(players.map((player) => limit(new Promise((done) => {
        if (player.readyState > 0 || player.error) return done();
        player.addEventListener('loadedmetadata', done);
        player.addEventListener('error', done);
        player.preload = 'metadata';
        player.load();
    }))));
    const shifts = await new Promise((done) => {
        new PerformanceObserver((list) => done(list.getEntries())).observe({type: 'layout-shift', buffered: true});
        setTimeout(() => done([]), 300);
    });
    const text = (element) => element.textContent.trim().slice(0, 60);
    const rgb = getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).map(Number);
    const math = [...document.querySelectorAll('.math')];
    return {
        math: math.length,
        plainMath: math.filter((one) => !one.querySelector('mjx-container')).map(text),
        wrongMath: [...document.querySelectorAll('mjx-merror')].map(text),
        images: images.map((image) => ({
            source: (image.getAttribute('src') || '').slice(0, 60), width: image.naturalWidth, alt: image.alt})),
        players: players.map((player) => ({
            label: player.getAttribute('aria-label') || '', seconds: player.duration,
            reached: player.controls && player.tabIndex >= 0,
            error: player.error ? player.error.message : ''})),
        stderr: [...document.querySelectorAll('.output.stderr')].map(text),
        shift: shifts.reduce((sum, one) => sum + (one.hadRecentInput ? 0 : one.value), 0),
        brightness: rgb.length > 3 && rgb[3] === 0 ? 255 : (rgb[0] + rgb[1] + rgb[2]) / 3,
    };
}"""

# How many pixels a page is wider than its window, once the fonts are there.
OVERFLOW = """async () => {
    await document.fonts.ready;
    return document.documentElement.scrollWidth - document.documentElement.clientWidth;
}"""

# Runs axe-core on what we wrote; the frame around it is the theme's, and docutils writes the bibliography.
AXE = """async () => {
    if (!document.querySelector('article')) return [];
    const where = {include: [['article']], exclude: [['.citation-list']]};
    const {violations} = await axe.run(where, {resultTypes: ['violations'], preload: false});
    const place = (node) => node.target.join(' ').slice(0, 90);
    return violations.flatMap((one) => one.nodes.map((node) => one.id + ' at ' + place(node)));
}"""


@dataclass
class Page:
    """What was seen on one page."""

    name: str
    size: int
    formulas: int = 0
    images: int = 0
    players: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def find_browser() -> str | None:
    """Path of an installed Chromium or Chrome; the variable ``CHROMIUM`` wins."""
    named = [os.environ.get("CHROMIUM"), *map(shutil.which, BROWSERS), MAC_BROWSER]
    return next((path for path in named if path and Path(path).exists()), None)


@functools.cache
def environment() -> dict[str, str]:
    """Variables to start the browser with: where no fonts are installed, at which it dies, it has matplotlib's."""
    import matplotlib

    installed = os.environ.get("FONTCONFIG_FILE", "/etc/fonts/fonts.conf")
    folder = Path(tempfile.mkdtemp(prefix="fonts-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for font in (Path(matplotlib.get_data_path()) / "fonts" / "ttf").glob("DejaVuS*.ttf"):
        shutil.copy(font, folder)
    (folder / "fonts.conf").write_text(
        f'<fontconfig><include ignore_missing="yes">{installed}</include>'
        f"<dir>{folder}</dir><cachedir>{folder}</cachedir></fontconfig>",
        encoding="utf-8",
    )
    return os.environ | {"FONTCONFIG_FILE": str(folder / "fonts.conf")}


@functools.cache
def force_family(name: str) -> str:
    """CSS that sets all text but formulas and icons in one of `FAMILIES`, whatever fonts are installed."""
    import matplotlib

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    faces = [(name, "normal", "DejaVuSans"), (name, "bold", "DejaVuSans-Bold")]
    faces += [(f"{name}-code", "normal", "DejaVuSansMono")]
    rules = [
        f"@font-face {{font-family: forced-{family}; font-weight: {weight}; size-adjust: {FAMILIES[name]}%; "
        f"src: url(data:font/ttf;base64,{base64.b64encode((fonts / f'{file}.ttf').read_bytes()).decode()})}}"
        for family, weight, file in faces
    ]
    rules.append(f"*:not(i, mjx-container, mjx-container *) {{font-family: forced-{name} !important}}")
    rules.append(f":is(pre, code, kbd, samp, pre *, code *) {{font-family: forced-{name}-code !important}}")
    return "\n".join(rules)


def list_pages(folder: Path) -> list[Path]:
    """All pages that a reader can come to, `_static` (the theme's own) left out."""
    return sorted(path for path in folder.rglob("*.html") if "_static" not in path.relative_to(folder).parts)


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine alone; gives the address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def check_links(folder: Path, pages: list[Page]) -> None:
    """Every link inside the book must lead to a file, and to an anchor on it."""

    @functools.cache
    def anchors(path: Path) -> set[str]:
        soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        return {element.get(key) for element in soup.find_all(True) for key in ("id", "name") if element.get(key)}

    for page in pages:
        path = folder / page.name
        soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for element in soup.find_all(["a", "link"], href=True):
            link = urlsplit(element["href"])
            if link.scheme or link.netloc:
                continue
            target = (path.parent / unquote(link.path)).resolve() if link.path else path.resolve()
            if target.is_dir():
                target /= "index.html"
            if not target.is_file() or not target.is_relative_to(folder.resolve()):
                page.add(f"broken link: {element['href']}")
            elif link.fragment and target.suffix == ".html" and unquote(link.fragment) not in anchors(target):
                page.add(f"broken link: no anchor {element['href']}")


def judge(page: Page, seen: dict, dark: bool) -> None:
    """Turn what the page reported into problems."""
    page.formulas, page.images, page.players = seen["math"], len(seen["images"]), len(seen["players"])
    for formula in seen["plainMath"]:
        page.add(f"formula not typeset: {formula}")
    for formula in seen["wrongMath"]:
        page.add(f"formula with an error: {formula}")
    for image in seen["images"]:
        if not image["width"]:
            page.add(f"image not loaded: {image['source']}")
        if not image["alt"].strip() or image["alt"].endswith((".png", ".svg", ".jpg")):
            page.add(f"image without alternative text: {image['source']}")
    for player in seen["players"]:
        seconds = player["seconds"]  # None stands for NaN
        if not seconds or not 0 < seconds < 36_000:
            page.add(f"player without a duration: {player['label'] or '(no label)'} {player['error']}".rstrip())
        if not player["label"]:
            page.add("player without a label")
        if not player["reached"]:
            page.add(f"player that the keyboard does not reach: {player['label']}")
    for line in seen["stderr"]:
        if line.startswith("[src/libmpg123/"):  # libsndfile's decoder prints what it finds in a damaged mp3 itself
            continue
        page.add(f"a cell wrote to stderr: {line}")
    if seen["shift"] > MAX_SHIFT:
        page.add(f"jumps while it loads: layout shift {seen['shift']:.2f}, at most {MAX_SHIFT}")
    if dark and seen["brightness"] > 100:
        page.add("bright background in dark mode")


def check_pages(folder: Path, pages: list[Page], browser_path: str) -> None:
    """Open each page wide and light, and narrow and dark; add what is wrong to its problems."""
    from playwright.sync_api import Error, sync_playwright

    axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    looks = [("light", 1280, 900), ("dark", 390, 844)]
    with serve(folder) as address, sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        for scheme, width, height in looks:
            context = playwright.chromium.launch_persistent_context(
                f"{profile}/{scheme}",
                executable_path=browser_path,
                args=ARGUMENTS,
                env=environment(),
                headless=True,
                color_scheme=scheme,
                viewport={"width": width, "height": height},
                service_workers="block",
            )
            page_now: list[Page] = []

            def route(route, request, page_now=page_now):
                if request.url.startswith((address + "/", "data:", "blob:")):
                    route.continue_()
                else:
                    page_now[0].add(f"external request: {request.url[:100]}")
                    route.abort()

            def console(message, page_now=page_now):
                if message.type == "error":
                    page_now[0].add(f"console error: {message.text[:140]}")

            def response(response, page_now=page_now):
                if response.status >= 400:
                    page_now[0].add(f"missing file: {response.url.removeprefix(address)[:100]}")

            context.route("**/*", route)
            for page in pages:
                page_now[:] = [page]
                tab = context.new_page()
                tab.on("console", console)
                tab.on("pageerror", lambda error, page=page: page.add(f"script error: {str(error)[:140]}"))
                tab.on("response", response)
                try:
                    tab.goto(f"{address}/{page.name}", wait_until="load", timeout=30_000)
                    tab.wait_for_load_state("networkidle", timeout=30_000)
                    judge(page, tab.evaluate(LOOK), dark=scheme == "dark")
                    tab.evaluate(axe)
                    for violation in tab.evaluate(AXE):
                        page.add(f"accessibility: {violation}")
                    for family in (None, *FAMILIES):
                        if family:
                            tab.add_style_tag(content=force_family(family))
                        if (pixels := tab.evaluate(OVERFLOW)) > 0:
                            font = f" in a {family} font" if family else ""
                            page.add(f"{pixels} pixels wider than the window of {width}{font}")
                except Error as error:
                    page.add(f"does not load: {str(error).splitlines()[0][:140]}")
                tab.close()
            context.close()


def check_site(folder: Path, browser_path: str) -> list[Page]:
    """Check all pages below a folder."""
    pages = [Page(path.relative_to(folder).as_posix(), path.stat().st_size) for path in list_pages(folder)]
    for page in pages:
        if page.size > MAX_BYTES:
            page.add(f"{page.size / 1e6:.1f} MB of HTML; at most {MAX_BYTES / 1e6:.0f}")
    check_links(folder, pages)
    check_pages(folder, pages, browser_path)
    return pages


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--find-browser", action="store_true", help="print the browser's path, or fail, and stop")
    options = parser.parse_args()
    folder, browser_path = options.folder, find_browser()
    if options.find_browser:
        print(browser_path or "no Chromium found")
        return int(not browser_path)
    if not list_pages(folder):
        print(f"No pages in {folder}: run `make book` first.", file=sys.stderr)
        return 2
    if not browser_path:
        print(
            "No Chromium found: install chromium or Google Chrome, or set CHROMIUM to its path.", file=sys.stderr
        )
        return 2
    pages = check_site(folder, browser_path)
    print(f"{'page':<44}{'kB':>7}{'formulas':>10}{'images':>8}{'players':>9}  verdict")
    for page in pages:
        verdict = f"{len(page.problems)} problem(s)" if page.problems else "ok"
        counts = f"{page.size / 1e3:>7.0f}{page.formulas:>10}{page.images:>8}{page.players:>9}"
        print(f"{page.name:<44}{counts}  {verdict}")
        for problem in page.problems:
            print(f"    {problem}")
    failed = sum(bool(page.problems) for page in pages)
    print(f"\n{len(pages)} pages, {failed} with problems")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
