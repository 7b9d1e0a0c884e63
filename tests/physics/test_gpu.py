"""The same numbers on a GPU as on a CPU, for every method."""

from dataclasses import replace

import pytest
import torch

from crystals import (
    isolated_cluster,
    species_of,
    stacked,
    structures_of,
    triclinic_perovskite,
    water_box,
)
from multilode.correlations import ContractionSettings
from multilode.expansion import (
    EwaldSplit,
    FieldExpansion,
    Mesh,
    PairSum,
    ReciprocalSum,
    expand,
)
from multilode.fields import SmearedPotential
from multilode.models import KernelRidge, Ridge
from multilode.radial import GaussianTypeOrbitals
from multilode.representation.representation import Representation
from multilode.symmetry.irrep import Irrep
from regressions import learned, tensor_regression
from ten_structures import slab, wire

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]

EXPANSION = FieldExpansion(SmearedPotential(0.9, 1.0), GaussianTypeOrbitals(4, 3.0), 3)
STRUCTURES = {
    "water": (water_box,),
    "isolated": (isolated_cluster,),
    "slab": (slab,),
    "wire": (wire,),
    "batch": (triclinic_perovskite, isolated_cluster, water_box, triclinic_perovskite),
}
METHODS = {
    "pairs": PairSum(1e-4),
    "direct": ReciprocalSum(1e-4),
    "mesh": Mesh(1e-4),
    "split": EwaldSplit(1e-4),
    "split, direct": EwaldSplit(1e-4, 1.5, ReciprocalSum),
    "auto": "auto",
}


def value_and_gradients(structures, species, method, tolerance):
    inputs = [t.clone().requires_grad_() for t in (structures.positions, structures.cell)]
    moved = replace(structures, positions=inputs[0], cell=inputs[1])
    found = expand(EXPANSION, moved, species=species, method=method, tolerance=tolerance)
    values = stacked(found)
    weights = torch.linspace(-1, 1, values.numel(), dtype=torch.float64).view(values.shape)
    total = (values * weights.to(values)).sum()
    return [values.detach(), *torch.autograd.grad(total, inputs, materialize_grads=True)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", STRUCTURES)
def test_values_and_gradients(name, method, dtype):
    """The same sums in another order: to rounding, magnified where large terms cancel."""
    atoms = [make() for make in STRUCTURES[name]]
    if method == "pairs" and name != "isolated":
        pytest.skip("a sum over all pairs of a periodic structure does not end")
    species, host = species_of(*atoms), structures_of(*atoms).to(dtype=dtype)
    expected = value_and_gradients(host, species, METHODS[method], 1e-4)
    found = value_and_gradients(host.to(device="cuda"), species, METHODS[method], 1e-4)
    rounding = 1e-9 if dtype == torch.float64 else 1e-3
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.device.type == "cuda"
        assert ours.dtype == dtype
        assert (ours.cpu() - theirs).abs().max() <= rounding * theirs.abs().max()


@pytest.mark.parametrize("method", ["direct", "mesh", "split"])
def test_second_derivatives(method):
    results = []
    for device in ("cpu", "cuda"):
        structures = structures_of(triclinic_perovskite()).to(device=device)
        positions = structures.positions.clone().requires_grad_()
        moved = replace(structures, positions=positions)
        blocks = expand(EXPANSION, moved, species=(8, 22, 38), method=METHODS[method])
        (force,) = torch.autograd.grad(stacked(blocks).cos().sum(), positions, create_graph=True)
        (second,) = torch.autograd.grad(force.square().sum(), positions)
        results.append(second.cpu())
    torch.testing.assert_close(*results, rtol=1e-8, atol=1e-8 * float(results[0].abs().max()))


def test_memory_of_the_device_is_foreseen():
    atoms = triclinic_perovskite()
    atoms.set_cell([20_000.0] * 3)
    structures = structures_of(atoms).to(device="cuda")
    with pytest.raises(ValueError, match=r"GiB that may be used on cuda"):
        expand(EXPANSION, structures, species=(8, 22, 38), method=Mesh(1e-4))


def test_models_of_tensors():
    """Features of third order, contracted; predictions and gradients where the structures are."""
    atoms = (water_box(), isolated_cluster())
    structures, species = structures_of(*atoms), species_of(*atoms)
    small = replace(EXPANSION, basis=GaussianTypeOrbitals(2, 3.0), max_angular=2)
    recipe = Representation(
        fields={"V": small},
        products=(("V", "V"), ("V", "V", "V")),
        species=species,
        centers=species,
        irreps=(Irrep(0), Irrep(2)),
        tolerance=1e-8,
    )
    recipe = recipe.contracted([structures], ContractionSettings(max_features=10))
    y = torch.randn(2, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = y + y.view(2, 3, 3).mT.reshape(2, 9)
    settings = {"regularization": 1e-3, "term_weights": (1.0, 1.0)}
    for estimator in (Ridge(**settings), KernelRidge(**settings)):
        regression = tensor_regression("symmetric", estimator)
        model, _ = learned(regression, recipe, recipe.compute(structures), y)
        found = []
        for device in ("cpu", "cuda"):
            there = structures.to(device=device)
            positions = there.positions.clone().requires_grad_()
            values = model.predict(recipe.compute(replace(there, positions=positions)))
            gradient = torch.autograd.grad(values.square().sum(), positions)[0]
            found.append((values.detach().cpu(), gradient.cpu()))
        for here, there in zip(*found, strict=True):
            scale = float(here.abs().max())
            torch.testing.assert_close(there, here, rtol=1e-6, atol=1e-7 * scale)
