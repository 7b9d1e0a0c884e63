"""Model files come back as they were, or are refused with one clear sentence."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from multilode.config.codec import encode
from multilode.config.sealed import CHECKSUM, seal
from multilode.config.store import (
    FORMAT_VERSION,
    ModelFileError,
    load,
    package_version,
    read_metadata,
    save,
)
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.fields.cutoffs import ShiftedCosine
from multilode.models import Committee, KernelRidge, Ridge, SparseKernelRidge, polynomial_kernels
from multilode.models.targets import Target
from multilode.prediction.training import train
from multilode.radial import GaussianTypeOrbitals, TabulatedBasis
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures

# the second structure is there to have no center
pytestmark = pytest.mark.filterwarnings(
    "ignore:structure 1. has no atom of the elements:multilode.errors.DataWarning"
)

RNG = np.random.default_rng(5)


def clusters(n: int) -> Structures:
    corners = np.array([[0, 0, 0], [0.9, 0.1, 0], [0, 1.0, 0.2], [2.0, 2, 2]])
    return Structures.from_arrays(
        [corners + RNG.normal(scale=0.2, size=(4, 3)) for _ in range(n)],
        [np.array([8, 1, 1, 6])] * n,
        [np.zeros((3, 3))] * n,
        [np.zeros(3, dtype=bool)] * n,
    )


def representation(radial=None) -> Representation:
    radial = radial or GaussianTypeOrbitals(2, 2.0)
    return Representation(
        fields={
            "rho": FieldExpansion(
                GaussianDensity(0.4),
                radial,
                2,
                neighbor_cutoff=2.0,
                cutoff_function=ShiftedCosine(0.4),
            ),
            "V": FieldExpansion(SmearedPotential(1.0, 1.0), radial, 2),
        },
        products=(("rho", "V"), ("V",)),
        species=(1, 6, 8),
        centers=(1, 8),
    )


def trained(estimator, radial=None):
    structures = clusters(12)
    y = structures.positions.reshape(12, 4, 3).norm(dim=2).sum(dim=1)
    target = Target(key="size", unit="Å", reduce="sum")
    return train(representation(radial), structures, y=y, target=target, estimator=estimator)


ESTIMATORS = [
    Ridge(regularization=1e-6, term_weights=(1.0, 0.5)),
    KernelRidge(kernel=polynomial_kernels(zeta=2), regularization=1e-6, term_weights=(1.0, 0.5)),
    KernelRidge(
        kernel=polynomial_kernels(zeta=3, normalize=True),
        regularization=1e-6,
        term_weights=(0.0, 1.0),
    ),
    SparseKernelRidge(
        kernel=polynomial_kernels(zeta=(2, 1)),
        regularization=1e-6,
        term_weights=(1.0, 0.5),
        n_active=9,
    ),
    Committee(estimator=Ridge(regularization=1e-6, term_weights=(1.0, 0.5)), fraction=0.7),
]


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "model.safetensors"
    save(trained(ESTIMATORS[0]), path, training={"n": 12})
    return path


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: f"{type(e).__name__}")
def test_a_model_comes_back_bit_for_bit(estimator, tmp_path):
    predictor, new = trained(estimator), clusters(3)
    save(predictor, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.representation == predictor.representation
    assert again.target == predictor.target
    before, after = (p.predict(new, forces=True) for p in (predictor, again))
    saved, kept = (encode(p.model)[1] | encode(p.baseline)[1] for p in (again, predictor))
    assert saved.keys() == kept.keys()
    for name, tensor in kept.items():
        assert torch.equal(saved[name], tensor), name
    # matrix products round differently with another alignment of the same numbers, and large
    # weights of a kernel, which cancel, show it
    dual = kept.get("dual", torch.zeros(1))
    rounding = 1e-13 + 1e-15 * float(dual.abs().sum())
    torch.testing.assert_close(before.values, after.values, rtol=1e-13, atol=rounding)
    torch.testing.assert_close(before.forces, after.forces, rtol=1e-11, atol=100 * rounding)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_radial_basis_of_the_user_is_saved_with_the_model(tmp_path):
    basis = TabulatedBasis.from_function(lambda r: np.stack([np.exp(-r), r * np.exp(-r)]), 2.0)
    predictor, new = trained(ESTIMATORS[0], basis), clusters(2)
    save(predictor, tmp_path / "m.safetensors")
    values = load(tmp_path / "m.safetensors").predict(new).values
    torch.testing.assert_close(values, predictor.predict(new).values, rtol=1e-13, atol=1e-13)


def test_metadata_say_what_the_model_is(model_file):
    metadata = read_metadata(model_file)
    assert metadata["format_version"] == FORMAT_VERSION
    assert metadata["package_version"] == package_version()
    assert metadata["model"]["kind"] == "ridge"
    assert metadata["target"] == {
        "key": "size",
        "unit": "Å",
        "reduce": "sum",
        "tensor": None,
        "per": "structure",
        "fragments": None,
    }
    assert metadata["training"] == {"n": 12}


def rewritten(source, path, change):
    """The same file with other metadata, and a checksum that is right for them."""
    with safe_open(source, framework="pt") as file:
        metadata = json.loads(file.metadata()["multilode"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(metadata, tensors)
    metadata.pop("checksum")
    sealed = metadata["format_version"] >= 8
    text = json.dumps({**CHECKSUM, **metadata} if sealed else metadata)
    save_file(tensors, path, metadata={"multilode": text})
    if sealed:
        seal(path)
    return path


def refused(path, said):
    with pytest.raises(ModelFileError, match=said) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_file_of_the_future_names_its_version(model_file, tmp_path):
    path = rewritten(
        model_file, tmp_path / "m", lambda m, t: m.update(format_version=FORMAT_VERSION + 1)
    )
    refused(path, f"format version {FORMAT_VERSION + 1}.*reads up to {FORMAT_VERSION}: update")


def test_a_file_of_the_first_format_is_a_model_of_the_whole_field(model_file, tmp_path):
    """It knew neither ranges nor methods; what it was trained with is the default now."""

    def first(metadata, tensors):
        metadata["format_version"] = 1
        del metadata["representation"]["method"], metadata["representation"]["tolerance"]
        for part in metadata["representation"]["fields"].values():
            del part["range"], part["near_radius"]
        own = metadata["model"]
        kept = ("scales", "term_weights", "regularization", "centers")
        settings = {**{key: own[key] for key in kept}, "pooling": own["reduce"], "cv_table": []}
        metadata["model"] = {"kind": own["kind"], "settings": settings}

    old, new = load(rewritten(model_file, tmp_path / "m", first)), load(model_file)
    assert old.representation == new.representation
    assert [e.range for e in old.representation.fields.values()] == ["all", "all"]
    structures = clusters(2)
    values = [predictor.predict(structures).values for predictor in (old, new)]
    torch.testing.assert_close(*values, rtol=1e-13, atol=1e-13)


def test_range_method_and_tolerance_come_back(tmp_path):
    parts = dict(representation().fields)
    parts["V"] = replace(parts["V"], range="far", near_radius=1.5)
    recipe = replace(representation(), fields=parts, method="pair_sum", tolerance=1e-6)
    save(replace(trained(ESTIMATORS[0]), representation=recipe), tmp_path / "m")
    assert load(tmp_path / "m").representation == recipe


def test_files_that_are_not_ours(tmp_path):
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    refused(tmp_path / "other.safetensors", "not a multilode model")
    (tmp_path / "text.safetensors").write_text("energy: 3\n" * 50)
    refused(tmp_path / "text.safetensors", "truncated or not a model file")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    refused(tmp_path / "empty.safetensors", "truncated or not a model file")
    refused(tmp_path / "none.safetensors", "there is no such model file")
    refused(tmp_path, "there is no such model file")


@pytest.mark.parametrize("part", [0.001, 0.3, 0.9, 0.9999])
def test_truncated_files(model_file, tmp_path, part):
    data = model_file.read_bytes()
    (tmp_path / "cut").write_bytes(data[: int(part * len(data))])
    refused(tmp_path / "cut", "truncated or not a model file")


def test_files_that_lack_a_part(model_file, tmp_path):
    path = rewritten(model_file, tmp_path / "a", lambda m, t: t.pop("model.weights.0"))
    refused(path, "incomplete.*weights.0")
    path = rewritten(model_file, tmp_path / "b", lambda m, t: m.pop("baseline"))
    refused(path, "incomplete.*baseline")


def test_numbers_that_are_not_finite(model_file, tmp_path):
    path = rewritten(model_file, tmp_path / "m", lambda m, t: t["model.weights.0"].fill_(torch.nan))
    refused(path, "'model.weights.0' are not finite")


@pytest.mark.parametrize("name", ["model.weights.0", "baseline.constants"])
def test_numbers_of_another_size(model_file, tmp_path, name):
    def longer(metadata, tensors):
        tensors[name] = torch.cat([tensors[name], tensors[name], tensors[name]])

    refused(rewritten(model_file, tmp_path / "m", longer), "do not fit together")


def test_a_failed_save_leaves_the_old_file(model_file, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(model_file.read_bytes())
    with pytest.raises(TypeError):
        save(load(path), path, training={"cannot": object()})
    load(path)
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]
