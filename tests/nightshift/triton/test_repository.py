"""Versions appear whole, numbers are never reused, the configuration pins what it says."""

import multiprocessing
import re

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2

from nightshift.contract.signature import ModelSignature, Tensor, ctr_signature
from nightshift.errors import ConfigurationError, ContractError
from nightshift.files import STAGING_PREFIX
from nightshift.triton import repository

GOLDEN = '{"ids": [[1, 2, 3, 4, 5, 6, 7]], "scores": [0.5]}'


@pytest.fixture
def trained_model(tmp_path):
    folder = tmp_path / "trained"
    (folder / "model" / "module.out.bias").mkdir(parents=True)
    (folder / "model" / "module.out.bias" / "out").write_bytes(b"\0\0\0\0")
    (folder / "golden.json").write_text(GOLDEN)
    return folder


def parse(text):
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_a_version_is_the_date_and_a_number_within_it(tmp_path):
    given_out = [repository.allocate_version(tmp_path, "deepfm", "2016-04-01") for _ in range(3)]
    assert given_out == [20160401001, 20160401002, 20160401003]
    assert repository.allocate_version(tmp_path, "deepfm", "2016-03-31") == 20160331001


def test_a_number_is_not_given_out_again_after_its_version_went(tmp_path, trained_model):
    version = repository.allocate_version(tmp_path, "deepfm", "2016-04-01")
    repository.publish_version(tmp_path, "deepfm", version, trained_model)
    assert repository.remove_version(tmp_path, "deepfm", version)
    assert not repository.remove_version(tmp_path, "deepfm", version)
    assert repository.allocate_version(tmp_path, "deepfm", "2016-04-01") == version + 1


def test_a_version_that_something_else_put_there_is_not_overwritten(tmp_path):
    (tmp_path / "deepfm" / "20160401005").mkdir(parents=True)
    assert repository.allocate_version(tmp_path, "deepfm", "2016-04-01") == 20160401006


def test_the_same_owner_gets_its_number_again(tmp_path):
    first = repository.allocate_version(tmp_path, "deepfm", "2016-04-01", owner="run 1")
    assert repository.allocate_version(tmp_path, "deepfm", "2016-04-01", owner="run 2") != first
    assert repository.allocate_version(tmp_path, "deepfm", "2016-04-01", owner="run 1") == first
    # A backfill of another date by the same owner is another version.
    assert repository.allocate_version(tmp_path, "deepfm", "2016-04-02", owner="run 1") != first


def test_a_date_has_999_numbers(tmp_path):
    (tmp_path / "deepfm" / "20160401999").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="999"):
        repository.allocate_version(tmp_path, "deepfm", "2016-04-01")


def _allocate(repo, queue):
    queue.put([repository.allocate_version(repo, "deepfm", "2016-04-01") for _ in range(20)])


def test_processes_that_allocate_at_once_get_different_numbers(tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=_allocate, args=(tmp_path, queue)) for _ in range(4)]
    for worker in workers:
        worker.start()
    numbers = [number for _ in workers for number in queue.get(timeout=180)]
    for worker in workers:
        worker.join()
    assert sorted(numbers) == list(range(20160401001, 20160401081))


def test_a_published_version_is_a_whole_copy_and_is_written_once(tmp_path, trained_model):
    folder = repository.publish_version(tmp_path, "deepfm", 20160401001, trained_model)
    assert (folder / "model" / "module.out.bias" / "out").read_bytes() == b"\0\0\0\0"
    repository.publish_version(tmp_path, "deepfm", 20160401001, trained_model)
    (trained_model / "more.json").write_text("{}")
    with pytest.raises(ContractError, match="written once"):
        repository.publish_version(tmp_path, "deepfm", 20160401001, trained_model)
    assert not (folder / "more.json").exists()
    assert repository.versions(tmp_path, "deepfm") == [20160401001]
    assert not list(folder.parent.glob(f"{STAGING_PREFIX}*"))


