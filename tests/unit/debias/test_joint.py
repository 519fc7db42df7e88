from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from cfray.clip.debiasers import GatedJoint, PublishedJoint
from cfray.debias.config import GatedForm, PublishedForm
from cfray.debias.joint_gated import fit_gated, gated_loss, group_imbalance, set_imbalance, text_pools
from cfray.debias.joint_losses import bias_vectors
from cfray.debias.joint_published import PublishedFit, fit_published
from cfray.errors import UserError
from cfray.metrics import rank_fairness, recall_at_k, similarity

SMALL = {"batch": 64, "queue": 256, "hidden": 32, "hidden_image": 16, "learning_rate": 2e-3}


def set_linear(layer, weight, bias):
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.copy_(torch.tensor(bias))


@pytest.mark.parametrize("sign", [1, -1])
def test_published_network_by_hand(sign):
    joint = PublishedJoint("w", dim=2, hidden_image=1, hidden=1, sign=sign)
    set_linear(joint.mlp1[0], [[1.0, 0.0]], [0.0])
    set_linear(joint.mlp1[2], [[2.0], [-1.0]], [0.0, 0.5])
    set_linear(joint.mlp2[0], [[1.0, 1.0]], [-1.0])
    set_linear(joint.mlp2[2], [[0.5], [-3.0]], [0.25, 0.0])
    x = torch.tensor([[1.0, 2.0]])
    # MLP2(x): relu(1 + 2 - 1) = 2; relu(0.5 * 2 + 0.25) = 1.25, relu(-6) = 0.
    torch.testing.assert_close(joint.text(x), torch.tensor([[1 + sign * 1.25, 2.0]]))
    # MLP1(x): relu(1) = 1; relu(2) = 2, relu(-0.5) = 0. MLP2((3, 2)): relu(4) = 4; relu(2.25), relu(-12) = 0.
    torch.testing.assert_close(joint.image(x), torch.tensor([[1 + sign * 2.25, 2.0]]))


def test_zero_weights_are_the_identity():
    x = torch.randn(5, 6)
    for joint in (
        PublishedJoint("w", dim=6, hidden_image=4, hidden=4, sign=1),
        GatedJoint("w", dim=6, attributes=2, rank=3),
    ):
        for parameter in joint.parameters():
            torch.nn.init.zeros_(parameter)
        assert torch.equal(joint.image(x), x)
        assert torch.equal(joint.text(x), x)


def test_gated_network_by_hand():
    joint = GatedJoint("w", dim=2, attributes=1, rank=1)
    with torch.no_grad():
        joint.read.copy_(torch.tensor([[[0.0], [1.0]]]))
        joint.write.copy_(torch.tensor([[[0.0, -1.0]]]))
    # The direction of (3, 4) is (0.6, 0.8); a gate of weight 0 is half open; half of the second part goes.
    torch.testing.assert_close(joint.text(torch.tensor([[3.0, 4.0]])), torch.tensor([[3.0, 2.0]]))
    assert torch.equal(joint.image(torch.tensor([[3.0, 4.0]])), torch.tensor([[3.0, 4.0]]))


def test_group_imbalance_by_hand():
    log_p = torch.tensor([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3]]).log()
    # Shares 1/3 and 2/3, probabilities 1/2 and 1/2.
    expected = (1 / 3) * torch.tensor(2 / 3).log() + (2 / 3) * torch.tensor(4 / 3).log()
    torch.testing.assert_close(group_imbalance(log_p, torch.tensor([4, 7, 7])), torch.tensor([expected, 0.0]))


def test_set_imbalance_by_hand():
    p = torch.tensor([[0.2, 0.3, 0.1, 0.2, 0.2], [0.2, 0.25, 0.25, 0.15, 0.15]])
    within = lambda a, b: 0.5 * torch.tensor(0.5 / a).log() + 0.5 * torch.tensor(0.5 / b).log()  # noqa: E731
    # Two sets of two images of five, whatever their probability, and one alone, which nothing can be preferred to.
    expected = torch.stack([0.4 * within(0.75, 0.25) + 0.4 * within(0.5, 0.5), torch.tensor(0.0)])
    torch.testing.assert_close(set_imbalance(p.log(), torch.tensor([1, 5, 5, 2, 2])), expected, atol=1e-6, rtol=1e-5)


