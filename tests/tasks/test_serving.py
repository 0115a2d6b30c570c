"""What Triton's backend is given for a model folder."""

import pytest

from nightshift import files
from nightshift.contract.signature import FILE, ctr_signature
from nightshift.errors import ContractError
from tasks import serving


def test_a_model_of_a_family_that_is_not_here_is_refused_by_name(tmp_path):
    value = ctr_signature(3).to_json() | {"family": "forest"}
    files.write_json(tmp_path / FILE, value)
    with pytest.raises(ContractError, match="'forest'"):
        serving.load(tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ContractError):
        serving.load(tmp_path)
