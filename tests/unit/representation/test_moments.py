"""Components toward numbers of atoms are those of principal covariates regression."""

from dataclasses import replace

import pytest
import torch
from sklearn.linear_model import LinearRegression
from skmatter.decomposition import PCovR

from crystals import random_structures
from multilode.representation.representation import Representation
from multilode.representation.sources.moments import Moments
from multilode.representation.sources.recipes import Described
from toy_tensors import FIELDS

pytestmark = pytest.mark.filterwarnings("ignore:surroundings vary in fewer")


def environments(n=200):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 6, generator=generator, dtype=torch.float64)
    x = x @ torch.randn(6, 6, generator=generator, dtype=torch.float64) + 3
    noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    y = x @ torch.randn(6, 2, generator=generator, dtype=torch.float64) + 0.1 * noise - 5
    return x, y


@pytest.mark.parametrize("mixing", [0.1, 0.5, 1.0])
def test_components_are_those_of_scikit_matter(mixing):
    x, y = environments()
    moments = Moments.of(x[:80], y[:80]).joined(Moments.of(x[80:], y[80:]))
    found = (x - moments.mean) @ moments.components(3, mixing)
    apart, numbers = x - x.mean(dim=0), y - y.mean(dim=0)
    scaled = [part / (part.square().sum() / len(part)).sqrt() for part in (apart, numbers)]
    peer = PCovR(
        mixing=mixing,
        n_components=3,
        space="feature",
        svd_solver="full",
        regressor=LinearRegression(),
    )
    expected = torch.from_numpy(peer.fit(scaled[0].numpy(), scaled[1].numpy()).transform(scaled[0]))
    expected = expected / expected.std(dim=0, correction=0)
    signs = (found * expected).mean(dim=0).sign()
    torch.testing.assert_close(found * signs, expected, rtol=1e-7, atol=1e-7)


def test_one_component_toward_a_number_is_its_regression():
    """Whatever its share of the variance: here the direction that varies least."""
    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = x * torch.tensor([10.0, 5.0, 2.0, 0.1])
    found = Moments.of(x, x[:, 3:] + 7).components(1, 0.0)
    values = (x - x.mean(dim=0)) @ found
    assert abs(float(torch.corrcoef(torch.stack([values[:, 0], x[:, 3]]))[0, 1])) > 1 - 1e-9


def test_sources_toward_charges_follow_them_better_than_the_largest_variances():
    structures = random_structures((1, 6, 8), 30, seed=0)
    recipe = Representation(
        fields=FIELDS, products=(("rho", "V"),), species=(1, 6, 8), centers=(1, 6, 8)
    )
    whole = Described(components=6, cutoff=3.0).start("V", recipe, structures, 0)
    strengths = whole.strengths(structures)
    some = (whole.constants == 0).nonzero()[:, 0]
    charges = strengths[:, some] @ torch.arange(len(some)).double().remainder(6)
    marked = replace(structures, arrays={"q": charges})

    def unexplained(one):
        sources = one.start("V", recipe, marked, 0)
        assert sources.arrays == ()  # who predicts needs no charges
        columns = sources.strengths(marked)
        rest = charges - columns @ torch.linalg.lstsq(columns, charges[:, None]).solution[:, 0]
        return float(rest.square().mean().sqrt() / charges.std())

    toward = Described(components=1, cutoff=3.0, toward="q", mixing=0.1)
    assert unexplained(toward) < 0.5 * unexplained(replace(toward, toward=None))


def test_a_mixing_out_of_range_is_refused():
    with pytest.raises(ValueError, match="mixing is 2"):
        Described(mixing=2.0)
