"""Claims of the epoch plan: a function of seed and epoch, separate streams, and the law of lambda."""

import hashlib
from dataclasses import fields

import numpy as np
import pytest
import torch
from scipy import stats

from mixup.mixing import mixture_weights
from mixup.plan import EpochPlan, PlanSettings, draw_lam, draw_plan, generator, share, stream_seed


def plan(seed: int = 0, epoch: int = 0, n: int = 300, **changes: object) -> EpochPlan:
    settings: dict = {"batch_size": 64, "alpha": 1.0, "lam_per": "batch", "crop_padding": 4, "flip": True, **changes}
    return draw_plan(PlanSettings(seed=seed, n=n, **settings), epoch)


def tensors(drawn: EpochPlan) -> dict[str, torch.Tensor]:
    return {
        field.name: getattr(drawn, field.name) for field in fields(drawn) if field.name not in ("batch_size", "crop_seed")
    }


def test_same_seed_and_epoch_give_the_same_plan_and_any_other_gives_another():
    first = tensors(plan())
    for name, tensor in tensors(plan()).items():
        assert torch.equal(tensor, first[name]), name
    for other in (plan(seed=1), plan(epoch=1)):
        for name, tensor in tensors(other).items():
            assert not torch.equal(tensor, first[name]), name


def test_erm_and_mixup_share_everything_but_lambda():
    erm, mixup = tensors(plan(alpha=0.0)), tensors(plan(alpha=1.0))
    for name in ("order", "partner", "crop", "flip"):
        assert torch.equal(erm[name], mixup[name]), name
    assert (erm["lam"] == 1).all()
    assert (mixup["lam"] < 1).all()


def test_the_first_epochs_are_unmixed_where_the_settings_say_so():
    first, second = plan(epoch=1, warmup_epochs=2), plan(epoch=2, warmup_epochs=2)
    assert (first.lam == 1).all()
    assert torch.equal(second.lam, plan(epoch=2).lam)
    assert torch.equal(first.partner, plan(epoch=1).partner)


def test_global_generators_are_neither_read_nor_moved():
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1]
    first = tensors(plan())
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    torch.manual_seed(7)
    np.random.seed(7)
    for name, tensor in tensors(plan()).items():
        assert torch.equal(tensor, first[name]), name


def test_order_is_a_permutation_and_partners_permute_each_batch():
    drawn = plan(n=300)
    assert sorted(drawn.order.tolist()) == list(range(300))
    for first in range(0, 300, 64):
        positions = range(first, min(first + 64, 300))
        assert sorted(drawn.partner[first : first + 64, 0].tolist()) == list(positions)


def test_partner_permutations_are_uniform():
    """Position 0 of a batch of 4 meets each position equally often, itself included."""
    partners = [plan(epoch=epoch, n=4, batch_size=4).partner[0].item() for epoch in range(2000)]
    assert stats.chisquare(np.bincount(partners, minlength=4)).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.4, 1.0, 8.0, 32.0])
@pytest.mark.parametrize("lam_per", ["batch", "example"])
def test_lambda_follows_its_beta_law(alpha, lam_per):
    size = 64 if lam_per == "batch" else 1
    lam = draw_lam(generator(3, f"{alpha}"), 20_000 * size, 64, alpha=alpha, lam_per=lam_per)[::size, 0]
    assert stats.kstest(lam, stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    assert stats.kstest(lam, stats.beta(1.3 * alpha, 1.3 * alpha).cdf).pvalue < 1e-6, "the test cannot tell laws apart"


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 1e4])
def test_lambda_is_a_number_in_the_unit_interval_at_extreme_alpha(alpha):
    lam = draw_lam(generator(0, "lam"), 10_000, 1, alpha=alpha, lam_per="example")
    assert np.isfinite(lam).all()
    assert ((lam >= 0) & (lam <= 1)).all()
    assert 0.45 < lam.mean() < 0.55


def test_one_lambda_a_batch_or_one_an_example():
    assert [len(set(plan(n=128, lam_per="batch").lam[i : i + 64, 0].tolist())) for i in (0, 64)] == [1, 1]
    assert len(set(plan(n=128, lam_per="example").lam[:, 0].tolist())) == 128


