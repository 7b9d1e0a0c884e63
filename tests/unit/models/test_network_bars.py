"""Error bars of networks: Bayesian linear regression on the last layers, calibrated."""

from dataclasses import replace

import pytest
import torch

from multilode.config.store import load, save
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity
from multilode.models.network import Network, NetworkModel, fit_network, validation_set
from multilode.models.network.posterior import fit_posterior, structure_features
from multilode.models.targets import Target
from multilode.prediction import Predictor, train
from multilode.radial import GaussianTypeOrbitals
from multilode.representation import FieldSet, Representation
from multilode.structures.batch import Structures

BASIS = GaussianTypeOrbitals(n_radial=2, radius=3.0)
FEATURES = Representation(
    fields={"rho": FieldExpansion(GaussianDensity(smearing=0.6), BASIS, 2, neighbor_cutoff=3.0)},
    products=(("rho",),),
    species=(1, 8),
    centers=(1, 8),
)
SETTINGS = Network(
    channels=3,
    hidden=4,
    charges=1,
    dipoles=0,
    dtype="float64",
    steps=4,
    batch_atoms=30,
    average=5,
    validation=0.4,
)


def molecules(n: int) -> Structures:
    """Three or four atoms near the corners of a cube."""
    generator = torch.Generator().manual_seed(0)
    counts = torch.tensor([3 + k % 2 for k in range(n)])
    place = torch.cat([torch.arange(int(count)) for count in counts])
    corners = torch.cartesian_prod(*[torch.arange(2.0)] * 3).double() * 1.7
    noise = torch.randn(len(place), 3, generator=generator, dtype=torch.float64)
    return Structures(
        positions=corners[place] + 0.2 * noise,
        species=torch.tensor([8, 1])[place % 2],
        cell=torch.zeros(n, 3, 3, dtype=torch.float64),
        pbc=torch.zeros(n, 3, dtype=torch.bool),
        structure_index=torch.arange(n).repeat_interleave(counts),
    )


def energies(structures: Structures) -> torch.Tensor:
    """The mean square radius, which a network of two epochs does not know yet."""
    squares = structures.positions.square().sum(dim=1)
    sums = torch.zeros(structures.n_structures, dtype=torch.float64)
    return sums.index_add(0, structures.structure_index, squares)[:, None]


def trained(settings: Network = SETTINGS, n: int = 20) -> Predictor:
    structures = molecules(n)
    target = Target(key="energy", unit="eV")
    return train(FEATURES, structures, target, y=energies(structures), estimator=settings)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return trained()


