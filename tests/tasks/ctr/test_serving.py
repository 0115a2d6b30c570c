"""A click-through-rate model as Triton's backend calls it."""

import numpy as np

from tests.tasks.conftest import golden_of


def test_a_model_folder_answers_its_golden_examples_by_tensor_name(workshop, model):
    found = workshop.evaluate(
        """
import json
from pathlib import Path
import numpy as np
from nightshift.contract.golden import Golden
from nightshift.contract.signature import ModelSignature
from tasks import serving
folder = Path(folder)
run = serving.load(folder)
golden = Golden.load(folder, ModelSignature.load(folder))
answer = {name: [list(a.shape), str(a.dtype), a.tolist()] for name, a in run(golden.inputs).items()}
""",
        folder=str(model),
    )
    ids, expected = golden_of(model)
    assert list(found) == ["OUTPUT_0"]
    shape, dtype, scores = found["OUTPUT_0"]
    assert (shape, dtype) == ([len(ids), 1], "float32")
    np.testing.assert_allclose(np.ravel(scores), expected, atol=1e-6)