def test_crops_cover_every_offset_and_flips_half():
    drawn = plan(n=20_000)
    assert drawn.crop.unique().tolist() == list(range(9))
    assert stats.chisquare(np.bincount(drawn.crop.flatten())).pvalue > 1e-3
    assert abs(drawn.flip.float().mean() - 0.5) < 0.02
    plain = plan(crop_padding=0, flip=False)
    assert not plain.crop.any()
    assert not plain.flip.any()
    assert (plain.flip.dtype, plain.crop_seed) == (torch.bool, None)
    unsaid = tensors(draw_plan(PlanSettings(seed=0, n=300, batch_size=64, alpha=1.0, lam_per="batch"), 0))
    assert all(torch.equal(tensor, unsaid[name]) for name, tensor in tensors(plain).items()), "nor unless it is asked for"


@pytest.mark.parametrize("n", [1, 2, 3, 7, 101, 300])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_ranks_share_every_position_of_every_step_once(n, world_size):
    drawn = plan(n=n)
    seen = []
    for step in range(drawn.num_steps):
        parts = [drawn.positions(step, rank=rank, world_size=world_size) for rank in range(world_size)]
        sizes = [part.stop - part.start for part in parts]
        assert max(sizes) - min(sizes) <= 1
        assert sizes[0] >= 1, "rank 0 must always have an example"
        assert sum(sizes) == drawn.batch_count(step)
        seen += [position for part in parts for position in range(part.start, part.stop)]
    assert seen == list(range(n))


def test_share_deals_out_contiguously():
    assert [list(share(7, rank=rank, world_size=3)) for rank in range(3)] == [[0, 1, 2], [3, 4], [5, 6]]


def test_streams_at_neighbouring_positions_are_unrelated():
    seeds = [stream_seed(seed, name, epoch) for seed in range(5) for name in ("order", "lam") for epoch in range(20)]
    assert len(set(seeds)) == len(seeds)
    a, b = (generator(0, "lam", epoch).random(5000) for epoch in (0, 1))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.05


