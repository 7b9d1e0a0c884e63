"""Networks on the fields of structures: channels, their invariants, and messages as sources.

    A_i = W c_i[species]              channels: learned mixtures of element and radial function
    e_i, q_i, p_i = MLP(B(A_i))       an energy, charges and dipoles of the atom
    A_i <- A_i + W c_i[q, p]          fields made by these charges and dipoles, in the next round

All fields take part: short-ranged densities carry messages between neighbors, potentials carry them
between all atoms.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast, final, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from multilode.equivariants.features import Per
from multilode.models.network.invariants import Invariants
from multilode.models.network.readout import Readout
from multilode.models.network.tensor_readout import TensorReadout
from multilode.models.network.weights import drawn
from multilode.models.reduce import Reduce
from multilode.numerics.modes import single_precision
from multilode.symmetry.coupling import clebsch_gordan


@final
@dataclass(frozen=True, kw_only=True)
class FieldSize:
    """Size of the coefficients of a field: largest l, and radial functions."""

    max_angular: int
    n_radial: int


@final
@dataclass(frozen=True, kw_only=True)
class TensorOutput:
    """What a network gives instead of energies.

    Args:
        kind: of tensor, a name in `TENSORS`.
        reduce: sum or mean over the atoms of a structure.
        per: "structure", or "atom" for each atom by itself.
    """

    kind: str
    reduce: Reduce
    per: Per


@final
@dataclass(frozen=True, kw_only=True)
class NetworkSize:
    """Everything that fixes the shapes of the weights.

    Args:
        fields: of each field.
        n_species: number of elements.
        channels: mixtures of every l.
        n_hidden: width of the layers of readouts.
        rounds: readouts, each but the last of which makes sources for the next.
        charges: sources without direction per atom and round.
        dipoles: sources with one.
        tensor: of atoms, if the network does not give energies.
    """

    fields: Mapping[str, FieldSize]
    n_species: int
    channels: int
    n_hidden: int
    rounds: int
    charges: int
    dipoles: int
    tensor: TensorOutput | None = None

    @property
    def max_angular(self) -> int:
        """Largest l of any field."""
        return max(size.max_angular for size in self.fields.values())


@runtime_checkable
class SourceFields(Protocol):
    """Fields of a batch whose sources have any strength: computed, or from stored pairs."""

    @property
    def kinds(self) -> Int[Tensor, " atom"]:
        """Place of the species of each atom among those of the model."""
        ...

    def coefficients(
        self, name: str, strengths: Float[Tensor, "atom channel"]
    ) -> Float[Tensor, "atom lm channel n"]:
        """Coefficients of a field whose sources have these strengths."""
        ...


@final
class Mixing(nn.Module):
    """Learned mixtures of the coefficients of one field, for sources with and without direction.

    Args:
        size: of the field.
        n_charges: channels of sources without direction.
        n_dipoles: channels of sources with one.
        channels: mixtures of every l.
        n_inputs: coefficients of one l that are mixed in all fields together.
    """

    scales: Tensor

    def __init__(
        self, size: FieldSize, n_charges: int, n_dipoles: int, channels: int, n_inputs: int
    ) -> None:
        super().__init__()
        self.size, self.n_charges = size, n_charges
        self.paths = dipole_paths(size.max_angular) if n_dipoles else []
        self.register_buffer("scales", torch.ones(size.max_angular + 1))
        self.charges = nn.ParameterList(
            drawn(n_charges * size.n_radial, channels, divisor=n_inputs**0.5)
            for _ in range(size.max_angular + 1)
        )
        self.dipoles = nn.ParameterList(
            drawn(n_dipoles * size.n_radial, channels, divisor=n_inputs**0.5) for _ in self.paths
        )

    def forward(
        self, coefficients: Float[Tensor, "center lm channel n"]
    ) -> dict[int, Float[Tensor, "center _ mixture"]]:
        """The mixtures of each l that has any."""
        found, degrees = {}, range(self.size.max_angular + 1)
        widths = [2 * l + 1 for l in degrees]
        n_directed = coefficients.shape[2] - self.n_charges
        # split: the adjoint of a slice is as large as all of it
        plain, directed = coefficients.split([self.n_charges, n_directed], dim=2)
        for l, block in zip(degrees, plain.split(widths, dim=1), strict=True):
            found[l] = block.flatten(start_dim=2) @ (self.charges[l] * self.scales[l])
        if not self.paths:
            return found
        blocks = directed.unflatten(2, (3, -1)).split(widths, dim=1)
        for path, weight in zip(self.paths, self.dipoles, strict=True):
            l, _, degree = path
            block = blocks[l].flatten(start_dim=3)
            matrix = clebsch_gordan(*path).to(block)
            both = torch.einsum("cmax,mab->cbx", block, matrix)
            mixed = both @ (weight * self.scales[l])
            found[degree] = found[degree] + mixed if degree in found else mixed
        return found

    @torch.no_grad()
    def standardise(self, coefficients: Float[Tensor, "center lm channel n"]) -> None:
        """Take the scale of each l from coefficients of some centers."""
        for l in range(self.size.max_angular + 1):
            block = coefficients[:, l * l : (l + 1) ** 2]
            self.scales[l] = 1 / block.square().mean().sqrt().clamp(min=1e-12)


def dipole_paths(max_angular: int) -> list[tuple[int, int, int]]:
    """Degree of a coefficient, 1 for the dipole that made it, degree that they are coupled to."""
    return [
        (l, 1, degree)
        for l in range(max_angular + 1)
        for degree in (l - 1, l + 1)
        if 0 <= degree <= max_angular
    ]


@final
class Round(nn.Module):
    """Channels from sources, their invariants, and what is read from these.

    Args:
        size: of the network.
        number: of the round, from 0.
    """

    def __init__(self, size: NetworkSize, number: int) -> None:
        super().__init__()
        first, last = number == 0, number == size.rounds - 1
        top, channels = size.max_angular, size.channels
        counts = (size.n_species, 0) if first else (size.charges, size.dipoles)
        width = (counts[0] + 2 * counts[1]) * sum(f.n_radial for f in size.fields.values())
        mixings = {n: Mixing(f, *counts, channels, width) for n, f in size.fields.items()}
        self.mixings = nn.ModuleDict(mixings)
        self.kept = nn.ParameterList(() if first else (_square(channels) for _ in range(top + 1)))
        self.invariants = Invariants(channels, top)
        outputs = 1 if last else 1 + size.charges + size.dipoles
        n_inputs = self.invariants.n_invariants
        self.readout = Readout(n_inputs, size.n_hidden, outputs, size.n_species)
        self.directions = drawn(channels, size.dipoles, divisor=channels**0.5)
        self.directions.requires_grad_(not last)
        self.charges = size.charges
        self.tensor = None
        if size.tensor is not None:
            self.tensor = TensorReadout(size.tensor.kind, channels, top, size.n_hidden)

    def channels(
        self,
        fields: SourceFields,
        strengths: Float[Tensor, "atom channel"],
        before: list[Float[Tensor, "center _ mixture"]],
        *,
        standardise: bool,
    ) -> list[Float[Tensor, "center _ mixture"]]:
        """Mixtures of coefficients, and of the channels of the round before."""
        sums: dict[int, Tensor] = {}
        for name, mixing in self.mixings.items():
            coefficients = fields.coefficients(name, strengths)
            mixing = cast(Mixing, mixing)
            if standardise:
                mixing.standardise(coefficients)
            for l, mixed in mixing(coefficients).items():
                sums[l] = sums[l] + mixed if l in sums else mixed
        if not before:
            return [sums[l] for l in range(len(sums))]
        pairs = zip(before, self.kept, strict=True)
        return [(sums[l] + a @ kept) / 2**0.5 for l, (a, kept) in enumerate(pairs)]

    def sources(
        self, found: Float[Tensor, "atom output"], blocks: list[Float[Tensor, "atom _ mixture"]]
    ) -> Float[Tensor, "atom channel"]:
        """Strengths of an atom: its charges, and its dipoles, mixtures of its vectors."""
        charges, factors = found[:, : self.charges], found[:, self.charges :]
        if not factors.shape[1]:
            return charges
        dipoles = (blocks[1] @ self.directions) * factors[:, None]
        return torch.cat([charges, dipoles.flatten(start_dim=1)], dim=1)


@final
class FieldNetwork(nn.Module):
    """Energies of atoms, or tensors, from the fields around them, in rounds.

    Args:
        size: of all weights.
    """

    @single_precision()
    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        self.size = size
        self.rounds = nn.ModuleList(Round(size, number) for number in range(size.rounds))

    def forward(
        self, fields: SourceFields, *, standardise: bool = False
    ) -> tuple[Float[Tensor, "atom ..."], Float[Tensor, "atom hidden"]]:
        """Energies of atoms, or tensors, and the last layers of all rounds side by side.

        Args:
            fields: of a batch.
            standardise: take the scales of coefficients and invariants from this batch.
        """
        kinds, rounds = fields.kinds, cast(list[Round], list(self.rounds))
        one_hot = nn.functional.one_hot(kinds, self.size.n_species)
        strengths = one_hot.to(rounds[0].readout.first)
        blocks: list[Tensor] = []
        energies, layers = [], []
        for number, part in enumerate(rounds):
            blocks = part.channels(fields, strengths, blocks, standardise=standardise)
            invariants = part.invariants(blocks)
            if standardise:
                part.readout.standardise(invariants)
            found, hidden = part.readout(invariants, kinds)
            own = part.tensor
            energies.append(found[:, 0] if own is None else own(blocks, hidden))
            layers.append(hidden)
            if number < len(rounds) - 1:
                strengths = part.sources(found[:, 1:], blocks)
        return torch.stack(energies).sum(dim=0), torch.cat(layers, dim=1)


def _square(channels: int) -> nn.Parameter:
    return drawn(channels, channels, divisor=channels**0.5)