def test_captions_name_everything_and_keep_their_similarities(truth):
    joint, images = GatedJoint("w", dim=24, attributes=1, rank=2), F.normalize(truth.data.images, dim=1)
    x, data = F.normalize(truth.data.captions, dim=1), replace(truth.data, images=images)
    config = GatedForm(balance=0, proximity=0)
    entropy = -(F.softmax(x @ images.T / 0.07, 1) * F.log_softmax(x @ images.T / 0.07, 1)).sum(1).mean()
    torch.testing.assert_close(gated_loss(joint, x, ("gender",), data, config), entropy)
    more = gated_loss(joint, x, (), data, config.model_copy(update={"balance": 1.0}))
    assert more > entropy + 0.01


def skew(debiaser, truth, queries):
    scores = similarity(debiaser.text(queries).detach(), debiaser.image(truth.images).detach())
    return rank_fairness(scores, truth.labels.numpy(), k=60, n_floor=0, n_bootstrap=0).mean["max_skew"].value


def recall(debiaser, truth):
    scores = similarity(debiaser.image(truth.images).detach(), debiaser.text(truth.texts).detach())
    found = recall_at_k(scores, torch.arange(len(truth.texts)), k=1)
    return found.text_to_image, found.image_to_text


def check_fit(debiaser, truth):
    untouched = GatedJoint("planted", dim=24, attributes=1, rank=1)
    before, after = skew(untouched, truth, truth.neutral), skew(debiaser, truth, truth.neutral)
    assert before > 0.3
    assert after < 0.5 * before
    for was, now in zip(recall(untouched, truth), recall(debiaser, truth), strict=True):
        assert was > 0.9
        assert now >= was - 0.02
    named = truth.explicit.flatten(0, 1)
    assert skew(debiaser, truth, named) > 0.9 * skew(untouched, truth, named)


def test_gated_form_finds_the_planted_attribute(truth):
    check_fit(fit_gated(truth.data, GatedForm(steps=150, batch=64)), truth)


def test_gated_form_learns_from_image_counterfactuals(truth_in_sets):
    check_fit(fit_gated(truth_in_sets.data, GatedForm(steps=150, batch=64, images=200)), truth_in_sets)


def test_appearance_is_evened_out_in_the_people_cut_out_of_scenes(truth_in_sets):
    """In pictures whose attribute is hidden there is nothing to even out; it shows in the people alone."""
    data, config = truth_in_sets.data, GatedForm(steps=150, batch=64, images=200)
    hidden = data.images.clone()
    hidden[:, 20] = 0
    before = skew(GatedJoint("planted", dim=24, attributes=1, rank=1), truth_in_sets, truth_in_sets.neutral)
    blind = fit_gated(replace(data, images=hidden), config)
    assert skew(blind, truth_in_sets, truth_in_sets.neutral) > 0.8 * before
    check_fit(fit_gated(replace(data, images=hidden, cut_outs=data.images), config), truth_in_sets)


def test_half_of_the_texts_lose_appearance_and_half_keep_what_they_name(truth):
    pools = text_pools(truth.data)
    assert [(pool.named, pool.share) for pool in pools] == [((), 0.5), (("gender",), 0.25), (("gender",), 0.25)]
    more = replace(truth.data, contexts=truth.data.neutral[:5], others=truth.data.neutral[:3])
    pools = text_pools(more)
    assert [(len(pool.texts), pool.share) for pool in pools if not pool.named] == [(120, 0.25), (5, 0.25)]
    assert [pool.share for pool in pools if pool.named] == [0.5 / 3] * 3


def test_texts_about_nobody_stay_where_they_are(truth):
    """They lean on the attribute like the neutral ones; only that they are held tells them apart."""
    others = truth.neutral + 0.5 * torch.eye(24)[23]
    config = GatedForm(steps=150, batch=64)

    def moved(debiaser):
        return 1 - F.cosine_similarity(debiaser.text(others), others).mean().item()

    assert moved(fit_gated(replace(truth.data, others=others), config)) < 0.3 * moved(fit_gated(truth.data, config))


