"""Configurations: defaults that suffice, and errors that name the key and the remedy."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from multilode.config.codec import decode, encode
from multilode.config.config import (
    config_from_dict,
    dump_config,
    load_config,
    plain_config,
)
from multilode.config.errors import ConfigError
from multilode.fields import SmearedPotential
from multilode.fields.cutoffs import RadialScaling, StepCutoff
from multilode.models import KernelRidge, Ridge, polynomial_kernels
from multilode.radial import LaplacianEigenstates, Monomials
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
    return message.removeprefix(f"{tmp_path / 'config.yaml'}: ")


def through_json(representation):
    plain, tensors = encode(representation)
    return decode(Representation, json.loads(json.dumps(plain)), tensors)


def test_two_lines_make_a_multi_scale_model(tmp_path):
    config = load(tmp_path, SHORT)
    representation = config.representation([8, 1, 8])
    assert representation.products == (("rho", "rho"), ("rho", "V"))
    assert representation.species == representation.centers == (1, 8)
    rho, potential = representation.fields["rho"], representation.fields["V"]
    assert (rho.neighbor_cutoff, potential.neighbor_cutoff) == (4.0, None)
    assert potential.field == SmearedPotential(smearing=1.0, exponent=1.0)
    assert rho.basis.radius == potential.basis.radius == 4.0
    assert config.estimator == Ridge()
    assert config.data.train == (str(tmp_path / "train.xyz"),)


def test_everything_can_be_set(tmp_path):
    config = load(
        tmp_path,
        """
data: {train: [a.xyz, b.xyz], test: c.xyz, group: label}
target: {key: epsilon, unit: "1", reduce: mean, baseline: none, component: trace}
cutoff: 3.5
centers: [O]
fields:
  V: {exponent: 6, basis: {kind: monomial, n_radial: 1, max_angular: 2, radius: 2}}
  W: {kind: potential, smearing: 0.5, basis: {kind: laplacian, max_angular: 2}, neighbor_cutoff: 5,
      cutoff_function: {kind: radial_scaling, scale: 3}}
  rho: {basis: {max_angular: 2}, neighbor_cutoff: 6.0, cutoff_function: {kind: step},
        center_weight: 0}
features: [[rho, V], [W, V], [V]]
estimator: {kind: kernel, zeta: [1, 2, 2], normalize: true, regularization: 1e-6, folds: null}
learning_curve: {sizes: [5, 10], repeats: 2}
""",
    )
    representation = config.representation([1, 8])
    rho, v, w = (representation.fields[name] for name in ("rho", "V", "W"))
    assert representation.centers == (8,)
    assert (v.basis, v.field.exponent) == (Monomials(1, 2.0), 6.0)
    assert (w.basis, w.neighbor_cutoff) == (LaplacianEigenstates(6, 3.5), 5.0)
    assert w.cutoff_function == RadialScaling(scale=3.0)
    assert (rho.neighbor_cutoff, rho.cutoff_function, rho.center_weight) == (6.0, StepCutoff(), 0.0)
    assert config.estimator == KernelRidge(
        kernel=polynomial_kernels(zeta=(1, 2, 2), normalize=True),
        regularization=1e-6,
        folds=None,
    )


def test_near_and_far_fields(tmp_path):
    text = """
cutoff: 3.5
fields:
  N: {kind: potential, range: near, near_radius: 5}
  F: {kind: potential, range: far, cutoff_function: {kind: shifted_cosine, width: 2}}
