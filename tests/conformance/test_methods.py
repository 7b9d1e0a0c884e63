"""A method by its name and by its class is one method, and a method of one's own is one of them."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, final

import pytest
import torch

from crystals import isolated_cluster, species_of, structures_of, triclinic_perovskite, water_box
from multilode.equivariants.blocks import Equivariants
from multilode.expansion import (
    METHODS,
    AbstractMethod,
    Estimate,
    FieldExpansion,
    PairSum,
    Problem,
    ReciprocalSum,
    Workload,
    expand,
)
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.fields.cutoffs import StepCutoff
from multilode.radial import Monomials
from multilode.representation.representation import Representation
from multilode.testing import check_method
from often import often

BASIS = Monomials(2, 1.5)
POTENTIAL = FieldExpansion(SmearedPotential(0.7, 1.0), BASIS, 2)
DENSITY = FieldExpansion(GaussianDensity(0.6), BASIS, 2, 3.0)
EXPANSIONS = {
    "potential": POTENTIAL,
    "under a cutoff": replace(POTENTIAL, neighbor_cutoff=4.0),
    "near": replace(POTENTIAL, range="near", near_radius=3.0),
    "far": replace(POTENTIAL, range="far", near_radius=3.0),
    "density": DENSITY,
    "density, nothing cut": replace(DENSITY, neighbor_cutoff=12.0, cutoff_function=StepCutoff()),
}
PERIODICITIES = {"crystal": [True] * 3, "slab": [True, True, False], "molecule": [False] * 3}


def outcome(attempt: Callable[[], Equivariants]) -> tuple[str, list[torch.Tensor]]:
    """Coefficients, or the words of the refusal."""
    try:
        return "", list(attempt().blocks.values())
    except ValueError as error:
        return str(error), []


KINDS = list(itertools.product(EXPANSIONS, PERIODICITIES))
USUAL = [(k, p) for k, p in KINDS if p == "crystal" or k in ("potential", "density")]


@pytest.mark.parametrize(("kind", "periodicity"), often(KINDS, USUAL))
@pytest.mark.parametrize("name", METHODS)
def test_a_name_and_its_class_give_one_answer_or_one_refusal(name, kind, periodicity):
    atoms = triclinic_perovskite()
    atoms.pbc = PERIODICITIES[periodicity]
    given = (EXPANSIONS[kind], structures_of(atoms))
    for tolerance in (None, 1e-5):
        by_name, by_class = (
            outcome(
                lambda m=m, t=tolerance: expand(*given, species=(8, 22, 38), method=m, tolerance=t)
            )
            for m in (name, METHODS[name]())
        )
        assert by_name[0] == by_class[0]
        for a, b in zip(by_name[1], by_class[1], strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", ["under a cutoff", "density"])
def test_a_cutoff_is_honored_or_refused(name, kind):
    """Whatever answers, answers as the sum over pairs does."""
    structures = structures_of(triclinic_perovskite())
    given = {"species": (8, 22, 38), "tolerance": 1e-8}
    said, blocks = outcome(lambda: expand(EXPANSIONS[kind], structures, method=name, **given))
    if METHODS[name].honors_cutoff:
        exact = expand(EXPANSIONS[kind], structures, method="auto", **given)
        for found, expected in zip(blocks, exact.blocks.values(), strict=True):
            torch.testing.assert_close(found, expected)
    else:
        assert (
            f"{METHODS[name].__name__} sums the field of all atoms, but the expansion has" in said
        )
        assert "neighbor_cutoff of" in said
        assert "use method auto or PairSum, or " in said


def test_the_method_of_a_representation_is_for_expansions_without_a_cutoff():
    structures = structures_of(triclinic_perovskite())
    recipe = Representation(
        fields={"rho": DENSITY, "V": POTENTIAL},
        products=(("rho", "V"),),
        species=(8, 22, 38),
        centers=(8, 22, 38),
        tolerance=1e-8,
    )
    (first,), (second,) = (
        recipe.compute(structures).invariants for recipe in (recipe, replace(recipe, method="mesh"))
    )
    assert 0 < (first - second).abs().max() < 1e-6 * first.abs().max()


@final
@dataclass(frozen=True)
class Images(AbstractMethod):
    """A toy: neighbors within a shell of images, for fields that fall off fast."""

    includes_center: ClassVar[bool] = False
    honors_cutoff: ClassVar[bool] = False
    takes_strengths: ClassVar[bool] = True
    tolerance: float | None = None
    shell: float = 18.0

    def __post_init__(self) -> None:
        if self.tolerance is not None and self.tolerance > 1e-2:
            raise ValueError(f"tolerance is {self.tolerance}; give at most 0.01")

    def coefficients(self, problem: Problem) -> list[torch.Tensor]:
        """Those of a sum over pairs that is cut where nothing is left."""
        cut = replace(problem.expansion, neighbor_cutoff=self.shell, cutoff_function=StepCutoff())
        return PairSum().coefficients(replace(problem, expansion=cut))

    def estimate(self, workload: Workload) -> Estimate:
        """Always the cheapest, it says."""
        return Estimate(0.0, self)


FAST = FieldExpansion(SmearedPotential(0.6, 14.0), BASIS, 2)


@pytest.mark.parametrize("make", [triclinic_perovskite, isolated_cluster])
def test_a_method_of_ones_own_passes_without_a_row(make):
    atoms = make()
    structures = structures_of(atoms)
    expected = expand(FAST, structures, species=species_of(atoms), method=ReciprocalSum(1e-10))
    check_method(Images(), FAST, structures, expected)
    check_method(Images(1e-9, 20.0), FAST, structures, expected)


@pytest.mark.parametrize(("own", "cut"), [(True, False), (False, True)])
def test_a_method_that_declares_a_wrong_fact_is_found(own, cut):
    @final
    @dataclass(frozen=True)
    class Wrong(AbstractMethod):
        includes_center: ClassVar[bool] = own
        honors_cutoff: ClassVar[bool] = cut
        takes_strengths: ClassVar[bool] = True
        tolerance: float | None = None

        def __post_init__(self) -> None:
            Images(self.tolerance)

        def coefficients(self, problem: Problem) -> list[torch.Tensor]:
            return Images().coefficients(problem)

        def estimate(self, workload: Workload) -> None:
            return None

    structures = structures_of(triclinic_perovskite())
    expected = expand(FAST, structures, species=(8, 22, 38), method=ReciprocalSum(1e-10))
    with pytest.raises(AssertionError):
        check_method(Wrong(), FAST, structures, expected)


@final
@dataclass(frozen=True)
class BySpecies(AbstractMethod):
    """A toy of the old days: it knows the species of an atom, and no strengths."""

    includes_center: ClassVar[bool] = False
    honors_cutoff: ClassVar[bool] = False
    takes_strengths: ClassVar[bool] = False
    tolerance: float | None = None

    def __post_init__(self) -> None:
        Images(self.tolerance)

    def coefficients(self, problem: Problem) -> list[torch.Tensor]:
        """Those of the other toy, of which this one sees no strengths."""
        return Images().coefficients(replace(problem, strengths=None))

    def estimate(self, workload: Workload) -> Estimate:
        """Always the cheapest, it says."""
        return Estimate(0.0, self)


def test_a_method_without_strengths_is_refused_them_and_not_chosen(monkeypatch):
    structures = structures_of(triclinic_perovskite())
    expected = expand(FAST, structures, species=(8, 22, 38), method=ReciprocalSum(1e-10))
    check_method(BySpecies(), FAST, structures, expected)
    strengths = torch.ones((structures.n_atoms, 1), dtype=torch.float64)
    with pytest.raises(ValueError, match=r"BySpecies sums the atoms of each species, but str"):
        expand(FAST, structures, strengths=strengths, method=BySpecies())
    own = expand(FAST, structures, strengths=strengths).blocks.values()
    monkeypatch.setitem(METHODS, "by_species", BySpecies)
    chosen = expand(FAST, structures, strengths=strengths).blocks.values()
    for found, block in zip(chosen, own, strict=True):
        torch.testing.assert_close(found, block, rtol=0, atol=0)


def test_a_method_that_claims_to_take_strengths_is_found(monkeypatch):
    structures = structures_of(triclinic_perovskite())
    expected = expand(FAST, structures, species=(8, 22, 38), method=ReciprocalSum(1e-10))

    def halved(self: Images, problem: Problem) -> list[torch.Tensor]:
        cut = replace(problem.expansion, neighbor_cutoff=18.0, cutoff_function=StepCutoff())
        blocks = PairSum().coefficients(replace(problem, expansion=cut))
        return blocks if problem.strengths is None else [0.5 * block for block in blocks]

    monkeypatch.setattr(Images, "coefficients", halved)
    with pytest.raises(AssertionError):
        check_method(Images(), FAST, structures, expected)


def test_a_row_takes_part_in_auto_and_has_a_name(monkeypatch):
    structures, species = structures_of(water_box()), (1, 8)
    expected = expand(FAST, structures, species=species, tolerance=1e-9)
    monkeypatch.setitem(METHODS, "images", Images)
    by_name = expand(FAST, structures, species=species, method="images", tolerance=1e-9)
    chosen = expand(FAST, structures, species=species, tolerance=1e-9)
    for irrep, block in by_name.blocks.items():
        torch.testing.assert_close(chosen.blocks[irrep], block, rtol=0, atol=0)
        scale = float(expected.blocks[irrep].abs().max())
        torch.testing.assert_close(expected.blocks[irrep], block, rtol=0, atol=1e-8 * scale)
    with pytest.raises(ValueError, match=r"choose among auto, pair_sum, .*, mesh, images"):
        expand(FAST, structures, species=species, method="image")
