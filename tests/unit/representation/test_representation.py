import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crystals import isolated_cluster, rock_salt, species_of, structures_of, water_in_box
from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.labels import FeatureLabels
from multilode.expansion import METHODS, FieldExpansion, PairSum, expand
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.fields.cutoffs import ShiftedCosine
from multilode.radial import GaussianTypeOrbitals, Monomials
from multilode.representation.representation import Representation
from multilode.symmetry.irrep import INVARIANT

RHO = FieldExpansion(GaussianDensity(0.5), GaussianTypeOrbitals(3, 3.0), 2, 3.0)
V = FieldExpansion(SmearedPotential(0.8, 1.0), Monomials(2, 2.0), 2)
W = FieldExpansion(SmearedPotential(1.0, 6.0), GaussianTypeOrbitals(2, 3.0), 2)


def representation(**changes):
    given = {
        "fields": {"rho": RHO, "V": V, "W": W},
        "products": (("rho", "rho"), ("rho", "V"), ("V", "W"), ("V",)),
        "species": (1, 6, 8),
        "centers": (1, 8),
    }
    return Representation(**{**given, **changes})


BATCH = structures_of(water_in_box(), isolated_cluster())


def test_terms_and_labels():
    features = representation().compute(BATCH)
    n_rho, n_v = 3 * 3, 3 * 2
    sizes = [n_rho * (n_rho + 1) // 2 * 3, n_rho * n_v * 3, n_v * n_v * 3, n_v]
    assert [x.shape[1] for x in features.invariants] == sizes
    assert [len(t.labels[INVARIANT]) for t in features.terms] == sizes
    assert features.joined().shape == (len(features.centers), sum(sizes))
    assert features.terms[3].labels[INVARIANT].names == ("species", "n")
    assert features.n_structures == 2


def test_centers_are_those_of_the_chosen_species():
    features = representation().compute(BATCH)
    wanted = torch.isin(BATCH.species, torch.tensor([1, 8]))
    assert features.centers.tolist() == wanted.nonzero().flatten().tolist()
    assert torch.equal(features.center_species, BATCH.species[features.centers])
    assert torch.equal(features.structure_index, BATCH.structure_index[features.centers])
    everything = representation(centers=(1, 6, 8)).compute(BATCH).joined()
    torch.testing.assert_close(features.joined(), everything[features.centers])


def test_tables_made_in_inference_mode_serve_gradients_as_well():
    """Parameters that no other test uses: the tables are made here and then taken from caches."""
    field, basis = SmearedPotential(0.81, 1.1), GaussianTypeOrbitals(2, 1.9)
    rho = FieldExpansion(GaussianDensity(0.47), basis, 2, 2.9)
    recipe = representation(
        fields={"rho": rho, "V": FieldExpansion(field, basis, 2)},
        products=(("rho", "rho"), ("V", "V")),
    )
    with torch.inference_mode():
        expected = recipe.compute(structures_of(water_in_box(), isolated_cluster())).joined()
    positions = BATCH.positions.clone().requires_grad_()
    found = recipe.compute(replace(BATCH, positions=positions)).joined()
    torch.testing.assert_close(found.detach(), expected.clone())
    (gradient,) = torch.autograd.grad(found.square().sum(), positions, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), positions)
    assert torch.isfinite(second).all()
    assert (second != 0).any()


def test_structures_without_centers():
    only_carbon = representation(centers=(6,)).compute(BATCH)
    assert only_carbon.structure_index.tolist() == [1]
    none = representation(centers=(6,)).compute(structures_of(water_in_box()))
    assert none.joined().shape == (0, only_carbon.joined().shape[1])
    assert none.n_structures == 1


def test_columns_do_not_depend_on_the_structures():
    one = representation().compute(structures_of(water_in_box()))
    both = representation().compute(BATCH)
    for alone, together in zip(
        [t.labels[INVARIANT] for t in one.terms],
        [t.labels[INVARIANT] for t in both.terms],
        strict=True,
    ):
        assert alone.names == together.names
        np.testing.assert_array_equal(alone.values, together.values)
    torch.testing.assert_close(both.joined()[:3], one.joined())


