"""Airflow's UI in a real browser: a night by hand, a job's log, the releases, a connection."""

from __future__ import annotations

import contextlib
import json
import time

import pytest

from cli import night
from cli.airflow_api import AirflowApi
from laptop.services import airflow
from nightshift.pipeline import Pipeline
from nightshift.registry.pointer import read_live
from testing.browser import Browser, chromium
from testing.debian import PackagesUnavailable
from testing.nights import DS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

DAY_BEFORE = "2026-03-09"
RETRAIN = night.retrain("jd")
DIALOG = "//*[@role='dialog']"


@pytest.fixture(scope="module")
def browser(demo, laptop_house, tmp_path_factory):
    with contextlib.ExitStack() as stack:
        try:
            page = stack.enter_context(chromium(tmp_path_factory.mktemp("browser")))
        except PackagesUnavailable as error:
            pytest.skip(str(error))
        log_in(page, laptop_house.settings)
        yield page


def log_in(page: Browser, settings) -> None:
    page.open(settings.airflow_url)
    page.find("//input[@name='username']").send_keys(settings.airflow_user)
    page.find("//input[@name='password']").send_keys(airflow.password(settings))
    page.click("//button[@type='submit']")
    page.sees("Welcome")


def runs_of(settings) -> dict[str, str]:
    found = AirflowApi(settings).request("GET", f"/dags/{RETRAIN}/dagRuns?limit=100")["dag_runs"]
    return {str(run["dag_run_id"]): str(run["state"]) for run in found}


def test_a_night_of_a_past_date_by_hand_is_kept_beside_the_live_release(browser, laptop_house):
    settings = laptop_house.settings
    before, runs = (
        (Pipeline.load(settings).releases / "live.json").read_bytes(),
        set(runs_of(settings)),
    )
    browser.open(f"{settings.airflow_url}/dags/{RETRAIN}")
    browser.sees("Nightshift: retrain jd")
    for part in ("features", "model", "online", "gates", "release"):
        browser.sees(part)

    browser.click_button("Trigger")
    browser.sees("Training window")
    browser.find(f"{DIALOG}//input[@type='date']").send_keys("03092026")
    browser.click(f"{DIALOG}//button[normalize-space()='Trigger']")
    deadline = time.monotonic() + 900
    while not (new := set(runs_of(settings)) - runs) or runs_of(settings)[min(new)] not in (
        "success",
        "failed",
    ):
        assert time.monotonic() < deadline, browser.show()
        time.sleep(2)

    assert runs_of(settings)[min(new)] == "success"
    assert (Pipeline.load(settings).releases / "live.json").read_bytes() == before
    releases = json.loads(laptop_house.call("releases", "--json"))
    assert [(r["ds"], r["state"]) for r in releases] == [(DAY_BEFORE, "kept"), (DS, "live")]


def test_a_tasks_job_log_is_one_click_away(browser, laptop_house):
    settings = laptop_house.settings
    run = min(runs_of(settings))
    browser.open(f"{settings.airflow_url}/dags/{RETRAIN}/runs/{run}/tasks/extract_features/details")
    link = browser.find("//a[normalize-space()='OpenMLDB job log']").get_attribute("href")
    browser.open(link)
    browser.sees("FINISHED")
    browser.sees("ExportOfflineData")
    browser.click("//summary[normalize-space()='Statement']")
    browser.sees("last_10_requests")


def test_the_releases_are_in_the_menu(browser, laptop_house):
    settings = laptop_house.settings
    live = read_live(Pipeline.load(settings).releases)
    browser.open(settings.airflow_url)
    browser.click_button("Browse")
    browser.click("//*[@role='menuitem'][contains(., 'Nightshift releases')]")
    with browser.inside("//iframe"):
        browser.sees("Serving now")
        browser.click(f"//h2/a[text()='{settings.pipeline}']")
        browser.click(f"//td/a[text()='{live.release_id}']")
        browser.sees("On the held-out days")
        browser.sees("consistency")
        browser.click("//a[contains(text(), 'training')]")
        browser.sees("AUC by epoch")


def test_an_openmldb_connection_has_its_own_form(browser, laptop_house):
    browser.open(f"{laptop_house.settings.airflow_url}/connections")
    browser.click_button("Add Connection")
    browser.find(f"{DIALOG}//input[@role='combobox']").send_keys("openmldb\n")
    browser.sees("API server host")
    browser.sees("Default database")
