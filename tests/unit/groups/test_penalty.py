import numpy as np
import pytest
import torch

from cfray.groups.penalty import correlation, correlation_penalty


def data(n=400, seed=0):
    """Logits that follow the group inside every class, labels, and one-hot relevancy of two groups."""
    generator = torch.Generator().manual_seed(seed)
    labels, groups = (torch.randint(2, (n,), generator=generator) for _ in range(2))
    score = 2.0 * labels - 1 + 1.5 * (2.0 * groups - 1)
    return torch.stack([-score, score], dim=1), labels, torch.eye(2)[groups], groups


def test_correlation_is_pearsons():
    x, y = torch.tensor([1.0, 2.0, 4.0, 7.0]), torch.tensor([2.0, 1.0, 5.0, 4.0])
    assert float(correlation(x, y)) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)
    assert float(correlation(x, torch.ones(4))) == 0


@pytest.mark.parametrize("parity", ["equal_opportunity", "equalised_odds", "accuracy_parity"])
def test_training_on_the_penalty_alone_makes_outcomes_forget_the_group(parity):
    # Correlation has no scale: within a class the group must be outweighed by something else that outcomes follow.
    _, labels, relevancy, groups = data()
    noise = torch.randn(len(labels), generator=torch.Generator().manual_seed(1))
    features = torch.stack([labels.float(), groups.float(), noise], dim=1)
    model = torch.nn.Linear(3, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-1.0, -1.5, -0.5], [1.0, 1.5, 0.5]]))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    first = None
    for _ in range(150):
        loss = correlation_penalty(model(features), labels, relevancy, parity=parity, positive=1)
        first = float(loss.detach()) if first is None else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.25 * first


def test_equal_opportunity_looks_at_the_positive_class_only():
    logits, labels, relevancy, _ = data()
    blind = logits.clone()
    blind[labels == 1] = torch.tensor([-1.0, 1.0])
    found = {p: float(correlation_penalty(blind, labels, relevancy, parity=p, positive=1))
             for p in ("equal_opportunity", "equalised_odds")}  # fmt: skip
    assert found["equal_opportunity"] == pytest.approx(0, abs=1e-6)
    assert found["equalised_odds"] == pytest.approx(0.5, abs=0.01)


def test_accuracy_parity_does_not_mind_errors_that_are_shared():
    _, labels, relevancy, groups = data()
    right = torch.where(torch.arange(len(labels)) % 3 == 0, 1 - labels, labels)
    logits = 4.0 * torch.eye(2)[right]
    assert float(correlation_penalty(logits, labels, relevancy, parity="accuracy_parity")) < 0.1
    favoured = 4.0 * torch.eye(2)[torch.where(groups == 0, labels, 1 - labels)]
    assert float(correlation_penalty(favoured, labels, relevancy, parity="accuracy_parity")) == pytest.approx(1, abs=1e-4)


def test_nothing_to_correlate_costs_nothing():
    logits = torch.zeros(1, 2, requires_grad=True)
    loss = correlation_penalty(logits, torch.tensor([0]), torch.tensor([[0.5, 0.5]]), parity="equalised_odds")
    loss.backward()
    assert float(loss.detach()) == 0
