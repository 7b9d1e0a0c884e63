"""Model files from strangers: every flipped bit is noticed, sizes are checked first."""

import json
import time

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import multilode as ml
from crystals import random_structures
from multilode.config.sealed import CHECKSUM, seal
from multilode.config.store import ModelFileError, load, read_metadata, save
from multilode.numerics.limits import limits

BASIS = ml.GaussianTypeOrbitals(n_radial=2, radius=3.0)
RECIPE = ml.Representation(
    fields={
        "rho": ml.FieldExpansion(ml.GaussianDensity(0.5), BASIS, 1, neighbor_cutoff=3.0),
        "V": ml.FieldExpansion(ml.SmearedPotential(smearing=0.8, exponent=1.0), BASIS, 1),
    },
    products=(("rho", "rho"), ("rho", "V")),
    species=(1, 8),
    centers=(1, 8),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A ridge model of a few kB."""
    structures = random_structures(RECIPE.species, 8)
    y = torch.arange(8.0).double()
    predictor = ml.train(RECIPE, structures, "energy", y=y, estimator=ml.Ridge(regularization=1e-4))
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save(predictor, path)
    return path


def edited(model, path, change, *, text=None, version=None):
    """A stranger's file: other metadata or tensors, with a checksum that is right for them."""
    with safe_open(model, framework="pt") as file:
        metadata = json.loads(file.metadata()["multilode"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(metadata, tensors)
    metadata.pop("checksum", None)
    if version is not None:  # of a time before checksums
        metadata["format_version"] = version
        save_file(tensors, path, metadata={"multilode": json.dumps(metadata)})
        return path
    written = json.dumps({**CHECKSUM, **metadata})
    save_file(tensors, path, metadata={"multilode": text(written) if text else written})
    seal(path)
    return path


def flipped(data, bit):
    return data[: bit // 8] + bytes([data[bit // 8] ^ (1 << bit % 8)]) + data[bit // 8 + 1 :]


def check_flips(model, path, n, seed):
    data = model.read_bytes()
    for bit in np.random.default_rng(seed).integers(0, 8 * len(data), n).tolist():
        path.write_bytes(flipped(data, bit))
        for reader in (load, read_metadata):
            with pytest.raises(ModelFileError) as caught:
                reader(path)
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 600, bit


def test_flipped_bits_are_refused(model, tmp_path):
    check_flips(model, tmp_path / "m", 150, seed=0)


def test_every_bit_of_the_beginning_counts(model, tmp_path):
    """The length, the words before the checksum, the checksum, and the format version."""
    data = model.read_bytes()
    end = data.index(b"package_version")
    for bit in range(0, 8 * end, 3):
        (tmp_path / "m").write_bytes(flipped(data, bit))
        with pytest.raises(ModelFileError):
            load(tmp_path / "m")


@pytest.mark.slow
def test_two_thousand_flipped_bits_are_refused(model, tmp_path):
    check_flips(model, tmp_path / "m", 2000, seed=1)


def test_the_same_model_is_the_same_file(model, tmp_path):
    predictor = load(model)
    save(predictor, tmp_path / "a")
    save(predictor, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def set_species(metadata, _):
    metadata["representation"]["species"] = list(range(1, 3000))


def set_factors(metadata, _):
    metadata["representation"]["products"] = [["rho"] * 12]


def set_many_factors(metadata, _):
    metadata["representation"]["products"] = [["rho"] * 100_000]


def set_many_products(metadata, _):
    metadata["representation"]["products"] = [["rho", "rho"]] * 100_000


def set_radius(metadata, _):
    metadata["representation"]["fields"]["V"]["basis"]["radius"] = 1e6


def set_cutoff(metadata, _):
    metadata["representation"]["fields"]["rho"]["neighbor_cutoff"] = 1e5


def set_basis(metadata, _):
    own = metadata["representation"]
    own["species"] = own["centers"] = list(range(1, 119))
    own["fields"]["rho"]["basis"]["n_radial"] = 64
    own["fields"]["rho"]["max_angular"] = 20
    own["products"] = [["rho", "rho", "rho"]]


def set_irreps(metadata, _):
    metadata["representation"]["irreps"] = [["l", 1], 7]


def set_huge_species(metadata, _):
    metadata["representation"]["species"] = [1, 2**70]


def set_element(metadata, _):
    metadata["representation"]["species"] = [1, 119]


def set_surrogate(metadata, _):
    metadata["target"]["unit"] = "\ud800"


def set_escape(metadata, _):
    metadata["target"]["unit"] = "\x1b[2J"


def set_lines(metadata, _):
    metadata["target"]["key"] = 'e"\n5\nH 0 0 0'


def set_bidirectional(metadata, _):
    metadata["training"]["model"] = "\u202egpj"


def set_nothing(metadata, _):
    metadata["model"] = {}


def set_float8(_, tensors):
    name = next(name for name in tensors if "weights" in name)
    tensors[name] = tensors[name].to(torch.float8_e4m3fn)


def set_complex(_, tensors):
    name = next(name for name in tensors if "weights" in name)
    tensors[name] = tensors[name].to(torch.complex64)


HOSTILE = {
    "species": (set_species, "species are no atomic numbers"),
    "factors": (set_factors, "has 12 factors, more than 6"),
    "many factors": (set_many_factors, "has 100000 factors"),
    "many products": (set_many_products, "has 100000 products"),
    "radius": (set_radius, "more than 200 Å"),
    "cutoff": (set_cutoff, "more than 200 Å"),
    "basis": (set_basis, "more than the memory holds"),
    "irreps": (set_irreps, "incomplete|do not fit|damaged"),
    "huge species": (set_huge_species, "more than 64 bits"),
    "element": (set_element, "species are no atomic numbers: 119"),
    "surrogate": (set_surrogate, "cannot be printed"),
    "escape": (set_escape, "cannot be printed"),
    "lines": (set_lines, "printed in one line"),
    "bidirectional": (set_bidirectional, "cannot be printed"),
    "nothing": (set_nothing, "incomplete"),
    "float8": (set_float8, "float8.*which no model has"),
    "complex": (set_complex, "complex64, which no model has"),
}


@pytest.mark.parametrize("version", [None, 7])
@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_model_needs_is_refused_at_once(model, tmp_path, name, version):
    change, said = HOSTILE[name]
    path = edited(model, tmp_path / "m", change, version=version)
    begun = time.process_time()
    with limits(memory=8e9), pytest.raises(ModelFileError, match=said) as caught:
        load(path)
    assert time.process_time() - begun < 5
    text = str(caught.value)
    assert len(text) < 600
    assert text.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        lambda t: t[:-1] + ', "more": ' + "[" * 100_000 + "]" * 100_000 + "}",
        lambda t: t[:-1] + ', "more": ' + "9" * 5000 + "}",
        lambda t: t[:-1] + ', "more": ' + "[" * 60 + "]" * 60 + "}",
        lambda t: t[:-1],
    ],
    ids=["deep", "long number", "nested", "cut"],
)
def test_metadata_that_are_no_metadata(model, tmp_path, text):
    path = edited(model, tmp_path / "m", lambda m, t: None, text=text)
    for reader in (load, read_metadata):
        with pytest.raises(ModelFileError, match="metadata is damaged") as caught:
            reader(path)
        assert len(str(caught.value)) < 600


def test_keys_and_units_are_one_line_in_python_too():
    for words in ({"key": "a\nb"}, {"key": "e\x1b[2J"}, {"key": "e", "unit": "\x07"}):
        with pytest.raises(ValueError, match="printed"):
            ml.Target(**words)