def test_a_version_changed_after_it_was_published_is_found(tmp_path, trained_model):
    numbers = [20160401001, 20160401002, 20160401003]
    for number in numbers[:2]:
        repository.publish_version(tmp_path, "deepfm", number, trained_model)
    assert repository.damaged(tmp_path, "deepfm", numbers[:2]) == {}
    weights = tmp_path / "deepfm" / "20160401002" / "model" / "module.out.bias" / "out"
    weights.write_bytes(b"\0\0\0\1")
    found = repository.damaged(tmp_path, "deepfm", numbers)
    assert set(found) == {20160401002, 20160401003}
    assert "not as it was published" in found[20160401002]
    assert "not there" in found[20160401003]


def test_a_copy_that_fails_leaves_nothing(tmp_path, trained_model):
    (trained_model / "model" / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ContractError, match="gone is a link"):
        repository.publish_version(tmp_path, "deepfm", 20160401001, trained_model)
    assert list((tmp_path / "deepfm").iterdir()) == []


def test_a_model_without_golden_rows_is_refused(tmp_path, trained_model):
    (trained_model / "golden.json").unlink()
    with pytest.raises(ContractError, match=r"golden"):
        repository.publish_version(tmp_path, "deepfm", 20160401001, trained_model)


@pytest.mark.parametrize("name", ["", "../evil", "a/b", ".hidden", "1st", "x" * 65])
def test_a_model_name_that_is_no_folder_name_is_refused(tmp_path, name):
    with pytest.raises(ConfigurationError, match="model name"):
        repository.allocate_version(tmp_path, name, "2016-04-01")


@given(
    n_fields=st.integers(1, 500),
    versions=st.sets(st.integers(20000101001, 20991231999), min_size=1, max_size=6),
    device=st.sampled_from(["cpu", "cuda"]),
)
def test_triton_reads_in_the_configuration_what_was_asked(n_fields, versions, device):
    text = repository.render_config(
        "deepfm", signature=ctr_signature(n_fields), versions=versions, device=device
    )
    config = parse(text)
    assert (config.name, config.backend, config.max_batch_size) == ("deepfm", "oneflow", 10_000)
    (given_input,), (output,) = config.input, config.output
    assert (given_input.name, given_input.data_type) == ("INPUT_0", model_config_pb2.TYPE_INT64)
    assert list(given_input.dims) == [n_fields]
    assert (output.name, output.data_type) == ("OUTPUT_0", model_config_pb2.TYPE_FP32)
    assert list(output.dims) == [1]
    assert set(config.version_policy.specific.versions) == versions
    assert config.HasField("dynamic_batching")
    (group,) = config.instance_group
    kinds = {"cpu": (model_config_pb2.ModelInstanceGroup.KIND_CPU, [])}
    kinds["cuda"] = (model_config_pb2.ModelInstanceGroup.KIND_GPU, [0])
    assert (group.kind, list(group.gpus)) == kinds[device]


@pytest.mark.parametrize(
    "wrong",
    [{"versions": []}, {"device": "tpu"}],
)
def test_a_configuration_that_cannot_serve_is_refused(wrong):
    with pytest.raises(ConfigurationError):
        repository.render_config(
            "deepfm", **{"signature": ctr_signature(3), "versions": [1], **wrong}
        )


def test_a_template_with_an_unknown_placeholder_is_named(tmp_path):
    template = tmp_path / "config.in"
    template.write_text('name: "${modle}"\n')
    with pytest.raises(ConfigurationError, match=re.escape(str(template))):
        repository.render_config(
            "deepfm", signature=ctr_signature(3), versions=[1], template=template
        )


def test_pins_are_read_back_and_the_width_is_the_versions_own(tmp_path, trained_model):
    assert repository.pins(tmp_path, "deepfm") == ()
    for version in (20160401001, 20160402001):
        repository.publish_version(tmp_path, "deepfm", version, trained_model)
    repository.write_pins(tmp_path, "deepfm", [20160401001])
    assert repository.pins(tmp_path, "deepfm") == (20160401001,)
    path = repository.write_pins(tmp_path, "deepfm", [20160402001, 20160401001])
    assert repository.pins(tmp_path, "deepfm") == (20160401001, 20160402001)
    assert list(parse(path.read_text()).input[0].dims) == [7]


