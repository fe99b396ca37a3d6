"""Chromium for tests, with a page per user, and the pictures that it takes.

The pictures go to the folder that BEDROCK_LLM_SCREENSHOTS names, else to pytest's temporary folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Browser", "browser"]

SCREENSHOTS = "BEDROCK_LLM_SCREENSHOTS"
_FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SIZE = {"width": 1280, "height": 800}
_PATIENCE_MS = 60_000


class Browser:
    """A running Chromium.

    Args:
        chromium: Playwright's browser.
        pictures: where screenshots go.
    """

    def __init__(self, chromium: Any, pictures: Path) -> None:
        self._chromium = chromium
        self.pictures = pictures

    @contextlib.contextmanager
    def person(self, url: str, name: str | None = None, password: str = "", *, dark: bool = False) -> Iterator[Any]:
        """A page in a profile of its own, logged in to Airflow where a name is given. Dialogs are an error."""
        scheme = "dark" if dark else "light"
        context = self._chromium.new_context(viewport=_SIZE, color_scheme=scheme, base_url=url, locale="en-US")
        context.set_default_timeout(_PATIENCE_MS)
        page = context.new_page()
        dialogs: list[str] = []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        try:
            if name is not None:
                page.goto("/auth/login")
                page.fill("input[name=username]", name)
                page.fill("input[name=password]", password)
                page.click("button[type=submit]")
                page.wait_for_url(lambda now: "/auth/login" not in now)
            yield page
            assert dialogs == []
        finally:
            context.close()

    def shoot(self, page: Any, name: str) -> None:
        """Keep a picture of the page as it is."""
        page.screenshot(path=self.pictures / f"{name}.png", animations="disabled")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A Chromium of the system; without one the test is skipped, and says what to install."""
    executable = next(filter(None, map(shutil.which, _NAMES)), None)
    if executable is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    pictures = Path(os.environ.get(SCREENSHOTS) or tmp_path / "screenshots")
    pictures.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        sandboxed = os.geteuid() != 0
        chromium = playwright.chromium.launch(executable_path=executable, args=_FLAGS, chromium_sandbox=sandboxed)
        yield Browser(chromium, pictures)
        chromium.close()
