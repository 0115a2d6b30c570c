"""What all DAGs share: the trigger form and templates."""

import jinja2
import pytest
from airflow.sdk.exceptions import ParamValidationError
from nightshift_provider.dags.common import OVERRIDES, of_candidate, of_plan, params

from nightshift.pipeline import Pipeline
from nightshift.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path)


def test_the_form_as_it_opens_is_a_valid_run(settings):
    for name in ("jd", "style"):
        for param in params(Pipeline.load(settings, name)).values():
            param.resolve()


def test_a_pipeline_without_features_is_asked_for_nothing_of_theirs(settings):
    features, module = (set(params(Pipeline.load(settings, name))) for name in ("jd", "style"))
    assert module < features
    assert set(OVERRIDES) <= features - module
    assert {"ds", "promote", "approve", "hyperparameters"} <= module


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("promote", "always"),
        ("ds", "yesterday"),
        ("train_days", 0),
        ("epochs", 0),
        ("approve", "no"),
    ],
)
def test_a_wrong_value_is_refused_by_the_form(settings, name, value):
    param = params(Pipeline.load(settings, "jd"))[name]
    with pytest.raises(ParamValidationError):
        param.resolve(value)


def test_templates_give_fields_of_the_plan_and_of_the_candidate():
    class Instance:
        def xcom_pull(self, task_ids):
            return {"plan": {"run_dir": "/runs/1"}, "candidate": {"release_id": "r1"}}[task_ids]

    text = f"{of_plan('run_dir')} {of_candidate('release_id')}"
    assert jinja2.Template(text).render(ti=Instance()) == "/runs/1 r1"
