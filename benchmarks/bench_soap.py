"""SOAP power spectrum of 96-atom water beside featomic and DScribe."""

import dscribe.descriptors
import featomic
import torch
from systems import differentiable, to_structures, water_box
from timing import interleaved, result

from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity
from multilode.fields.cutoffs import ShiftedCosine
from multilode.radial import GaussianTypeOrbitals
from multilode.representation.representation import Representation

N_RADIAL, MAX_ANGULAR, SMEARING = 8, 6, 0.3


def representation(cutoff):
    density = FieldExpansion(
        GaussianDensity(SMEARING),
        GaussianTypeOrbitals(N_RADIAL, cutoff),
        MAX_ANGULAR,
        neighbor_cutoff=cutoff,
        cutoff_function=ShiftedCosine(0.5),
    )
    return Representation(
        fields={"rho": density},
        products=(("rho", "rho"),),
        species=(1, 8),
        centers=(1, 8),
    )


def featomic_calculator(cutoff):
    return featomic.SoapPowerSpectrum(
        cutoff=featomic.cutoff.Cutoff(
            radius=cutoff, smoothing=featomic.cutoff.ShiftedCosine(width=0.5)
        ),
        density=featomic.density.Gaussian(width=SMEARING),
        basis=featomic.basis.TensorProduct(
            max_angular=MAX_ANGULAR,
            radial=featomic.basis.Gto(max_radial=N_RADIAL - 1, radius=cutoff),
        ),
    )


def run(threads):
    atoms = water_box()
    structures = to_structures(atoms)
    moving = differentiable(structures)
    entries = []
    for cutoff in (4.0, 6.0):
        ours = representation(cutoff)
        featomic_soap = featomic_calculator(cutoff)
        dscribe_soap = dscribe.descriptors.SOAP(
            species=["H", "O"], periodic=True, r_cut=cutoff, n_max=N_RADIAL, l_max=MAX_ANGULAR,
            sigma=SMEARING,
        )  # fmt: skip
        with torch.no_grad():
            cotangent = torch.randn_like(ours.compute(structures).invariants[0])
        entries += cases(
            ours, featomic_soap, dscribe_soap, atoms, structures, moving, cotangent, cutoff, threads
        )
    return entries


def cases(ours, featomic_soap, dscribe_soap, atoms, structures, moving, cotangent, cutoff, threads):
    def values():
        with torch.no_grad():
            ours.compute(structures)

    def backward():
        term = ours.compute(moving).invariants[0]
        torch.autograd.grad(term, (moving.positions, moving.cell), cotangent)

    name = f"SOAP power spectrum, 96-atom water, cutoff {cutoff}"
    timed = (
        ("values", values, "featomic", lambda: featomic_soap.compute(atoms), 15),
        ("values", values, "dscribe", lambda: dscribe_soap.create(atoms), 15),
        (
            "values + derivatives",
            backward,
            "featomic",
            lambda: featomic_soap.compute(atoms, gradients=["positions"]),
            5,
        ),
    )
    return [
        result(f"{name}, {what}", peer, interleaved(mine, theirs, rounds), tolerance=1e-8,
               threads=threads, peer_threads=1 if peer == "dscribe" else threads)
        for what, mine, peer, theirs, rounds in timed
    ]  # fmt: skip