def random_rows(n: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    scales = torch.logspace(0, -2, 6, dtype=torch.float64)
    return torch.randn(n, 6, generator=generator, dtype=torch.float64) * scales


def test_variances_are_those_of_bayesian_linear_regression() -> None:
    """Prior of variance s, noise of variance v: f^T (1/s + F^T F / v)^-1 f, by Gaussian elimination
    of the joint distribution of observed and new values."""
    train_rows, new = random_rows(9, 0), random_rows(4, 1)
    sizes = torch.arange(2.0, 11.0).double()
    errors = random_rows(8, 2)[:, 0]
    found = fit_posterior(train_rows, sizes, random_rows(8, 3), errors)
    alpha = float(found.calibration.scale)
    rows = train_rows / sizes[:, None].sqrt()
    noise = alpha**2
    prior = noise / (found.regularization * float((rows.T @ rows).diagonal().mean()))
    observed = prior * rows @ rows.T + noise * torch.eye(len(rows)).double()
    between = prior * new @ rows.T
    joint = prior * new @ new.T - between @ torch.linalg.solve(observed, between.T)
    torch.testing.assert_close(found.std(new), joint.diagonal().sqrt(), rtol=1e-8, atol=0)


def test_scale_and_strength_are_the_most_likely_ones() -> None:
    train_rows, validation, errors = random_rows(9, 0), random_rows(8, 3), random_rows(8, 2)[:, 0]
    found = fit_posterior(train_rows, torch.ones(9).double(), validation, errors)
    matrix, alpha = train_rows.T @ train_rows, float(found.calibration.scale)

    def likelihood(scale: float, strength: float) -> float:
        own = matrix + strength * matrix.diagonal().mean() * torch.eye(6).double()
        variance = scale**2 * (validation * torch.linalg.solve(own, validation.T).T).sum(dim=1)
        deviation = variance.sqrt()
        return float(torch.distributions.Normal(0, deviation).log_prob(errors).sum())

    best = likelihood(alpha, found.regularization)
    for factors in ((0.95, 1), (1.05, 1), (1, 0.1), (1, 10)):
        strength = min(factors[1] * found.regularization, 1.0)
        assert likelihood(alpha * factors[0], strength) <= best + 1e-9


def test_bars_cover_errors_as_often_as_they_say() -> None:
    """Linear data with noise, again and again: their scale comes from the error of six weights,
    so that errors over bars follow Student's distribution of six degrees of freedom."""
    generator = torch.Generator().manual_seed(5)
    rows, inside = (random_rows(20, 0), random_rows(60, 1), random_rows(200, 2)), []
    for _ in range(40):
        noise = torch.randn(20, 1, generator=generator).double()
        wrong = torch.linalg.lstsq(rows[0], noise).solution  # of weights, whatever these are
        errors = [(part @ wrong)[:, 0] for part in rows]
        found = fit_posterior(rows[0], torch.ones(20).double(), rows[1], errors[1])
        inside.append(float((errors[2].abs() < found.std(rows[2])).double().mean()))
    assert sum(inside) / len(inside) == pytest.approx(0.644, abs=0.06)


def test_samples_have_the_spread_of_the_formula() -> None:
    found = fit_posterior(
        random_rows(9, 0), torch.ones(9).double(), random_rows(8, 3), random_rows(8, 2)[:, 0]
    )
    rows = random_rows(30, 4)
    samples = found.deviations(rows)
    torch.testing.assert_close(samples.sum(dim=1), torch.zeros(30).double())
    ratio = samples.std(dim=1) / found.std(rows)
    assert float(ratio.square().mean().sqrt()) == pytest.approx(1, abs=0.2)


def test_energies_are_linear_in_the_features(predictor: Predictor) -> None:
    """Moving the last weights of a round moves energies by that times the features."""
    model, fields = predictor.model, predictor.representation.compute(molecules(4))
    assert isinstance(model, NetworkModel)
    layers = model._atoms(fields)[1]
    own = fields.structure_index, fields.n_structures
    features = structure_features(layers, fields.kinds, *own, 2)
    move = torch.linspace(-1, 1, 4).double()
    weights = dict(model.weights)
    name = "rounds.1.readout.last.weight"
    weights[name] = weights[name].clone()
    weights[name][0] += move
    moved = replace(model, weights=weights).predict(fields) - model.predict(fields)
    torch.testing.assert_close(moved[:, 0], features[:, 4:8] @ move)
    weights = {**model.weights, "rounds.0.readout.last.bias": torch.ones(2).double()}
    weights["rounds.0.readout.last.bias"][1] = model.weights["rounds.0.readout.last.bias"][1]
    moved = replace(model, weights=weights).predict(fields) - model.predict(fields)
    shift = 1 - model.weights["rounds.0.readout.last.bias"][0]
    torch.testing.assert_close(moved[:, 0], features[:, -2:].sum(dim=1) * shift)


def test_bars_of_energies_and_forces_survive_the_file(tmp_path, predictor: Predictor) -> None:
    structures = molecules(4)
    found = predictor.predict(structures, forces=True, std=True)
    save(predictor, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors").predict(structures, forces=True, std=True)
    for name in ("values", "std", "forces_std"):
        torch.testing.assert_close(getattr(again, name), getattr(found, name))
    assert bool((found.std > 0).all())
    assert found.forces_std.shape == structures.positions.shape


def test_bars_of_forces_are_those_of_the_slope_of_the_features(predictor: Predictor) -> None:
    structures = molecules(2)
    found = predictor.predict(structures, forces=True, std=True).forces_std
    features, model = [], predictor.model
    assert isinstance(predictor.representation, FieldSet)
    for step in (1e-4, -1e-4):
        positions = structures.positions.clone()
        positions[0, 0] += step
        fields = predictor.representation.compute(replace(structures, positions=positions))
        features.append(model._energies_and_features(fields)[1][0])
    slope = (features[0] - features[1]) / 2e-4
    exact = float(model.posterior.std(slope[None])[0])
    assert float(found[0, 0]) == pytest.approx(exact, rel=0.4)  # 32 samples: 13 % at one sigma
    samples = model.posterior.deviations(slope[None])[0]
    assert float(found[0, 0]) == pytest.approx(float(samples.std()), rel=1e-4)


def test_without_a_validation_set_there_are_no_bars() -> None:
    predictor = trained(replace(SETTINGS, steps=1, validation=0.0), n=6)
    with pytest.raises(ValueError, match=r"larger estimator\.validation"):
        predictor.predict(molecules(1), std=True)
    assert predictor.predict(molecules(1)).std is None


@pytest.mark.parametrize(("n_groups", "known"), [(9, False), (13, True)])
@pytest.mark.parametrize("n_members", [1, 2])
def test_a_scale_needs_groups_that_were_set_aside(n_groups, known, n_members) -> None:
    """Errors within a group are alike: many structures of two groups tell no scale."""
    structures = molecules(4 * n_groups)
    groups = torch.arange(4 * n_groups) // 4
    settings = replace(SETTINGS, n_members=n_members)
    found = fit_network(
        settings, FieldSet.of(FEATURES), structures, energies(structures), groups=groups
    )
    assert len(groups[validation_set(len(groups), groups, settings)].unique()) == (
        5 if known else 3
    )
    fields = FieldSet.of(FEATURES).compute(structures[:3])
    if known:
        assert bool((found.predict_with_std(fields)[1] > 0).all())
    else:
        with pytest.raises(ValueError, match="fewer than 5 groups"):
            found.predict_with_std(fields)
