"""A pipeline's folder: what is read, named and refused."""

from dataclasses import replace

import pytest

from nightshift.errors import ConfigurationError
from nightshift.pipeline import Pipeline, Pipelines, names
from nightshift.settings import Settings


@pytest.fixture
def settings(tmp_path):
    for name in ("ads", "shop", "books"):
        (tmp_path / "pipelines" / name).mkdir(parents=True)
        (tmp_path / "pipelines" / name / "pipeline.yaml").write_text("version: 1\n")
    return Settings(
        home=tmp_path / "home", pipelines=tmp_path / "pipelines", pipeline="shop",
        installation="prod01",
    )  # fmt: skip


def test_names_give_the_default_first_and_skip_what_is_none(settings):
    for other in ("Bad-Name", "empty"):
        (settings.pipelines / other).mkdir()
    (settings.pipelines / "Bad-Name" / "pipeline.yaml").write_text("version: 1\n")
    assert names(settings) == ["shop", "ads", "books"]
    assert names(replace(settings, pipelines=settings.home)) == []


def test_names_in_shared_systems_hold_pipeline_and_installation(settings):
    ads, shop = Pipeline.load(settings, "ads"), Pipeline.load(settings)
    assert (ads.owner, shop.owner) == ("ads_prod01", "shop_prod01")
    assert (ads.database, ads.model) == ("ads_prod01", "ads_prod01")
    assert ads.data == settings.home / "data" / "ads"
    assert ads.runs == settings.home / "runs" / "ads"
    assert ads.releases == settings.home / "releases" / "ads"
    assert ads.with_config(database="theirs", model="m").database == "theirs"
    assert shop.is_default
    assert not ads.is_default


def test_data_of_its_own_is_relative_to_its_folder(settings):
    pipeline = Pipeline.load(settings, "ads").with_config(data="../../tables")
    assert pipeline.data == (settings.pipelines / "../tables").resolve()


def test_an_unknown_pipeline_is_refused_with_the_nearest(settings):
    with pytest.raises(ConfigurationError, match=r"no pipeline 'bocks'.*books"):
        Pipeline.load(settings, "bocks")
    for wrong in ("Ads", "../ads", "", "9ads", "a" * 31):
        with pytest.raises(ConfigurationError, match="not a pipeline's name"):
            Pipeline.load(settings, wrong)


def test_a_wrong_key_names_the_file_and_the_right_one(settings):
    path = settings.pipelines / "ads" / "pipeline.yaml"
    path.write_text("version: 1\ntrain_dais: 3\n")
    with pytest.raises(ConfigurationError, match=r"pipeline\.yaml.*train_dais.*train_days"):
        Pipeline.load(settings, "ads")
    # It leaves the others alone.
    assert [p.name for p in Pipelines(settings)] == ["shop", "books"]
    assert Pipelines(settings).names() == ["shop", "ads", "books"]


def test_a_tensor_pipeline_has_no_features(settings):
    (settings.pipelines / "ads" / "pipeline.yaml").write_text("version: 1\nfamily: tensor\n")
    pipeline = Pipeline.load(settings, "ads")
    assert not pipeline.has_features
    with pytest.raises(ConfigurationError, match="has no features"):
        _ = pipeline.features
    with pytest.raises(ConfigurationError) as raised:
        pipeline.check_files()
    assert "model.py" in str(raised.value)
    assert "gates_run" not in str(raised.value)  # those of its family


def test_files_of_features_do_not_fit_a_tensor_pipeline(settings):
    (settings.pipelines / "ads" / "pipeline.yaml").write_text(
        "version: 1\nfamily: tensor\nfeatures: {sql: ads.sql}\nrefit: true\n"
    )
    with pytest.raises(ConfigurationError) as raised:
        Pipeline.load(settings, "ads")
    told = str(raised.value).splitlines()
    assert [line.split(": ")[1] for line in told] == ["features", "refit"]
    assert all("leave it out" in line for line in told)


def test_all_wrong_gates_are_named_at_once(settings):
    (settings.pipelines / "ads" / "pipeline.yaml").write_text(
        "version: 1\nfamily: tensor\ngates_run: [quality, rehersal, consistency]\n"
    )
    with pytest.raises(ConfigurationError) as raised:
        Pipeline.load(settings, "ads").check_files()
    said = str(raised.value)
    assert "gate quality cannot judge" in said
    assert "no gate 'rehersal'; did you mean 'rehearsal'" in said
    assert "gate consistency cannot judge" in said


def test_all_missing_files_are_told_at_once(settings):
    with pytest.raises(ConfigurationError) as raised:
        Pipeline.load(settings, "ads").check_files()
    told = str(raised.value)
    for name in ("tables.yaml", "feature_spec.yaml", "features.sql", "create_tables.sql"):
        assert name in told
