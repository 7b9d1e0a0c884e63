"""Potential expansion (p = 1) of 96-atom water beside featomic, at equal accuracy."""

import featomic
import numpy as np
import torch
from systems import differentiable, to_structures, water_box
from timing import interleaved, result

from multilode.expand import FieldExpansion, ReciprocalSum, expand
from multilode.fields import SmearedPotential
from multilode.radial import GaussianTypeOrbitals

N_RADIAL, MAX_ANGULAR, RADIUS, SPECIES = 6, 4, 3.0, (1, 8)
PEER_CUTOFFS = (3.5, 3.77, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5)  # in units of 1 / smearing


def featomic_calculator(smearing, k_cutoff, spline):
    return featomic.LodeSphericalExpansion(
        density=featomic.density.SmearedPowerLaw(smearing=smearing, exponent=1),
        basis=featomic.basis.TensorProduct(
            max_angular=MAX_ANGULAR,
            radial=featomic.basis.Gto(max_radial=N_RADIAL - 1, radius=RADIUS),
            spline_accuracy=spline,
        ),
        k_cutoff=k_cutoff,
    )


def featomic_values(calculator, atoms):
    """All coefficients as {(l, neighbor): [atom, m, n]}."""
    values = {}
    for key, block in calculator.compute(atoms).items():
        place = (int(key["o3_lambda"]), int(key["neighbor_type"]))
        shape = (len(atoms), *block.values.shape[1:])
        target = values.setdefault(place, np.zeros(shape))
        target[np.array(block.samples.column("atom"))] = block.values
    return values


def our_values(tolerance, structures, smearing):
    expansion = FieldExpansion(
        SmearedPotential(smearing, 1.0), GaussianTypeOrbitals(N_RADIAL, RADIUS), MAX_ANGULAR
    )
    return expand(expansion, structures, species=SPECIES, method=ReciprocalSum(tolerance))


def deviation_of_peer(values, reference):
    scale = max(np.abs(v).max() for v in reference.values())
    return max(np.abs(values[key] - reference[key]).max() for key in reference) / scale


def deviation_of_ours(equivariants, reference):
    scale = max(np.abs(v).max() for v in reference.values())
    worst = 0.0
    for irrep, block in equivariants.blocks.items():
        for k, species in enumerate(SPECIES):
            mine = block[:, :, k * N_RADIAL : (k + 1) * N_RADIAL].numpy()
            worst = max(worst, np.abs(mine - reference[irrep.degree, species]).max())
    return worst / scale


def run(threads):
    atoms = water_box()
    structures = to_structures(atoms)
    entries = []
    for smearing in (1.0, 0.5):
        exact = featomic_values(featomic_calculator(smearing, 9.5 / smearing, None), atoms)
        for tolerance in (1e-4, 1e-6, 1e-8):
            peer, peer_error = converged_peer(atoms, smearing, tolerance, exact)
            ours_error = deviation_of_ours(our_values(tolerance, structures, smearing), exact)
            entries += time_case(
                atoms, structures, smearing, tolerance, peer, threads,
                ours_error=ours_error, peer_error=peer_error,
            )  # fmt: skip
    return entries


def converged_peer(atoms, smearing, tolerance, exact):
    """The cheapest featomic calculator that reaches the tolerance."""
    for factor in PEER_CUTOFFS:
        calculator = featomic_calculator(smearing, factor / smearing, tolerance / 10)
        error = deviation_of_peer(featomic_values(calculator, atoms), exact)
        if error <= tolerance:
            return calculator, error
    raise RuntimeError(f"featomic does not reach {tolerance}")


def time_case(atoms, structures, smearing, tolerance, peer, threads, **errors):
    def ours():
        with torch.no_grad():
            our_values(tolerance, structures, smearing)

    moving = differentiable(structures)
    generator = torch.Generator().manual_seed(0)
    blocks = our_values(tolerance, structures, smearing).blocks.values()
    cotangents = [torch.randn(b.shape, dtype=b.dtype, generator=generator) for b in blocks]

    def ours_backward():
        blocks = our_values(tolerance, moving, smearing).blocks.values()
        torch.autograd.grad(list(blocks), (moving.positions, moving.cell), cotangents)

    name = f"LODE expansion, 96-atom water, smearing {smearing}"
    entries = []
    for what, mine, theirs, rounds in (
        ("values", ours, lambda: peer.compute(atoms), 9),
        ("values + derivatives", ours_backward, lambda: gradients(peer, atoms), 3),
    ):
        seconds = interleaved(mine, theirs, rounds)
        entries.append(
            result(f"{name}, {what}", "featomic", seconds, tolerance=tolerance, threads=threads,
                   peer_threads=threads, **errors)
        )  # fmt: skip
    return entries


def gradients(calculator, atoms):
    return calculator.compute(atoms, gradients=["positions"])