def named_stream(name: str) -> np.random.Generator:
    """The stream of seed 0 in epoch 3: half of the first 8 bytes of a SHA-256, as a number."""
    return np.random.default_rng(int(hashlib.sha256(f"0/{name}/3".encode()).hexdigest()[:16], 16) // 2)


def test_each_quantity_has_the_stream_of_its_name_so_that_a_recorded_run_is_drawn_again():
    drawn = plan(n=130, epoch=3, resized_crop=True)
    order, partner = named_stream("order").permutation(130), named_stream("partner")
    assert drawn.order.tolist() == order.tolist()
    parts = [partner.permutation(np.arange(first, min(first + 64, 130))) for first in (0, 64, 128)]
    assert drawn.partner[:, 0].tolist() == np.concatenate(parts).tolist(), "a permutation of each batch, one after the other"
    assert drawn.lam[::64, 0].tolist() == named_stream("lam").beta(1.0, 1.0, 3).astype(np.float32).tolist()
    assert drawn.crop.tolist() == named_stream("crop").integers(0, 9, (130, 2)).tolist()
    assert drawn.flip.tolist() == (named_stream("flip").random(130) < 0.5).tolist()
    assert drawn.crop_seed.tolist() == named_stream("resized_crop").integers(2**63, size=130).tolist()
    neighbours = np.stack([np.roll(np.arange(130), shift) for shift in (1, 2, 3)], 1)
    near = plan(n=130, epoch=3, partner="nearest", neighbours=neighbours)
    examples = neighbours[order, (named_stream("partner").random(130) * 3).astype(int)]
    assert near.order[near.partner[:, 0]].tolist() == examples.tolist()


# -- section 3.8, and other systems --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ways", [2, 3, 4])
@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_weights_of_k_examples_follow_their_dirichlet_law(ways, alpha):
    """Each weight of Dirichlet(alpha, ..., alpha) is Beta(alpha, (k - 1) alpha), and any two are correlated as it says."""
    lam = draw_lam(generator(1, f"{ways}/{alpha}"), 20_000, 1, alpha=alpha, lam_per="example", ways=ways)
    weights = mixture_weights(torch.from_numpy(lam)).numpy()
    assert np.allclose(weights.sum(1), 1)
    for column in weights.T:
        assert stats.kstest(column, stats.beta(alpha, (ways - 1) * alpha).cdf).pvalue > 1e-3
    if ways > 2:
        correlation = np.corrcoef(weights.T)[np.triu_indices(ways, 1)]
        assert np.allclose(correlation, -1 / (ways - 1), atol=0.03)


def test_two_ways_are_beta_mixup_exactly():
    both, more = plan(ways=2), plan(ways=3)
    assert both.partner.shape == both.lam.shape == (300, 1)
    assert more.partner.shape == more.lam.shape == (300, 2)
    assert np.array_equal(both.lam[::64, 0], generator(0, "lam", 0).beta(1.0, 1.0, 5).astype(np.float32))
    for first in range(0, 300, 64):
        for column in more.partner[first : first + 64].T.tolist():
            assert sorted(column) == list(range(first, min(first + 64, 300)))
    assert (plan(ways=3, alpha=0.0).lam == 1).all()


def test_folded_lambda_is_the_larger_weight():
    raw, folded = plan(), plan(fold=True)
    assert torch.allclose(folded.lam, torch.maximum(raw.lam, 1 - raw.lam), atol=1e-7)
    assert (raw.lam < 0.5).any()
    assert (plan(fold=True, alpha=0.0).lam == 1).all()


def test_partners_in_a_fixed_order():
    assert plan(n=5, batch_size=3, partner="flip").partner[:, 0].tolist() == [2, 1, 0, 4, 3]
    assert plan(n=5, batch_size=3, partner="roll").partner[:, 0].tolist() == [2, 0, 1, 4, 3]
    x = torch.arange(3)
    assert torch.equal(x[plan(n=3, batch_size=3, partner="roll").partner[:, 0]], x.roll(1))


@pytest.mark.parametrize("partner", ["random", "flip", "roll"])
@pytest.mark.parametrize("shards", [2, 3])
def test_partners_stay_in_their_shard_of_every_batch_and_meet_all_of_it(shards, partner):
    drawn = plan(n=150, shards=shards, partner=partner)
    for step in range(drawn.num_steps):
        for rank in range(shards):
            part = drawn.positions(step, rank=rank, world_size=shards)
            assert sorted(drawn.partner[part, 0].tolist()) == list(range(part.start, part.stop))


def test_partners_of_the_same_class_permute_each_class_of_each_batch():
    classes = np.random.default_rng(0).integers(0, 4, 300)
    drawn = plan(classes=classes)
    own = classes[drawn.order]
    for first in range(0, 300, 64):
        positions = range(first, min(first + 64, 300))
        assert sorted(drawn.partner[first : first + 64, 0].tolist()) == list(positions)
    assert np.array_equal(own, own[drawn.partner[:, 0]])
    assert (drawn.partner[:, 0] != torch.arange(300)).float().mean() > 0.8, "they do move"
    assert torch.equal(drawn.lam, plan().lam), "and nothing else changes"
    assert torch.equal(drawn.order, plan().order)


def test_near_partners_are_uniform_among_the_neighbours_wherever_they_are_visited():
    neighbours = np.array([[1, 2], [0, -1], [-1, -1], [0, 1]], np.int32)
    met: list[list[int]] = [[] for _ in range(4)]
    for epoch in range(1000):
        drawn = plan(n=4, batch_size=2, epoch=epoch, partner="nearest", neighbours=neighbours)
        for position, example in enumerate(drawn.order.tolist()):
            met[example].append(int(drawn.order[drawn.partner[position, 0]]))
    assert [sorted(set(examples)) for examples in met] == [[1, 2], [0], [2], [0, 1]]
    assert plan(n=4, batch_size=2, partner="nearest", neighbours=neighbours, ways=3).partner.shape == (4, 2)
    for examples in (met[0], met[3]):
        counts = np.unique(examples, return_counts=True)[1]
        assert stats.chisquare(counts).pvalue > 1e-3
