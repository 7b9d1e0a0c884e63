"""Equivariants of second order and invariants of third order of 96-atom water, beside featomic.

featomic differentiates expansions only. What its user can do for products is done here: the product
in its torch backend, one backward pass to the coefficients, and the contraction with the Jacobian
of the expansion (positions only; our backward pass gives the cell too).
"""

import featomic
import numpy as np
import torch
from featomic.clebsch_gordan import DensityCorrelations, EquivariantPowerSpectrum
from metatensor import Labels, TensorBlock, TensorMap
from systems import differentiable, to_structures, water_box
from timing import interleaved, result

from multilode.correlations import correlate, equivariant_power_spectrum
from multilode.equivariants.blocks import Equivariants
from multilode.expansion import FieldExpansion, expand
from multilode.fields import GaussianDensity
from multilode.fields.cutoffs import ShiftedCosine
from multilode.radial import GaussianTypeOrbitals
from multilode.symmetry.irrep import Irrep

N_RADIAL, MAX_ANGULAR, SMEARING, CUTOFF, SPECIES = 6, 4, 0.3, 3.0, (1, 8)
DEGREES = (0, 1, 2)
DENSITY = FieldExpansion(
    GaussianDensity(SMEARING),
    GaussianTypeOrbitals(N_RADIAL, CUTOFF),
    MAX_ANGULAR,
    neighbor_cutoff=CUTOFF,
    cutoff_function=ShiftedCosine(0.5),
)


def second_order(structures, degrees):
    field = expand(DENSITY, structures, species=SPECIES)
    return equivariant_power_spectrum(field, field, [Irrep(l) for l in degrees])


def third_order(structures):
    field = expand(DENSITY, structures, species=SPECIES)
    return correlate([field] * 3, [Irrep(0)])


def featomic_density():
    return featomic.SphericalExpansion(
        cutoff=featomic.cutoff.Cutoff(
            radius=CUTOFF, smoothing=featomic.cutoff.ShiftedCosine(width=0.5)
        ),
        density=featomic.density.Gaussian(width=SMEARING),
        basis=featomic.basis.TensorProduct(
            max_angular=MAX_ANGULAR,
            radial=featomic.basis.Gto(max_radial=N_RADIAL - 1, radius=CUTOFF),
        ),
    )


def keys(degrees):
    return Labels(["o3_lambda", "o3_sigma"], np.array([[l, 1] for l in degrees]))


def expanded(calculator, atoms, *, gradients):
    density = calculator.compute(atoms, gradients=["positions"] if gradients else [])
    neighbors = Labels(["neighbor_type"], np.array(SPECIES)[:, None])
    return density.keys_to_properties(neighbors)


def correlations(order, backend, *, skip_redundant=True):
    return DensityCorrelations(
        n_correlations=order - 1,
        max_angular=MAX_ANGULAR,
        skip_redundant=skip_redundant,
        arrays_backend=backend,
        dtype=torch.float64 if backend == "torch" else np.float64,
        device="cpu",
    )


def peer_derivatives(calculator, product, atoms, degrees):
    """Position gradient of half the sum of squares of all features."""
    density = expanded(calculator, atoms, gradients=True)
    leaves = [torch.from_numpy(np.array(b.values)).requires_grad_() for b in density.blocks()]
    blocks = [
        TensorBlock(values, b.samples, b.components, b.properties)
        for values, b in zip(leaves, density.blocks(), strict=True)
    ]
    plain = TensorMap(density.keys, blocks)
    features = product.compute(plain, angular_cutoff=MAX_ANGULAR, selected_keys=keys(degrees))
    energy = sum(0.5 * (block.values**2).sum() for block in features.blocks())
    adjoints = torch.autograd.grad(energy, leaves, allow_unused=True)
    forces = np.zeros((len(atoms), 3))
    for block, adjoint in zip(density.blocks(), adjoints, strict=True):
        if adjoint is None:
            continue
        jacobian = block.gradient("positions")
        sample = jacobian.samples.column("sample")
        part = np.einsum("gxmp,gmp->gx", jacobian.values, adjoint.numpy()[sample])
        np.add.at(forces, jacobian.samples.column("atom"), part)
    return forces


