"""A browser for tests of pages and figures: the page check's own."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PATH = Path(__file__).resolve().parents[1] / "book" / "check.py"
_SPEC = importlib.util.spec_from_file_location("book_check", _PATH)
check = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = check  # its dataclass looks itself up
_SPEC.loader.exec_module(check)


@contextmanager
def chromium() -> Iterator:
    """An installed Chromium or Chrome, driven by playwright; skips the test where there is none."""
    path = check.find_browser()
    if not path:
        pytest.skip("no Chromium or Chrome installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=check.ARGUMENTS, env=check.environment(), headless=True
        )
        yield browser
        browser.close()