def test_unknown_species_are_named():
    with pytest.raises(
        ValueError, match=r"structure 1: contains atomic number 11, .* train on data"
    ):
        representation().compute(structures_of(water_in_box(), rock_salt()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"products": (("rho", "U"),)},
            r"names the field 'U'; defined are \['V', 'W', 'rho'\]",
        ),
        ({"products": ((),)}, "a product is empty"),
        ({"products": ()}, "at least one product"),
        ({"species": (8, 1)}, "must ascend"),
        ({"species": (1, 1, 8)}, "must ascend"),
        ({"centers": (1, 9)}, "must be among the species"),
        ({"centers": ()}, "must be among the species"),
        (
            {"fields": {"rho": RHO, "V": FieldExpansion(V.field, V.basis, 3), "W": W}},
            "max_angular .* make them equal",
        ),
    ],
)
def test_bad_recipes(changes, message):
    with pytest.raises(ValueError, match=message):
        representation(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_angular": -1}, "max_angular is -1; .* between 0 and 20"),
        ({"max_angular": 30}, "max_angular is 30"),
        ({"neighbor_cutoff": 0.0}, r"cutoff is 0\.0 Å; it must be positive"),
        ({"neighbor_cutoff": math.nan}, "cutoff is nan"),
        ({"center_weight": 1.5}, "center_weight is 1.5; it must lie in"),
        ({"center_weight": math.nan}, "center_weight is nan"),
    ],
)
def test_bad_expansions(changes, message):
    given = {
        "field": GaussianDensity(0.5),
        "basis": Monomials(2, 3.0),
        "max_angular": 2,
        "neighbor_cutoff": 3.0,
    }
    with pytest.raises(ValueError, match=message):
        FieldExpansion(**{**given, **changes})


WRONG_TYPES = """
from dataclasses import replace
from test_representation import BATCH, V, representation
from multilode.expansion import METHODS, Mesh, expand

for given in ({"tolerance": "1e-4"}, {"tolerance": True}, {"tolerance": [1e-4]},
              {"tolerance": float("nan")}, {"method": Mesh}, {"method": 3}, {"method": V}):
    for attempt in (lambda: expand(V, BATCH, species=representation().species, **given),
                    lambda: replace(representation(), **given)):
        try:
            attempt()
        except (TypeError, ValueError) as error:
            print(f"{type(error).__name__}: {error}")
"""


def test_values_of_a_wrong_type_are_named():
    """In a process of its own: here all types are checked before the library sees them."""
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2]), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", WRONG_TYPES],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    said = done.stdout.splitlines()
    number = "give a number between 1e-12 and 0.01, or None for the default"
    names = "auto, pair_sum, reciprocal_sum, ewald_split, mesh"
    assert len(said) == 14
    for first, start in enumerate(
        [
            f"TypeError: tolerance is '1e-4'; {number}",
            f"TypeError: tolerance is True; {number}",
            f"TypeError: tolerance is [0.0001]; {number}",
            "ValueError: tolerance is nan; it must lie between 1e-12 and 0.01",
        ]
    ):
        assert said[2 * first] == said[2 * first + 1] == start
    assert said[8] == "TypeError: method is the class Mesh; give an instance, Mesh(...)"
    assert said[9] == f"TypeError: method is the class Mesh; give a name: {names}"
    assert said[10] == said[11] == f"TypeError: method is 3; give a name: {names}"
    assert said[12] == said[13]
    assert said[12].startswith("TypeError: method is FieldExpansion(")


def test_methods_say_what_they_cannot_do():
    box = structures_of(water_in_box())
    with pytest.raises(
        ValueError, match="periodic structure does not end; give the field a cutoff"
    ):
        expand(V, box, species=(1, 8), method=PairSum(1e-10))
    slab = water_in_box()
    slab.pbc = (True, True, False)
    with pytest.raises(
        ValueError, match="periodic structure does not end; give the field a cutoff"
    ):
        expand(V, structures_of(slab), species=(1, 8), method=PairSum(1e-10))
    with pytest.raises(ValueError, match="must ascend without repetition"):
        expand(V, box, species=(8, 1))


def test_species_that_are_periodic_only_in_part_still_have_a_density():
    """A cutoff needs no lattice sum: a slab works in real space."""
    slab, box = water_in_box((7.0, 8.0, 30.0)), water_in_box((7.0, 8.0, 30.0))
    slab.pbc = (True, True, False)
    left, right = (expand(RHO, structures_of(a), species=species_of(a)).blocks for a in (slab, box))
    for irrep, values in right.items():
        torch.testing.assert_close(left[irrep], values)


def test_recipes_compare_by_value():
    assert representation() == representation()
    assert representation(centers=(1,)) != representation()
    assert FieldExpansion(V.field, V.basis, 2, None, ShiftedCosine(0.5)) == V
    assert set(METHODS) == {"pair_sum", "reciprocal_sum", "ewald_split", "mesh"}


def test_features_check_their_labels():
    labels = FeatureLabels(("n",), np.zeros((3, 1), dtype=np.int64))
    centers = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"has shape \(2, 1, 4\), not \(2, 1, 3\)"):
        Equivariants({INVARIANT: torch.zeros(2, 1, 4)}, {INVARIANT: labels}, centers)
    with pytest.raises(ValueError, match="2 names for 1 label columns"):
        FeatureLabels(("n", "l"), np.zeros((3, 1), dtype=np.int64))