def test_published_form_aligns_biases(truth):
    config = PublishedForm(**SMALL, counterfactual=0, alignment=1)
    fit = PublishedFit(truth.data, config)
    losses = [fit.step(batch, epoch)[0] for epoch in range(8) for batch in fit.batches()]
    assert sum(losses[-7:]) < 0.3 * sum(losses[:7])


def test_published_counterfactual_term_draws_twins_together(truth):
    debiaser = fit_published(truth.data, PublishedForm(**SMALL, alignment=0, sign=-1, epochs=25))
    before, after = F.normalize(truth.data.captions), F.normalize(debiaser.text(truth.data.captions).detach())
    assert before[0] @ before[1] < -0.7
    assert after[0] @ after[1] > 0


def test_fits_repeat(truth):
    x = truth.neutral
    for config, fit in ((GatedForm(steps=5), fit_gated), (PublishedForm(**SMALL, epochs=1), fit_published)):
        state = torch.get_rng_state()
        first = fit(truth.data, config).text(x)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(fit(truth.data, config).text(x), first)
        assert not torch.equal(fit(truth.data, config.model_copy(update={"seed": 1})).text(x), first)


def test_twins_are_drawn_half_of_the_time(truth):
    fit = PublishedFit(truth.data, PublishedForm(**SMALL))
    drawn = torch.cat([b.captions != truth.data.caption_of[b.rows] for _ in range(5) for b in fit.batches()])
    assert len(drawn) == 2000
    assert 0.45 < drawn.float().mean() < 0.55
    never = PublishedFit(truth.data, PublishedForm(**SMALL, swap=0)).batches()[0]
    assert torch.equal(never.captions, truth.data.caption_of[never.rows])


def test_image_counterfactuals_come_from_the_same_set(truth_in_sets):
    batches = PublishedFit(truth_in_sets.data, PublishedForm(**SMALL)).batches()
    rows, images = torch.cat([b.rows for b in batches]), torch.cat([b.images for b in batches])
    assert torch.equal(truth_in_sets.data.sets[rows], truth_in_sets.data.sets[images])
    assert 0.4 < (rows != images).float().mean() < 0.6
    without = PublishedFit(truth_in_sets.data, PublishedForm(**SMALL, image_counterfactuals=False)).batches()[0]
    assert torch.equal(without.rows, without.images)


def test_momentum_copy_joins_the_target_from_its_epoch(truth):
    fit = PublishedFit(truth.data, PublishedForm(**SMALL, alignment=0, momentum_from_epoch=3))
    batch = fit.batches()[0]
    early, late = fit.losses(batch, 2)[1], fit.losses(batch, 3)[1]
    assert early.item() == fit.losses(batch, 0)[1].item()
    assert early.item() != late.item()


def test_momentum_copy_is_a_running_mean(truth):
    fit = PublishedFit(truth.data, PublishedForm(**SMALL))
    before = fit.average.mlp2[0].weight.clone()
    fit.step(fit.batches()[0], 0)
    expected = 0.995 * before + 0.005 * fit.debiaser.mlp2[0].weight
    torch.testing.assert_close(fit.average.mlp2[0].weight, expected)


def test_the_best_state_is_kept_and_patience_ends_the_fit(truth):
    asked, states = [], []

    def score(debiaser):
        asked.append(len(asked))
        states.append(debiaser.mlp2[0].weight.detach().clone())
        return {0: 0.1, 1: 0.5}.get(asked[-1], 0.2)

    debiaser = fit_published(truth.data, PublishedForm(**SMALL, epochs=50, patience=3), score)
    assert len(asked) == 5
    assert torch.equal(debiaser.mlp2[0].weight, states[1])


def test_bias_is_what_was_taken_away(truth):
    fit = PublishedFit(truth.data, PublishedForm(**SMALL))
    x = truth.data.images[:3]
    torch.testing.assert_close(F.normalize(x) - bias_vectors(x, fit.debiaser.image(x)), F.normalize(fit.debiaser.image(x)))


def test_too_few_pictures_are_refused(truth):
    with pytest.raises(UserError, match="batch=512 is larger than the 400 training pictures"):
        PublishedFit(truth.data, PublishedForm())
