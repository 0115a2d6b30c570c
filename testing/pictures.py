"""Pictures of Airflow's pages for the documentation, from a running installation.

    ./nightshift demo --week --keep
    NIGHTSHIFT_HOME=$PWD/var-week .venv/bin/python -m testing.pictures docs/pictures

Each page is shown 1280 pixels wide by Chromium and written as a PNG of 64 colours. Ports are those
of the settings (`NIGHTSHIFT_AIRFLOW_PORT`).
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import sys
import tempfile
from pathlib import Path

from PIL import Image

from laptop.services import airflow
from nightshift.pipeline import Pipeline
from nightshift.registry.pointer import read_live
from nightshift.settings import Settings
from testing.browser import Browser, chromium

WIDTH, HIGHEST, COLOURS = 1280, 2600, 64


def main() -> int:
    """Write the pictures; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    settings = Settings.from_env()
    live = read_live(Pipeline.load(settings).releases)
    if live is None:
        sys.exit(f"{settings.home} has no live release; ./nightshift demo --week --keep makes one")
    base = f"{settings.airflow_url}/nightshift"
    pages = {
        "live": f"{base}/live/{settings.pipeline}",
        "releases": f"{base}/releases/{settings.pipeline}",
        "release": f"{base}/releases/{settings.pipeline}/{live.release_id}",
    }
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, chromium(Path(name)) as browser:
        log_in(browser, settings)
        for page, url in pages.items():
            path = arguments.folder / f"{page}.png"
            path.write_bytes(small(shot(browser, url)))
            print(json.dumps({"page": url, "file": str(path), "bytes": path.stat().st_size}))
    return 0


def log_in(browser: Browser, settings: Settings) -> None:
    """Log in as the user that `./nightshift up` made."""
    browser.open(settings.airflow_url)
    browser.find("//input[@name='username']").send_keys(settings.airflow_user)
    browser.find("//input[@name='password']").send_keys(airflow.password(settings))
    browser.click("//button[@type='submit']")
    browser.sees("Welcome")


def shot(browser: Browser, url: str) -> bytes:
    """A page as a whole, as PNG.

    Raises:
        AssertionError: the page has no heading.
    """
    # The height of the page before would count as this one's.
    browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.open(url)
    browser.find("//h1")
    metrics = browser.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})
    height = min(int(metrics["cssContentSize"]["height"]), HIGHEST)
    size = {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    taken = browser.driver.execute_cdp_cmd(
        "Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True}
    )
    return base64.b64decode(taken["data"])


def small(png: bytes) -> bytes:
    """A picture of few colours."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS).save(out, "PNG", optimize=True)
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main())
