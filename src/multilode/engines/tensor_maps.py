"""Features as tensor maps of metatensor, under the names that featomic gives, and back."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from multilode.data.inputs import Data, as_structures
from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.features import Features
from multilode.equivariants.labels import FeatureLabels
from multilode.errors import UserError
from multilode.structures.batch import Structures
from multilode.symmetry.irrep import Irrep

_EXPANSION = ("species", "n")  # labels of the coefficients of a field
_IRREP, _CENTER, _NEIGHBOR = ("o3_lambda", "o3_sigma"), "center_type", "neighbor_type"
_SAMPLES = ["system", "atom"]
TensorMaps = Sequence[Any]  # of metatensor


def to_metatensor(features: Features, structures: Data) -> list[Any]:
    """A tensor map for each term of the features, with NumPy values, whose numbers are ours.

    Keys are `o3_lambda`, `o3_sigma` and `center_type`, those of coefficients of a field also
    `neighbor_type`; samples are `system` and `atom`, components `o3_mu`. Properties are the labels
    of the features, `species_1` as `neighbor_1_type`.

    Args:
        features: of centers, from `Representation.compute` or `coefficients`.
        structures: that they belong to.

    Raises:
        UserError: if metatensor is not installed.
        ValueError: if the structures have other atoms.
    """
    batch = as_structures(structures)
    _check_same(features, batch)
    return [_tensor_map(term, features, batch) for term in features.terms]


def from_metatensor(tensors: TensorMaps, structures: Data) -> Features:
    """Features from tensor maps of centers, such as those of featomic; without derivatives.

    Blocks that a map lacks are zeros, and so are samples. All that a map calls a type is an atomic
    number.

    Args:
        tensors: one for each term of the features, with keys and samples as `to_metatensor` has
            them; other keys, such as `neighbor_1_type`, become labels.
        structures: that they belong to.

    Raises:
        UserError: if keys, samples or components are others, or an atom is not there.
    """
    batch = as_structures(structures)
    found = [_read_map(tensor, batch) for tensor in tensors]
    if not found:
        raise UserError("there is no tensor map; give at least one")
    centers = torch.from_numpy(np.unique(np.concatenate([own for own, _ in found])))
    terms = tuple(_equivariants(blocks, centers) for _, blocks in found)
    return Features(
        terms=terms,
        structure_index=batch.structure_index[centers],
        center_species=batch.species[centers],
        n_structures=batch.n_structures,
    )


def _check_same(features: Features, batch: Structures) -> None:
    if features.n_structures != batch.n_structures or not torch.equal(
        batch.species[features.centers].cpu(), features.center_species.cpu()
    ):
        raise ValueError("the features are those of other structures; give those they belong to")


def _metatensor() -> Any:
    try:
        import metatensor
    except ImportError as error:
        raise UserError(
            "metatensor is not installed; pip install 'multilode[metatomic]'"
        ) from error
    return metatensor


def _tensor_map(term: Equivariants, features: Features, batch: Structures) -> Any:
    """One block for each irrep, species of centers and, of coefficients, species of neighbors."""
    mts = _metatensor()
    index, atoms = _places(features, batch)
    species = features.center_species.cpu().numpy()
    keys, blocks, names = [], [], [*_IRREP, _CENTER]
    for (degree, parity), values in term.blocks.items():
        labels = term.labels[Irrep(degree, parity)]
        mu = np.arange(-degree, degree + 1, dtype=np.int32)[:, None]
        array = values.detach().cpu().numpy()
        for kind in np.unique(species):
            rows = species == kind
            samples = np.stack([index[rows], atoms[rows]], axis=1).astype(np.int32)
            for key, columns, properties in _columns(labels):
                keys.append([degree, parity, kind, *key])
                blocks.append(
                    mts.TensorBlock(
                        values=np.ascontiguousarray(array[rows][:, :, columns]),
                        samples=mts.Labels(_SAMPLES, samples),
                        components=[mts.Labels(["o3_mu"], mu)],
                        properties=properties,
                    )
                )
        if labels.names == _EXPANSION:
            names = [*_IRREP, _CENTER, _NEIGHBOR]
    return mts.TensorMap(mts.Labels(names, np.array(keys, dtype=np.int32)), blocks)


def _columns(labels: FeatureLabels) -> list[tuple[list[int], Any, Any]]:
    """Further numbers of the key, columns and labels of each block."""
    mts = _metatensor()
    if labels.names != _EXPANSION:
        names = [_renamed(name) for name in labels.names]
        return [([], slice(None), mts.Labels(names, labels.values.astype(np.int32)))]
    found = []
    for kind in np.unique(labels["species"]):
        columns = labels["species"] == kind
        n = labels["n"][columns].astype(np.int32)[:, None]
        found.append(([int(kind)], columns, mts.Labels(["n"], n)))
    return found


def _renamed(name: str) -> str:
    first, _, number = name.partition("_")
    return f"neighbor_{number}_type" if first == "species" and number else name


def _own_name(name: str) -> str:
    if name == _NEIGHBOR:
        return "species"
    parts = name.split("_")
    if len(parts) == 3 and (parts[0], parts[2]) == ("neighbor", "type"):
        return f"species_{parts[1]}"
    return name


def _places(
    features: Features, batch: Structures
) -> tuple[Int[np.ndarray, " center"], Int[np.ndarray, " center"]]:
    """Structure of each center, and its number there."""
    starts = batch.counts.cumsum(0) - batch.counts
    index = features.structure_index
    return index.cpu().numpy(), (features.centers - starts[index]).cpu().numpy()


Block = tuple[np.ndarray, np.ndarray, np.ndarray]  # atoms, values, labels
Blocks = dict[Irrep, tuple[tuple[str, ...], list[Block]]]


def _read_map(tensor: Any, batch: Structures) -> tuple[Int[np.ndarray, " _"], Blocks]:
    """Centers, and the blocks of each irrep with the names and values of their labels."""
    centers, blocks = [np.zeros(0, dtype=np.int64)], {}
    names = list(tensor.keys.names)
    more = [name for name in names if name not in (*_IRREP, _CENTER)]
    if _CENTER not in names:
        raise UserError(f"keys are {', '.join(names)}; they need '{_CENTER}'")
    for key, block in tensor.items():
        place = {name: int(key[name]) for name in names}
        irrep = Irrep(place.get("o3_lambda", 0), place.get("o3_sigma", 1))
        own = _atoms_of(block, batch)
        values = np.asarray(block.values)
        values = values.reshape(len(own), -1, values.shape[-1])
        if values.shape[1] != 2 * irrep.degree + 1:
            raise UserError(
                f"a block of {irrep} has {values.shape[1]} components; it needs "
                f"{2 * irrep.degree + 1}, without gradients or other tensors"
            )
        beside = np.array([[place[name] for name in more]] * values.shape[2], dtype=np.int64)
        labels = np.concatenate([beside, np.asarray(block.properties.values)], axis=1)
        known = tuple(map(_own_name, [*more, *block.properties.names]))
        earlier, rest = blocks.setdefault(irrep, (known, []))
        if earlier != known:
            raise UserError(f"properties are {earlier} and {known}; give blocks of one kind")
        rest.append((own, values, labels.astype(np.int64)))
        centers.append(own)
    return np.unique(np.concatenate(centers)), blocks


def _atoms_of(block: Any, batch: Structures) -> Int[np.ndarray, " sample"]:
    """Atoms of the batch that samples are."""
    if list(block.samples.names) != _SAMPLES:
        raise UserError(
            f"samples are {', '.join(block.samples.names)}; they need to be system, atom"
        )
    system, atom = np.asarray(block.samples.values, dtype=np.int64).T
    counts = batch.counts.numpy()
    starts = counts.cumsum() - counts
    if len(system) and (system.max() >= len(counts) or (atom >= counts[system]).any()):
        raise UserError("a sample is an atom that the structures do not have; give its structures")
    return starts[system] + atom


def _equivariants(blocks: Blocks, centers: Int[Tensor, " center"]) -> Equivariants:
    """All blocks of an irrep side by side, zero where they say nothing."""
    values, labels = {}, {}
    for irrep, (names, parts) in sorted(blocks.items()):
        known = np.unique(np.concatenate([own for _, _, own in parts]), axis=0)
        labels[irrep] = FeatureLabels(names, known)
        place = {tuple(row): k for k, row in enumerate(known.tolist())}
        whole = np.zeros((len(centers), 2 * irrep.degree + 1, len(known)))
        for atoms, found, own in parts:
            rows = np.searchsorted(centers.numpy(), atoms)
            columns = np.array([place[tuple(row)] for row in own.tolist()], dtype=np.int64)
            whole[rows[:, None], :, columns[None]] = found.transpose(0, 2, 1)
        values[irrep] = torch.from_numpy(whole)
    return Equivariants(values, labels, centers)
