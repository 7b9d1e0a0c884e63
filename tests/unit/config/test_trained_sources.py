"""Sources that are fitted to several sets at once, and those of another model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from multilode.config.config import config_from_dict, dump_config, load_config
from multilode.config.store import load, save
from multilode.config.trained_sources import Trained
from multilode.data.dataset import Dataset, concatenate
from multilode.data.inputs import as_dataset
from multilode.models import Ridge
from multilode.models.targets import Target
from multilode.prediction.training import train
from multilode.representation.feature_recipe import features
from multilode.representation.representation import Representation
from multilode.representation.sources.recipes import Fitted
from multilode.structures.batch import Structures
from toy_tensors import FIELDS

pytestmark = pytest.mark.filterwarnings("ignore:surroundings vary in fewer")
GIVEN = {"V": FIELDS["V"], "rho": FIELDS["rho"], "channels": None}
TARGET = Target(key="y", fragments="part")
FITTED = Fitted(channels=1, components=2, cutoff=3.0, steps=30)


def charged_pairs(n: int, seed: int, *, size: float, label: str) -> Dataset:
    """Two molecules whose charges depend on their bonds; energies in units of a size."""
    generator = np.random.default_rng(seed)
    positions, energies = [], []
    for _ in range(n):
        bonds = generator.uniform(0.9, 1.3, size=2)
        direction = generator.normal(size=3)
        shift = direction / np.linalg.norm(direction) * generator.uniform(4.5, 9.0)
        first = np.array([[0, 0, 0], [bonds[0], 0, 0]])
        second = shift + np.array([[0, 0, 0], [0, bonds[1], 0]])
        charges = [(b - 1.1) * np.array([1.0, 1.2]) for b in bonds]
        apart = np.linalg.norm(first[:, None] - second, axis=2)
        energies.append(size * float((charges[0][:, None] * charges[1] / apart).sum()))
        positions.append(np.concatenate([first, second]))
    nothing = [np.zeros((3, 3))] * n, [np.zeros(3, bool)] * n
    data = as_dataset(Structures.from_arrays(positions, [np.array([6, 8, 6, 8])] * n, *nothing))
    labels = [np.array([0.0, 0, 1, 1])] * n
    return data.with_values({"y": energies, "label": [label] * n}, {"part": labels})


def error(recipe, train_set: Dataset, test_set: Dataset) -> float:
    predictor = train(recipe, train_set, TARGET, estimator=Ridge())
    y = torch.from_numpy(test_set.column("y"))
    return float((predictor.predict(test_set).values - y).square().mean().sqrt() / y.std())


def sources_of(path):
    representation = load(path).representation
    assert isinstance(representation, Representation)
    return (representation.sources or {})["V"]


def test_sources_of_two_sets_together_serve_a_third(tmp_path):
    """Energies of the sets have opposite signs: one set of weights cannot be right for both."""
    one = charged_pairs(40, 0, size=1.0, label="a")
    other = charged_pairs(40, 1, size=-30.0, label="b")
    both = concatenate([one, other])
    joint = features("rho*V", **GIVEN, sources={"V": replace(FITTED, joint="label")})
    save(train(joint, both, TARGET, estimator=Ridge()), tmp_path / "joint.safetensors")
    few, test_set = (charged_pairs(n, n, size=5.0, label="c") for n in (16, 60))
    trained = {"V": Trained(model=str(tmp_path / "joint.safetensors"))}
    found = error(features("rho*V", **GIVEN, sources=trained), few, test_set)
    of_species = error(features("rho*V", **GIVEN), few, test_set)
    assert found < 0.4 * of_species
    values = sources_of(tmp_path / "joint.safetensors").strengths(test_set.structures)[:, 0]
    bonds = (test_set.structures.positions[1::2] - test_set.structures.positions[::2]).norm(dim=1)
    assert abs(float(torch.corrcoef(torch.stack([values[::2], bonds]))[0, 1])) > 0.95


def test_a_configuration_names_the_model_relative_to_itself(tmp_path):
    data = charged_pairs(16, 0, size=1.0, label="a")
    recipe = features("rho*V", **GIVEN, sources={"V": replace(FITTED, steps=2)})
    save(train(recipe, data, TARGET, estimator=Ridge()), tmp_path / "one.safetensors")
    raw = {
        "data": {"train": "train.xyz"},
        "target": {"key": "y", "fragments": "part"},
        "fields": {"Q": {"kind": "potential", "sources": {"kind": "trained", "field": "V"}}},
        "features": [["rho", "Q"]],
    }
    raw["fields"]["Q"]["sources"]["model"] = "one.safetensors"
    config = config_from_dict(raw, folder=tmp_path)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "config.yaml").write_text(dump_config(config, tmp_path / "below"))
    again = load_config(tmp_path / "below" / "config.yaml")
    found = again.recipe.for_structures(data.with_arrays(["part"]).structures)
    own = (found.sources or {})["Q"].strengths(data.structures)
    expected = sources_of(tmp_path / "one.safetensors").strengths(data.structures)
    torch.testing.assert_close(own, expected)


def test_sources_do_not_serve_elements_that_they_do_not_know(tmp_path):
    data = charged_pairs(16, 0, size=1.0, label="a")
    recipe = features("rho*V", **GIVEN, sources={"V": replace(FITTED, steps=2)})
    save(train(recipe, data, TARGET, estimator=Ridge()), tmp_path / "one.safetensors")
    species = torch.where(data.structures.species == 8, 16, data.structures.species)
    other = replace(data, structures=replace(data.structures, species=species))
    trained = {"V": Trained(model=str(tmp_path / "one.safetensors"))}
    with pytest.raises(ValueError, match="do not know S; fit them"):
        train(features("rho*V", **GIVEN, sources=trained), other, TARGET, estimator=Ridge())


def test_sources_that_are_not_there_are_refused(tmp_path):
    data = charged_pairs(16, 0, size=1.0, label="a")
    path = str(tmp_path / "one.safetensors")
    save(train(features("rho*V", **GIVEN), data, TARGET, estimator=Ridge()), path)
    recipe = features("rho*V", **GIVEN, sources={"V": Trained(model=path)})
    with pytest.raises(ValueError, match="no sources of a field 'V'"):
        train(recipe, data, TARGET, estimator=Ridge())
    fitted = {"V": replace(FITTED, joint="colour")}
    with pytest.raises(ValueError, match="colour"):
        train(features("rho*V", **GIVEN, sources=fitted), data, TARGET, estimator=Ridge())
