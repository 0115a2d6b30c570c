"""The schemas of the pydantic models refuse what the models refuse."""

import jsonschema
import pytest
import yaml

from nightshift.config.schemas import schemas
from nightshift.settings import PROJECT


@pytest.mark.parametrize("name", ["pipeline", "gates"])
def test_a_shipped_file_fits_and_an_unknown_key_does_not(name):
    content = yaml.safe_load((PROJECT / "pipelines" / "jd" / f"{name}.yaml").read_text())
    jsonschema.validate(content, schemas()[name])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**content, "nightly": True}, schemas()[name])
