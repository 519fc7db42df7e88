"""Biased prompts and the closed form against references in float64 that follow the formulas and nothing else."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from cfray.clip.debiasers import balanced_direction
from cfray.debias.biased_prompts import calibrated_projection, fit_biased_prompts
from cfray.debias.closed_form import attribute_basis, fit_closed_form


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def biased_prompts_reference(v, pairs, regularisation):
    d = v.shape[0]
    p0 = np.eye(d) - v @ np.linalg.inv(v.T @ v) @ v.T
    m = sum(np.outer(z, z) for z in pairs) / len(pairs)
    return p0 @ np.linalg.inv(np.eye(d) + regularisation * m)


@pytest.mark.parametrize("regularisation", [0.0, 3.0, 1000.0])
def test_calibrated_projection(regularisation):
    rng = np.random.default_rng(0)
    v, pairs = unit(rng.normal(size=(3, 12))).T, rng.normal(size=(20, 12)) * 0.2
    found = calibrated_projection(torch.from_numpy(v.T), torch.from_numpy(pairs), regularisation)
    np.testing.assert_allclose(found.numpy(), biased_prompts_reference(v, pairs, regularisation), atol=1e-10)


def test_projection_without_calibration_is_orthogonal_to_the_prompts():
    prompts = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])
    found = calibrated_projection(prompts, torch.zeros(1, 3), 0.0)
    torch.testing.assert_close(found, torch.diag(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)))


def test_fitted_biased_prompts(truth):
    debiaser = fit_biased_prompts(truth.data, regularisation=50.0)
    prompts = unit(truth.data.explicit["gender"][:, 0].double().numpy())
    z = unit(truth.data.pairs["gender"].double().numpy())
    differences = [a - b for i, j in combinations(range(len(z)), 2) for a, b in zip(z[i], z[j], strict=True)]
    expected = unit(unit(truth.neutral.double().numpy()) @ biased_prompts_reference(prompts.T, differences, 50.0).T)
    found = debiaser.text(truth.neutral)
    np.testing.assert_allclose(unit(found.numpy()), expected, atol=1e-5)
    torch.testing.assert_close(found.norm(dim=1), truth.neutral.norm(dim=1))
    assert torch.equal(debiaser.image(truth.images), truth.images)


def closed_form_reference(e, basis):
    """METHODS: E = n_par + (1 - n_orth)/n_par, a = (E - n_orth sqrt(E^2 - n_par^2)) / (E^2 + n_orth^2)."""
    rows = []
    for x in e:
        parallel = basis @ (basis.T @ x)
        orthogonal = x - parallel
        n_par, n_orth = np.linalg.norm(parallel), np.linalg.norm(orthogonal)
        total = n_par + (1 - n_orth) / n_par
        a = (total - n_orth * np.sqrt(total**2 - n_par**2)) / (total**2 + n_orth**2)
        rows.append(a * parallel / n_par + np.sqrt(1 - a**2) * orthogonal / n_orth)
    return np.array(rows)


@pytest.fixture
def subspace():
    rng = np.random.default_rng(1)
    basis, _ = np.linalg.qr(rng.normal(size=(10, 3)))
    return unit(rng.normal(size=(30, 10))), basis


def test_balanced_direction(subspace):
    e, basis = subspace
    found = balanced_direction(torch.from_numpy(e), torch.from_numpy(basis)).numpy()
    np.testing.assert_allclose(found, closed_form_reference(e, basis), atol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-12)


def test_it_shortens_bias_and_utility_by_one_share(subspace):
    """The equation behind the formula, solved by bisection: bias left over bias = utility lost over utility at stake."""
    e, basis = subspace
    found = balanced_direction(torch.from_numpy(e), torch.from_numpy(basis)).numpy()
    for x, u in zip(e, found, strict=True):
        n_par = np.linalg.norm(basis.T @ x)
        n_orth = np.sqrt(1 - n_par**2)
        gap = lambda a: a / n_par - (1 - a * n_par - np.sqrt(1 - a**2) * n_orth) / (1 - n_orth)  # noqa: B023, E731
        assert np.linalg.norm(basis.T @ u) == pytest.approx(brentq(gap, 0, n_par), abs=1e-8)
        assert np.linalg.norm(basis.T @ u) < n_par


def test_embeddings_outside_or_inside_the_subspace_stay():
    basis = torch.tensor([[1.0], [0.0], [0.0]])
    e = torch.tensor([[0.0, 0.6, 0.8], [-1.0, 0.0, 0.0]])
    assert torch.equal(balanced_direction(e, basis), e)


def test_basis_spans_the_differences_of_prototypes():
    p = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0.5, 0.5, 0, 0]])
    basis = attribute_basis([p])
    assert basis.shape == (4, 1)
    np.testing.assert_allclose(basis[:, 0].abs().numpy(), [0.5**0.5, 0.5**0.5, 0, 0], atol=1e-12)


def test_fitted_closed_form(truth):
    debiaser = fit_closed_form(truth.data)
    means = unit(unit(truth.data.explicit["gender"].double().numpy()).mean(axis=1))
    basis = unit(means[1] - means[0])[:, None]
    for found, x in ((debiaser.text(truth.neutral), truth.neutral), (debiaser.image(truth.images), truth.images)):
        expected = closed_form_reference(unit(x.double().numpy()), basis)
        np.testing.assert_allclose(unit(found.numpy()), expected, atol=1e-5)
        torch.testing.assert_close(found.norm(dim=1), x.norm(dim=1))
