"""A real browser: Debian's Chromium without a window, driven through WebDriver."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

from testing import debian

CHROMIUM = "/usr/bin/chromium"
DRIVER = "/usr/bin/chromedriver"
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # Chromium refuses to run as root with one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    # A closed network: nothing of the browser's own is looked up.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--lang=en-US",
    "--window-size=1500,1000",
)


class Browser:
    """What a person does with a page; each call waits for what it needs."""

    def __init__(self, driver: WebDriver, pictures: Path) -> None:
        self.driver = driver
        self.pictures = pictures

    def open(self, url: str) -> None:
        """Type an address."""
        self.driver.get(url)

    def find(self, xpath: str, limit_s: float = 90.0) -> WebElement:
        """The first visible element; its absence is an error that names a picture of the page."""
        deadline = time.monotonic() + limit_s
        while True:
            try:
                for element in self.driver.find_elements(By.XPATH, xpath):
                    if element.is_displayed():
                        return element
            except WebDriverException:
                pass  # the page was drawn anew in between
            if time.monotonic() > deadline:
                raise AssertionError(f"{xpath} is not on {self.driver.current_url}: {self.show()}")
            time.sleep(0.2)

    def click(self, xpath: str) -> None:
        """Click it, again if the page moves it away at that moment."""
        for last in (False, False, True):
            element = self.find(xpath)
            try:
                element.click()
                return
            except WebDriverException:
                if last:
                    raise
                time.sleep(0.5)

    def click_button(self, name: str) -> None:
        """Click a button or link by its text or label."""
        self.click(
            f"//*[self::button or self::a][normalize-space()='{name}' or @aria-label='{name}']"
        )

    def sees(self, text: str) -> None:
        """Wait until a text is to be seen."""
        self.find(f"//body//*[contains(normalize-space(text()), '{text}')]")

    def show(self) -> Path:
        """A picture of the page."""
        path = self.pictures / f"page-{time.monotonic_ns()}.png"
        self.driver.save_screenshot(str(path))
        return path

    @contextmanager
    def inside(self, xpath: str) -> Iterator[None]:
        """Look into a frame."""
        self.driver.switch_to.frame(self.find(xpath))
        try:
            yield
        finally:
            self.driver.switch_to.default_content()


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A browser with an empty profile, and pictures of failures, in `folder`.

    Raises:
        PackagesUnavailable: there is no Chromium, and none can be installed.
    """
    debian.ensure("chromium", "chromium-driver", tools=(CHROMIUM, DRIVER))
    options = Options()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield Browser(driver, folder)
    finally:
        driver.quit()