def our_derivatives(moving, compute):
    blocks = compute(moving).blocks
    energy = sum(0.5 * (block**2).sum() for block in blocks.values())
    return torch.autograd.grad(energy, [moving.positions, moving.cell])


def gram(block):
    rows = block.reshape(len(block), -1, block.shape[-1])
    return np.einsum("imq,jmq->ij", rows, rows, optimize=True)


def error(ours: Equivariants, theirs, weight) -> float:
    """Largest deviation of scalar products of features, relative to the largest one."""
    worst = 0.0
    for irrep, block in ours.blocks.items():
        total = {}
        for key, peer in theirs.items():
            if int(key["o3_lambda"]) != irrep.degree:
                continue
            kind = int(key["center_type"])
            values = peer.values.detach() if torch.is_tensor(peer.values) else peer.values
            columns = np.array(values) * weight(key, peer)
            atoms = np.array(peer.samples.column("atom"))
            rows, squares = total.get(kind, (atoms, 0.0))
            total[kind] = (rows, squares + gram(columns))
        for rows, squares in total.values():
            mine = gram(block.detach().numpy()[rows])
            worst = max(worst, np.abs(mine - squares).max() / np.abs(squares).max())
    return worst


def unordered(_key, block):
    """featomic leaves out l_1 > l_2 without a weight."""
    l1, l2 = (block.properties.column(name) for name in ("l_1", "l_2"))
    return np.where(l1 == l2, 1.0, np.sqrt(2))


def run(threads):
    atoms = water_box()
    calculator = featomic_density()
    entries = []
    for degrees in (*((l,) for l in DEGREES), DEGREES):
        entries += second_order_cases(calculator, atoms, degrees, threads)
    return entries + third_order_cases(calculator, atoms, threads)


def second_order_cases(calculator, atoms, degrees, threads):
    structures, spectrum = (
        to_structures(atoms),
        EquivariantPowerSpectrum(calculator, neighbor_types=list(SPECIES)),
    )
    moving, product = differentiable(structures), correlations(2, "torch")

    def ours():
        with torch.no_grad():
            return second_order(structures, degrees)

    def peer():
        return spectrum.compute(atoms, selected_keys=keys(degrees), neighbors_to_properties=True)

    name = f"equivariants of order 2, lambda = {', '.join(map(str, degrees))}"
    same = {"tolerance": 1e-8, "threads": threads, "ours_error": error(ours(), peer(), unordered)}
    derivatives = interleaved(
        lambda: our_derivatives(moving, lambda s: second_order(s, degrees)),
        lambda: peer_derivatives(calculator, product, atoms, degrees),
        rounds=5,
    )
    return [
        result(f"{name}: values", "featomic", interleaved(ours, peer, rounds=5), **same),
        result(f"{name}: derivatives", "featomic", derivatives, **same),
    ]


def third_order_cases(calculator, atoms, threads):
    structures = to_structures(atoms)
    moving = differentiable(structures)

    def ours():
        with torch.no_grad():
            return third_order(structures)

    def peer(product):
        density = expanded(calculator, atoms, gradients=False)
        return product.compute(density, angular_cutoff=MAX_ANGULAR, selected_keys=keys((0,)))

    complete = peer(correlations(3, "numpy", skip_redundant=False))  # of known scalar products
    deviation = error(ours(), complete, lambda _key, _block: 1.0)
    same = {"tolerance": 1e-8, "threads": threads, "ours_error": deviation}
    fast, differentiated = correlations(3, "numpy"), correlations(3, "torch")
    values = interleaved(ours, lambda: peer(fast), rounds=3)
    derivatives = interleaved(
        lambda: our_derivatives(moving, third_order),
        lambda: peer_derivatives(calculator, differentiated, atoms, (0,)),
        rounds=3,
    )
    name = "invariants of order 3"
    return [
        result(f"{name}: values", "featomic", values, **same),
        result(f"{name}: derivatives", "featomic", derivatives, **same),
    ]
