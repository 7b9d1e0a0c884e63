"""Configurations are complete: every setting arrives, is written back, and old words are read."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
import pytest

from multilode.config.codec import decode, encode
from multilode.config.config import dump_config, load_config
from multilode.config.errors import ConfigError
from multilode.errors import DataWarning
from multilode.radial import RADIAL_BASES, AbstractRadialBasis
from multilode.representation.representation import Representation

SHORT = """
data: {train: train.xyz}
target: {key: energy}
"""


def load(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load_config(path)


def refusal(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{tmp_path / 'config.yaml'}: ")
    return message


def through_json(representation):
    plain, tensors = encode(representation)
    return decode(Representation, json.loads(json.dumps(plain)), tensors)


@final
@dataclass(frozen=True)
class Cosine(AbstractRadialBasis):
    """A basis that a user might register, with a setting of its own."""

    n_radial: int
    radius: float
    sharpness: float = 1.0

    @property
    def support(self):
        return self.radius

    def primitives(self, r, l):
        n = np.arange(1, self.n_radial + 1)[:, None]
        return np.cos(0.5 * np.pi * n * (r / self.radius) ** self.sharpness)


@pytest.fixture
def cosine(monkeypatch):
    monkeypatch.setitem(RADIAL_BASES, "cosine", Cosine)


def test_every_setting_of_a_registered_class_reaches_the_object(tmp_path, cosine):
    text = "fields: {V: {basis: {kind: cosine, sharpness: 3.5, n_radial: 3}}}\n"
    config = load(tmp_path, SHORT + text)
    basis = config.recipe.fields["V"].basis
    assert basis == Cosine(3, 4.0, 3.5)
    assert through_json(config.representation([1])) == config.representation([1])
    (tmp_path / "full.yaml").write_text(dump_config(config, tmp_path))
    assert load_config(tmp_path / "full.yaml") == config
    said = refusal(tmp_path, SHORT + "fields: {V: {basis: {kind: cosine, sharpnes: 3}}}\n")
    assert "unknown setting 'fields.V.basis.sharpnes'; did you mean 'sharpness'?" in said


EVERYTHING = """
data: {train: [a.xyz, b.xyz], test_fraction: 0.25, seed: 3, group: label}
target: {key: mu, unit: D, tensor: vector, baseline: none}
cutoff: 3.5
centers: [O]
fields:
  V: {exponent: 6, basis: {kind: monomial, n_radial: 1, max_angular: 4, radius: 2}}
  F: {kind: potential, range: far, smearing: 0.5, cutoff_function: {kind: radial_scaling, scale: 3}}
features: [[rho, V], [rho, F]]
method: mesh
tolerance: 1e-6
estimator: {kind: sparse, zeta: [1, 2], n_active: 50, committee: {n_members: 4}}
learning_curve: {sizes: [5, 10], repeats: 2, seed: 7}
"""


@pytest.mark.parametrize(
    "text",
    [
        SHORT,
        EVERYTHING,
        SHORT.replace("energy", "energy, forces: {weight: 2, directions: 3}")
        + "estimator: {kind: ridge}\n",
        SHORT.replace("energy", "energy, component: trace, reduce: mean, baseline: composition"),
        SHORT + "features: [[rho, rho, V]]\ncontraction: {selection: fps, max_features: 5}\n",
        SHORT + "estimator: {kind: kernel, zeta: 3, normalize: true, folds: null}\n",
        SHORT + "channels: 7\n",
        SHORT + "channels: none\n",
    ],
)
def test_the_saved_configuration_builds_the_same(tmp_path, text):
    config = load(tmp_path, text)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "config.yaml").write_text(dump_config(config, tmp_path / "results"))
    again = load_config(tmp_path / "results" / "config.yaml")
    assert replace(again, data=config.data) == config
    assert dump_config(again, tmp_path) == dump_config(config, tmp_path)
    folder = tmp_path / "results"
    assert [Path(n).resolve() for n in again.data.train] == [
        Path(n).resolve() for n in config.data.train
    ]
    assert dump_config(again, folder) == (folder / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        ("model: {folds: 3}", "estimator: {folds: 3}", "'model' is now called 'estimator'"),
        (
            "fields: {V: {cutoff: 3}}",
            "fields: {V: {neighbor_cutoff: 3}}",
            "'fields.V.cutoff' is now called 'neighbor_cutoff'",
        ),
        (
            "fields: {V: {range: far, range_cutoff: 3}}",
            "fields: {V: {range: far, near_radius: 3}}",
            "'fields.V.range_cutoff' is now called 'near_radius'",
        ),
        (
            "fields: {V: {basis: {cutoff: 3}}}",
            "fields: {V: {basis: {radius: 3}}}",
            "'fields.V.basis.cutoff' is now called 'radius'",
        ),
    ],
)
def test_words_of_earlier_versions_are_read_with_a_note(tmp_path, old, new, note):
    with pytest.warns(DataWarning, match=note):
        config = load(tmp_path, SHORT + old)
    assert config == load(tmp_path, SHORT + new)


def test_a_setting_under_its_old_and_its_new_name(tmp_path):
    said = refusal(tmp_path, SHORT + "model: {}\nestimator: {}\n")
    assert "setting 'model': this is the old name of 'estimator'; remove it" in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("estimator: {reduce: mean}", "unknown setting 'estimator.reduce'"),
        ("estimator: {regularization: .nan}", "'estimator.regularization': input should be a fin"),
        ("fields: {W: 3}", "setting 'fields.W': input should be a mapping of settings, got 3"),
        ("fields: {V: {basis: {kind: gt}}}", "setting 'fields.V.basis.kind' is 'gt'; allowed are"),
        ("target: 3", "setting 'target': input should be a mapping of settings"),
        ("method: mash", "setting 'method': "),
        ("tolerance: 1", "setting 'tolerance': tolerance is 1; it must lie between"),
        ("channels: 0", "is 0; use a number of at least 1, 'auto', or 'none'"),
        ("channels: few", "setting 'channels' is 'few'; use a number"),
        ("contraction: {atoms: 0}", "setting 'contraction.atoms': input should be greater"),
        ("estimator: {committee: {n_members: 2}}", "setting 'estimator.committee': a committee"),
    ],
)
def test_more_mistakes_are_named(tmp_path, more, said):
    text = SHORT if not more.startswith("target") else "data: {train: train.xyz}\n"
    assert said in refusal(tmp_path, f"{text}{more}\n")
