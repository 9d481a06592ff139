"""Build the book: compose Etude, execute the notebooks, write the pages. `make book` runs this.

Nothing is done twice. A build leaves a stamp: the digest of everything the book is made of. The same digest
again means the book is up to date. Notebooks are kept executed in Jupyter's cache, which knows their code but
not the package they import, so the cache is emptied when the package, the lock, Python or the profile changed.

    python book/build.py [--force] [--links]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What notebooks' outputs depend on besides their own code, and what else the pages are made of.
EXECUTED_WITH = ("mclass", "requirements.txt", "experiments/results")
WRITTEN_FROM = ("notebooks", "book", "benchmarks/results", "_config.yml", "_toc.yml")


def digest(names: Iterable[str], *extra: str, root: Path = ROOT) -> str:
    """SHA-256 of files and folders (names and contents) and of some strings."""
    result = hashlib.sha256(json.dumps(extra).encode())
    for name in names:
        path = root / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            hidden = any(part.startswith((".", "__pycache__")) for part in file.relative_to(root).parts)
            if file.is_file() and not hidden:
                content = hashlib.sha256(file.read_bytes()).hexdigest()
                result.update(f"{file.relative_to(root).as_posix()} {content}\n".encode())
    return result.hexdigest()


def prepare_etude() -> None:
    """Compose and render the embedded data set with a progress bar, so that no notebook has to wait for it."""
    import mclass

    mclass.datasets.load("etude")


def prepare_fonts() -> None:
    """Let matplotlib look for fonts now: the first time it says so, and the words would land on a page."""
    import matplotlib.font_manager  # noqa: F401


def check_kernel() -> None:
    """Refuse to run notebooks with any Python but this one.

    A kernel called python3 may also be installed for the user or the system; ours must win.
    """
    from jupyter_client.manager import KernelManager

    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    found = KernelManager(kernel_name="python3").format_kernel_cmd()[0]
    if Path(found) != Path(sys.executable):
        sys.exit(
            f"The kernel 'python3' would run {found}, not {sys.executable}.\n"
            "Another kernel of that name hides ours: `jupyter kernelspec list` says where (is JUPYTER_PATH set?)."
        )


def run_jupyter_book(root: Path, builder: str = "html") -> int:
    """Build the pages, or with the builder "linkcheck" follow their links; returns the exit status.

    -W: warnings are errors (without it a failing cell exits 0); -n: so are broken references; --keep-going:
    all of them are shown; --all: pages that did not change are checked too.
    """
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "TQDM_DISABLE": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    environment.pop("MPLBACKEND", None)  # figures go into the notebook, whatever the shell prefers
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command += ["build", str(root), "--builder", builder, "-W", "-n", "--keep-going", "--all"]
    return subprocess.run(command, cwd=root, env=environment, stdin=subprocess.DEVNULL).returncode


def cache_records(folder: Path) -> list:
    """What Jupyter's cache holds, oldest first."""
    from jupyter_cache import get_cache

    return sorted(get_cache(folder).list_cache_records(), key=lambda record: record.pk) if folder.exists() else []


def report_times(records: list, known: set[int], root: Path) -> None:
    """Print how long each notebook took, and whether it ran in this build."""
    newest = {Path(record.uri): record for record in records}
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        if path in newest:
            seconds = newest[path].data.get("execution_seconds", float("nan"))
            ran = "from the cache" if newest[path].pk in known else "executed now"
            print(f"  {path.name:<34}{seconds:7.1f} s  {ran}")


def build(root: Path = ROOT, force: bool = False) -> None:
    """Bring the book up to date, or exit with what is wrong."""
    output = root / "_build"
    page, stamp, cache = output / "html" / "index.html", output / "stamp.json", output / ".jupyter_cache"
    executed = digest(EXECUTED_WITH, sys.version, os.environ.get("MCLASS_PROFILE", ""), root=root)
    state = {"executed": executed, "written": digest(WRITTEN_FROM, root=root)}
    known = json.loads(stamp.read_text()) if stamp.exists() else {}
    if known == state and page.exists() and not force:
        print(f"The book is up to date: {page}")
        return

    stamp.unlink(missing_ok=True)  # from here on a failure leaves no stamp
    executed_stamp = output / "executed.txt"  # kept when a build fails: the cache stays good for the next one
    if force or not executed_stamp.exists() or executed_stamp.read_text() != executed:
        shutil.rmtree(cache, ignore_errors=True)
    shutil.rmtree(output / "html", ignore_errors=True)  # no page of a chapter that is gone
    output.mkdir(exist_ok=True)
    executed_stamp.write_text(executed)

    check_kernel()
    prepare_etude()
    prepare_fonts()
    start, known_records = time.time(), {record.pk for record in cache_records(cache)}
    if run_jupyter_book(root) != 0:
        sys.exit(
            "\nThe book was NOT built: see the first WARNING or ERROR above (a failing cell shows its traceback)."
        )
    print(f"\nBuilt in {time.time() - start:.0f} s. Notebooks:")
    report_times(cache_records(cache), known_records, root)
    stamp.write_text(json.dumps(state))
    print(f"The book: {page}")


def follow_links(root: Path = ROOT) -> None:
    """Ask other sites whether the pages that the book links to are there, or exit with those that are not."""
    if run_jupyter_book(root, "linkcheck") != 0:
        sys.exit(f"\nLinks are broken, see {root / '_build' / 'html' / 'output.txt'}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--force", action="store_true", help="execute every notebook again")
    parser.add_argument("--links", action="store_true", help="then follow the links to other sites")
    options = parser.parse_args()
    build(force=options.force)
    if options.links:
        follow_links()
