"""Selection of features beside scikit-matter."""

import numpy as np
import pytest
import torch

from multilode.correlations.selection import TrainingRows, cur, farthest_points

feature_selection = pytest.importorskip("skmatter.feature_selection", reason="needs skmatter")


def matrix():
    """Features of very different size, many of them nearly dependent."""
    generator = torch.Generator().manual_seed(0)
    draw = (torch.randn(shape, generator=generator).double() for shape in ((300, 20), (20, 120)))
    sizes = torch.rand(120, generator=generator).double()
    noise = 1e-3 * torch.randn(300, 120, generator=generator).double()
    first, second = draw
    return first @ second * sizes + noise


def training(x):
    return TrainingRows(x, torch.zeros_like(x[0]), len(x))


def test_the_same_farthest_points():
    x = matrix()
    first = int(x.square().sum(dim=0).argmax())
    peer = feature_selection.FPS(n_to_select=40, initialize=first).fit(x.numpy())
    np.testing.assert_array_equal(farthest_points(training(x), 40).numpy(), peer.selected_idx_)


def test_cur_leaves_no_more_than_the_iterative_one():
    x = matrix()
    peer = feature_selection.CUR(n_to_select=15).fit(x.numpy())

    def left(chosen):
        basis = torch.linalg.qr(x[:, torch.as_tensor(np.asarray(chosen).tolist())]).Q
        return float((x - basis @ (basis.T @ x)).norm() / x.norm())

    assert left(cur(training(x), 15)) < 1.1 * left(peer.selected_idx_)
