"""Nights of a pipeline without features: any OneFlow module through the same steps."""

import sys

import httpx
import numpy as np
import pytest
from PIL import Image

from nightshift import commands
from nightshift.contract.golden import Golden
from nightshift.contract.signature import ModelSignature
from nightshift.errors import ReleaseRejected
from nightshift.night import Night
from nightshift.pipeline import Pipeline
from nightshift.plan import make_plan
from nightshift.registry.pointer import read_live
from nightshift.release import rollback, steps
from testing.browser import chromium
from testing.debian import PackagesUnavailable
from testing.house import ROOT, House
from testing.serving import wait_until

QUICK = commands.Overrides(hyperparameters={"steps": 1, "threads": 1})


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    if not (ROOT / ".venv-tasks" / "bin" / "python").exists():
        pytest.skip("the tasks' environment is not there; ./nightshift setup makes it")
    house = House.build(tmp_path_factory.mktemp("tensor"))
    house.pipeline = Pipeline.load(house.settings, "style")
    house.up()
    yield house
    house.down()


def trained(house, ds, run_id, **options):
    """A night up to its candidate."""
    night = Night(house.pipeline, make_plan(house.pipeline, ds=ds, run_id=run_id))
    steps.begin(night)
    own = commands.Overrides(hyperparameters={**QUICK.hyperparameters, **options})
    house.task(night.plan, "train", commands.module_arguments(night, own), family="tensor")
    return night, steps.make_candidate(night)["release_id"]


def released(house, ds, run_id, **options):
    night, release = trained(house, ds, run_id, **options)
    steps.gate(night, "rehearsal", release)
    steps.accept(night, release)
    report = steps.switch_over(night, release)
    steps.retire_old(night)
    steps.finish(night, release=release)
    return release, report


def test_two_nights_a_rejected_one_and_the_way_back(house, tmp_path):
    first, report = released(house, "2026-11-20", "one")
    assert report["switched"], report
    second, report = released(house, "2026-11-21", "two", seed=9)
    assert (report["switched"], report["previous"]) == (True, first)

    manifest = house.pipeline.store.folder(second).manifest()
    assert manifest.features is None
    assert manifest.signature["inputs"][0] == {
        "name": "INPUT_0", "dtype": "FP32", "dims": [3, 256, 256],
        "minimum": 0.0, "maximum": 255.0,
    }  # fmt: skip

    # The example client, on a picture of its own.
    picture, out = tmp_path / "in.png", tmp_path / "out.png"
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(picture)
    sys.path.insert(0, str(ROOT / "examples"))
    import stylise

    given = stylise.read(picture)
    answered = stylise.stylise(house.settings.predict_url, given)
    stylise.write(out, answered)
    with Image.open(out) as made:
        assert made.size == (256, 256)
    assert answered.shape == (3, 256, 256)
    assert np.abs(answered - given).max() > 1

    # A model whose parameters are not those of its golden example does not become live.
    night, third = trained(house, "2026-11-22", "three")
    folder = house.pipeline.store.folder(third)
    signature = ModelSignature.load(folder.model)
    golden = Golden.load(folder.model, signature)
    Golden(golden.inputs, {"OUTPUT_0": golden.outputs["OUTPUT_0"] * 0.5}).save(folder.model)
    with pytest.raises(ReleaseRejected, match="golden"):
        steps.gate(night, "rehearsal", third)
    steps.finish(night, release=third)
    assert read_live(house.pipeline.releases).release_id == second

    back = rollback.roll_back(None, house.pipeline, run_id="back")
    assert back["live"] == first
    health = f"{house.settings.predict_url}/v1/pipelines/style/health"
    # Its probe gives a model two seconds, which a picture may need on a busy machine.
    wait_until(lambda: httpx.get(health, timeout=60).status_code == 200, "the old release answers")


def test_a_person_sees_a_picture_in_another_style(house, tmp_path):
    """The page in a real browser, after the nights above."""
    url = f"{house.settings.predict_url}/v1/pipelines/style/page"
    page = httpx.get(url, timeout=30)
    assert page.status_code == 200, page.text
    assert "http" not in page.text.replace("XMLHttp", "").replace("HTTP ${", "")
    picture = tmp_path / "picture.png"
    random = np.random.default_rng(3)
    Image.fromarray(random.integers(0, 256, (90, 160, 3), np.uint8)).save(picture)
    try:
        with chromium(tmp_path) as browser:
            browser.open(url)
            browser.sees("Choose a picture")
            browser.find("//input[@type='file']").send_keys(str(picture))
            browser.click("//button[normalize-space()='Run'][not(@disabled)]")
            browser.find("//figure[@class='result']/canvas[@width='256'][@height='256']")
            live = read_live(house.pipeline.releases)
            browser.sees(f"release {live.release_id}")
            shades = browser.driver.execute_script(
                "const c = document.querySelector('figure.result canvas');"
                "return new Set(c.getContext('2d').getImageData(0, 0, 256, 256).data).size"
            )
            assert shades > 20
            assert not browser.driver.find_element("id", "error").text
    except PackagesUnavailable as error:
        pytest.skip(str(error))