def test_versions_of_different_widths_leave_it_open(tmp_path, trained_model):
    repository.publish_version(tmp_path, "deepfm", 20160401001, trained_model)
    (trained_model / "golden.json").write_text('{"ids": [[1, 2]], "scores": [0.5]}')
    repository.publish_version(tmp_path, "deepfm", 20160402001, trained_model)
    for pinned, width in (([20160401001], 7), ([20160402001], 2), ([20160401001, 20160402001], -1)):
        path = repository.write_pins(tmp_path, "deepfm", pinned)
        assert list(parse(path.read_text()).input[0].dims) == [width]


def test_only_versions_that_are_there_can_be_pinned(tmp_path, trained_model):
    repository.publish_version(tmp_path, "deepfm", 20160401001, trained_model)
    # Triton would answer 200 and serve nothing of it.
    with pytest.raises(ContractError, match="20160402001"):
        repository.write_pins(tmp_path, "deepfm", [20160401001, 20160402001])


def test_a_pinned_version_is_not_removed(tmp_path, trained_model):
    repository.publish_version(tmp_path, "deepfm", 20160401001, trained_model)
    repository.write_pins(tmp_path, "deepfm", [20160401001])
    with pytest.raises(ContractError, match="pinned"):
        repository.remove_version(tmp_path, "deepfm", 20160401001)
    assert repository.versions(tmp_path, "deepfm") == [20160401001]


def test_a_configuration_without_pins_is_not_taken_for_ours(tmp_path):
    path = repository.config_path(tmp_path, "deepfm")
    path.parent.mkdir(parents=True)
    path.write_text('name: "deepfm"\n')
    with pytest.raises(ContractError, match="pins no versions"):
        repository.pins(tmp_path, "deepfm")


def test_an_image_model_without_a_batch_dimension():
    image = Tensor("INPUT_0", "FP32", (3, 256, 256))
    signature = ModelSignature("tensor", (image,), (Tensor("OUTPUT_0", "FP32", (3, 256, 256)),), 0)
    serving = repository.ServingOptions(instances=2)
    config = parse(
        repository.render_config("style", signature=signature, versions=[1], serving=serving)
    )
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert list(config.input[0].dims) == list(config.output[0].dims) == [3, 256, 256]
    assert config.instance_group[0].count == 2


def test_an_input_that_one_version_lacks_is_optional_and_types_must_agree():
    ids = Tensor("INPUT_0", "INT64", (7,))
    numbers = Tensor("NUMBERS", "FP32", (3,))
    out = (Tensor("OUTPUT_0", "FP32", (1,)),)
    old, new = ModelSignature("ctr", (ids,), out), ModelSignature("ctr", (ids, numbers), out)
    merged, optional = repository.merge([old, new], "m")
    assert [t.name for t in merged.inputs] == ["INPUT_0", "NUMBERS"]
    assert optional == {"NUMBERS"}
    other = ModelSignature("ctr", (Tensor("INPUT_0", "INT32", (7,)),), out)
    with pytest.raises(ContractError, match="INPUT_0"):
        repository.merge([old, other], "m")


def test_a_model_has_one_owner(tmp_path):
    repository.claim(tmp_path, "m", "jd_aaaa")
    repository.claim(tmp_path, "m", "jd_aaaa")
    with pytest.raises(ContractError, match="belongs to jd_aaaa, not to jd_bbbb"):
        repository.claim(tmp_path, "m", "jd_bbbb")
    assert repository.owner_of(tmp_path, "m") == "jd_aaaa"
    assert repository.owner_of(tmp_path, "made_before") is None
    (tmp_path / "m" / repository.OWNER).write_text("[]")
    assert repository.owner_of(tmp_path, "m") == ""