features: [[N, F], [rho, V]]
"""
    config = load(tmp_path, SHORT + text)
    representation = config.representation([1, 8])
    near, far, whole = (representation.fields[name] for name in "NFV")
    assert (near.range, near.near_radius, near.neighbor_cutoff) == ("near", 5.0, None)
    assert (far.range, far.near_radius, far.neighbor_cutoff) == ("far", 3.5, None)
    assert (whole.range, whole.near_radius) == ("all", None)
    assert through_json(representation) == representation
    (tmp_path / "full.yaml").write_text(dump_config(config, tmp_path))
    again = load_config(tmp_path / "full.yaml")
    assert again.representation([1, 8]) == representation


def test_a_model_file_without_ranges_is_read(tmp_path):
    representation = load(tmp_path, SHORT).representation([1, 8])
    plain, _ = encode(representation)
    for part in plain["fields"].values():
        del part["range"], part["near_radius"]
    assert decode(Representation, plain) == representation


def test_learned_parameters_are_saved_as_numbers(tmp_path):
    representation = load(tmp_path, SHORT).representation([1, 8])
    smearing = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    learned = replace(representation.fields["V"], field=SmearedPotential(smearing, 2.0))
    both = {**representation.fields, "V": learned}
    found = through_json(replace(representation, fields=both)).fields["V"].field
    assert found == SmearedPotential(0.8, 2.0)
    assert isinstance(found.smearing, float)


def test_the_dump_is_complete_and_reads_back(tmp_path):
    config = load(tmp_path, SHORT + "features: [[rho, rho]]\n")
    (tmp_path / "results").mkdir()
    text = dump_config(config, tmp_path / "results")
    assert "../train.xyz" in text
    assert "V" not in yaml.safe_load(text)["fields"]  # no feature uses it
    (tmp_path / "results" / "config.yaml").write_text(text)
    again = load_config(tmp_path / "results" / "config.yaml")
    assert again.estimator == config.estimator
    assert again.representation([1]) == config.representation([1])
    assert json.loads(json.dumps(plain_config(config))) == plain_config(config)


def test_representations_survive_json(tmp_path):
    text = SHORT + "fields: {V: {exponent: 6, cutoff_function: {kind: radial_scaling}}}\n"
    representation = load(tmp_path, text).representation([1, 8])
    assert through_json(representation) == representation
    plain, _ = encode(representation)
    del plain["fields"]["V"]["basis"]["n_radial"]
    with pytest.raises(ValueError, match=r"'fields.V.basis.n_radial' is missing"):
        decode(Representation, plain)
    plain["fields"]["V"]["basis"]["kind"] = "wavelet"
    with pytest.raises(ValueError, match=r"'fields.V.basis.kind' is 'wavelet'.*gto"):
        decode(Representation, plain)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("datta: 1", "unknown setting 'datta'; did you mean 'data'?"),
        ("fields: {V: {sgma: 3}}", "unknown setting 'fields.V.sgma'; did you mean 'smearing'?"),
        ("fields: {V: {lmax: 3}}", "unknown setting 'fields.V.lmax'; known are basis, "),
        (
            "fields: {rho: {basis: {l_max: 3}}}",
            "unknown setting 'fields.rho.basis.l_max'; did you mean 'max_angular'?",
        ),
        (
            "estimator: {lambda: 3}",
            "unknown setting 'estimator.lambda'; did you mean 'regularization'?",
        ),
        (
            "estimator: {kind: rigde}",
            "setting 'estimator.kind' is 'rigde'; allowed are 'ridge', 'kernel'",
        ),
        ("fields: {W: {smearing: 1}}", "the setting 'fields.W.kind' is missing; add it"),
        ("fields: {W: {kind: density}}", "'features' does not use the field 'W'; add or remove it"),
        ("fields: {V: {range: nearby}}", "setting 'fields.V.range': input should be 'all', 'near'"),
        ("fields: {rho: {range: near}}", "setting 'fields.rho': range is 'near', but the field"),
        ("fields: {V: {near_radius: 3}}", "setting 'fields.V': near_radius is 3.0 Å, but the"),
        (
            "fields: {V: {range: far, neighbor_cutoff: 3}}",
            "setting 'fields.V': range is 'far' and neig",
        ),
        ("fields: {V: {range: far, near_radius: -1}}", "setting 'fields.V.near_radius': input"),
        ("features: [[rho, v]]", "'features' names the field 'v'; did you mean 'V'?"),
        ("features: [[V, V, V, V, V, V, V]]", "setting 'features.0': "),
        (
            "contraction: {selection: svd}",
            "setting 'contraction': selection is 'svd'; allowed",
        ),
        (
            "contraction: {variance: 2}",
            "setting 'contraction': variance is 2.0; it must lie",
        ),
        ("cutoff: four", "setting 'cutoff': input should be a valid number, got 'four'"),
        ("cutoff: yes", "setting 'cutoff': input should be a valid number, got True"),
        ("cutoff: 0", "setting 'cutoff': input should be greater than 0, got 0"),
        ("cutoff: .inf", "setting 'cutoff': "),
        ("cutoff: 1e9", "setting 'cutoff': input should be less than or equal to 100, got 1"),
        (
            "fields: {rho: {neighbor_cutoff: 0}}",
            "setting 'fields.rho.neighbor_cutoff': input should be greater",
        ),
        ("fields: {V: {basis: {radius: 0}}}", "setting 'fields.V.basis.radius': input should be"),
        (
            "estimator: {seed: -1}",
            "setting 'estimator.seed': input should be greater than or equal to 0",
        ),
        ("learning_curve: {seed: -1}", "setting 'learning_curve.seed': input should be greater"),
        ("centers: []", "setting 'centers': list should have at least 1 item"),
        ("more: &more [*more]", "cannot be used (Circular reference detected)"),
        ("cutoff: [", "is not valid YAML: "),
        ("cutoff: 1\ncutoff: 2", "is not valid YAML: the key 'cutoff' is given twice"),
        ("fields: {V: {smearing: -1}}", "setting 'fields.V': smearing is -1.0"),
        ("fields: {rho: {basis: {n_radial: 1.5}}}", "setting 'fields.rho.basis.n_radial': "),
        ("fields: {rho: {basis: {max_angular: 99}}}", "setting 'fields.rho': max_angular is 99"),
        ("fields: {rho: {basis: {max_angular: 1}}}", "setting 'features': product"),
        ("estimator: {folds: 1}", "setting 'estimator': "),
        ("estimator: {regularization: -1e-6}", "setting 'estimator': regularization is -1e-06"),
        ("centers: [Xx]", "setting 'centers': 'Xx' is not a chemical element"),
        ("learning_curve: {repeats: 0}", "setting 'learning_curve.repeats': "),
        ("learning_curve: {sizes: [1.5]}", "setting 'learning_curve.sizes.0': "),
    ],
)
def test_mistakes_are_named(tmp_path, more, said):
    assert said in refusal(tmp_path, f"{SHORT}{more}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a mapping of settings"),
        ("[1]", "is not a mapping of settings"),
        ("data: {train: a}", "the setting 'target' is missing; add it"),
        ("data: {}\ntarget: {key: e}", "the setting 'data.train' is missing; add it"),
        ("data: {train: []}\ntarget: {key: e}", "setting 'data.train': list should have at least"),
        ("data: {train: 1}\ntarget: {key: e}", "setting 'data.train': input should be a list"),
        ("data: {train: a}\ntarget: {key: 5}", "setting 'target.key': "),
        ("data: {train: a}\ntarget: {key: e, component: x}", "'trace', got 'x'"),
        ("data: {train: a}\ntarget: {key: e, reduce: max}", "'sum' or 'mean', got 'max'"),
        ("data: {train: a, test_fraction: 1}\ntarget: {key: e}", "less than 1, got 1"),
        (
            "data: {train: a, test: b, test_fraction: 0.5}\ntarget: {key: e}",
            "setting 'data': use only one of test, test_fraction and split",
        ),
    ],
)
def test_missing_and_wrong_values_are_named(tmp_path, text, said):
    assert said in refusal(tmp_path, text)


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(ConfigError, match=r"none.yaml: there is no such file"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(bytes(range(128, 200)))
    with pytest.raises(ConfigError, match=r"binary.yaml: cannot be read"):
        load_config(tmp_path / "binary.yaml")


def test_settings_in_memory():
    config = config_from_dict({"data": {"train": "a.xyz"}, "target": {"key": "e"}}, folder="data")
    assert config.data.train == ("data/a.xyz",)
    with pytest.raises(ConfigError, match=r"configuration: .*'target.ky'; did you mean 'key'"):
        config_from_dict({"data": {"train": "a"}, "target": {"ky": "e"}})


def test_centers_that_the_training_set_lacks(tmp_path):
    config = load(tmp_path, SHORT + "centers: [O]")
    with pytest.raises(ConfigError, match=r"'centers': O is not in the training set, which has H"):
        config.representation([1])


def test_the_dump_reads_back_from_behind_a_link(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    (tmp_path / "train.xyz").touch()
    text = dump_config(load(tmp_path, SHORT), tmp_path / "link")
    (tmp_path / "link" / "full.yaml").write_text(text)
    assert Path(load_config(tmp_path / "link" / "full.yaml").data.train[0]).is_file()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            "{key: e, tensor: vectr}",
            "setting 'target': tensor is 'vectr'; use one of scalar, vector",
        ),
        ("{key: e, tensor: vector, component: 1}", "use only one of tensor and component"),
    ],
)
def test_mistakes_in_tensors_are_named(tmp_path, target, said):
    assert said in refusal(tmp_path, f"data: {{train: train.xyz}}\ntarget: {target}\n")
