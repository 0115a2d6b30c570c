"""Several pipelines in one server: tensors beside rows, and separate failure."""

import shutil

import pytest
from predict_server.pipelines import of_installation

from nightshift.settings import Settings
from testing.serving import ROOT
from tests.server.predict_server.conftest import RELEASE, row


async def test_each_pipeline_answers_by_its_own_path_and_the_first_by_the_old_ones(house, shop):
    rows = await shop.ask("/v1/pipelines/ads/predict", row(3))
    again = await shop.ask("/predict", row(3))
    assert again.pop("receipt")["request"] == rows.pop("receipt")["request"]
    assert rows == again
    (expected,) = house.expected(house.pairs[0], [row(3)])
    assert rows["predictions"][0]["score"] == pytest.approx(expected, abs=1e-6)
    listed = await shop.get("/v1/pipelines")
    assert [(p["name"], p["release"]) for p in listed["pipelines"]] == [
        ("ads", "r1"),
        ("pictures", RELEASE),
        ("new", None),
    ]
    schema = await shop.get("/v1/pipelines/pictures/schema")
    assert schema["inputs"][0] == {"name": "IMAGE", "dtype": "FP32", "dims": [3, 4, 5]}
    refused = await shop.ask("/v1/pipelines/pictures/rank", {}, 404)
    assert refused["error"] == "no_operation"
    assert (await shop.ask("/v1/pipelines/new/predict", row(1), 503))["error"] == "no_release"


async def test_the_page_of_a_pipeline_without_a_release_says_what_to_do(shop):
    page = await shop.http.get("/v1/pipelines/new/page")
    assert page.status_code == 503
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "./nightshift run --pipeline new" in page.text
    assert "no release is live yet" in page.text


def test_the_default_pipeline_is_first_and_a_broken_folder_keeps_its_family(tmp_path):
    folders = tmp_path / "pipelines"
    shutil.copytree(ROOT / "pipelines" / "style", folders / "style")
    shutil.copytree(ROOT / "pipelines" / "movielens", folders / "movielens")
    settings = Settings.from_env(
        {
            "NIGHTSHIFT_HOME": str(tmp_path / "home"),
            "NIGHTSHIFT_PROJECT": str(ROOT),
            "NIGHTSHIFT_PIPELINES": str(folders),
            "NIGHTSHIFT_PIPELINE": "style",
        }
    )
    listed = of_installation(settings)
    whole = listed()
    assert [(ref.name, ref.family) for ref in whole] == [("style", "tensor"), ("movielens", "ctr")]
    assert whole[0].releases == tmp_path / "home" / "releases" / "style"

    (folders / "style" / "pipeline.yaml").write_text("family: [")
    assert listed() == whole
    # A server that never saw it whole takes it for one of the default family.
    assert [ref.family for ref in of_installation(settings)()] == ["ctr", "ctr"]

    shutil.rmtree(folders / "movielens")
    assert [ref.name for ref in listed()] == ["style"]
