"""Features of all irreps, and the rows of one of them."""

import numpy as np
import pytest
import torch

from multilode.equivariants import Equivariants, FeatureLabels, Features
from multilode.symmetry.irrep import INVARIANT, Irrep

BOTH = (INVARIANT, Irrep(1))


def features(irreps=BOTH):
    """Three centers, two of them in the first structure of three."""
    generator = torch.Generator().manual_seed(0)
    blocks = {i: torch.randn(3, 2 * i.degree + 1, 4, generator=generator).double() for i in irreps}
    labels = FeatureLabels(("n",), np.arange(4)[:, None])
    return Features(
        terms=(Equivariants(blocks, dict.fromkeys(irreps, labels), torch.arange(3)),),
        structure_index=torch.tensor([0, 0, 2]),
        center_species=torch.tensor([1, 8, 1]),
        n_structures=3,
    )


def test_rows_are_components_of_structures_or_of_centers():
    own = features()
    (block,) = own[Irrep(1)]
    rows = own.rows(Irrep(1), invariants=True)
    assert (rows.n_rows, len(rows), rows.components) == (9, 9, 3)
    assert rows.row_index.tolist() == [0, 1, 2, 0, 1, 2, 6, 7, 8]
    assert torch.equal(rows.terms[0].view(3, 3, 4), block)
    assert torch.equal(rows.invariants[0][3:6], own.invariants[0][1].expand(3, 4))
    apart = own.rows(Irrep(1), per="atom")
    assert apart.row_index.tolist() == list(range(9))
    scalars = own.rows()
    assert (scalars.n_rows, scalars.components, scalars.invariants) == (3, 1, None)
    assert torch.equal(scalars.terms[0], own.invariants[0])


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="no product has features of"):
        features().rows(Irrep(2))
    with pytest.raises(ValueError, match=r"add Irrep\(0\)"):
        features((Irrep(1),)).rows(Irrep(1), invariants=True)


def test_containers_describe_themselves_in_a_few_lines():
    own = features()
    for one in (own, own.rows(), own.terms[0], own.terms[0].labels[INVARIANT]):
        assert len(repr(one)) < 200
        assert "tensor(" not in repr(one)
    assert len(own) == len(own.terms[0]) == 3
    assert own.terms[0].labels[INVARIANT]["n"].tolist() == [0, 1, 2, 3]
