"""Names of the part `recommend` that the source tables do not have."""

import pytest
import yaml

from nightshift.config.reading import parse
from nightshift.config.recommend import Recommend
from nightshift.features.lineage import columns_of
from nightshift.features.tables import SourceTables
from nightshift.recommend.declared import list_problems, problems


@pytest.fixture(scope="module")
def films(project):
    folder = project / "pipelines" / "movielens"
    tables = SourceTables.load(folder / "tables.yaml")
    script = (folder / "create_tables.sql").read_text()
    own = yaml.safe_load((folder / "pipeline.yaml").read_text())["recommend"]
    return own, tables, columns_of(script, tables, "create_tables.sql")


def judged(films, **changes):
    own, tables, columns = films
    options, wrong = parse(Recommend, {**own, **changes}, source="x")
    assert not wrong
    return problems(options, tables, columns, "pipeline.yaml")


def test_the_shipped_part_has_no_problem(films):
    assert judged(films) == []


@pytest.mark.parametrize(
    ("changes", "key", "word"),
    [
        ({"user": "user_idd"}, "recommend.user", "'user_id'"),
        ({"item": "nothing_like_it"}, "recommend.item", "its columns"),
        ({"interactions": {"table": "hystory"}}, "recommend.interactions.table", "'history'"),
        ({"items": {"table": "movie", "columns": []}}, "recommend.items.table", "film"),
        ({"items": {"table": "film", "columns": ["genre"]}}, "recommend.items.columns", "'genres'"),
        ({"fill": {"pairid": "{user}"}}, "recommend.fill.pairid", "its columns: "),
        ({"fill": {"rating_id": "{item.budget}"}}, "recommend.fill.rating_id", "add it there"),
        ({"fill": {"user_id": "{user}"}}, "recommend.fill.user_id", "leave it out"),
    ],
)
def test_a_name_that_is_not_there_comes_with_its_place_and_fix(films, changes, key, word):
    found = [one for one in judged(films, **changes) if one.key == key]
    assert found
    assert word in found[0].fix


def test_the_list_query_is_read(tmp_path):
    path = tmp_path / "best.sql"
    (problem,) = list_problems(path, "pipeline.yaml")
    assert (problem.key, str(path) in problem.message) == ("recommend.sql_list", True)
    path.write_text("SELECT item_id AS item, count(*) AS score FROM history GROUP BY item_id")
    assert list_problems(path, "pipeline.yaml") == []
    path.write_text("SELECT item_id AS item FROM history")
    assert "score" in list_problems(path, "pipeline.yaml")[0].message
