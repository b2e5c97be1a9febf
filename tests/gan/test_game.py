"""The game of figure 5: its data, what the discriminator is shown, what the generator learns from, and how it is judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from mixup.gan.game import (
    BLOCK,
    SPREAD,
    Draws,
    Game,
    Players,
    discriminator_loss,
    draw,
    make_players,
    mixed_batch,
    mode_centres,
    picture_points,
    play,
    real_points,
    slopes,
)
from mixup.gan.modes import Coverage, coverage

B, STEPS = 6, 3
PAPER = Game(data="ring", kind="paper", alpha=0.2, lam_per="example", batch_size=B, discriminator_steps=STEPS)
UNMIXED, AUTHOR = (replace(PAPER, kind=kind) for kind in ("unmixed", "author"))
GAMES = pytest.mark.parametrize("game", [PAPER, UNMIXED, AUTHOR], ids=lambda game: game.kind)


def small_players(seed: int = 0, *, bfloat16: bool = False) -> Players:
    return make_players(seed, width=16, depth=3, lr=1e-3, bfloat16=bfloat16, device=torch.device("cpu"))


def weights(players: Players) -> torch.Tensor:
    parameters = [*players.generator.parameters(), *players.discriminator.parameters()]
    return torch.cat([parameter.detach().flatten() for parameter in parameters])


# -- data ----------------------------------------------------------------------------------------------------------------


def test_the_ring_lies_on_the_unit_circle_and_the_grid_on_five_ticks():
    ring, grid = mode_centres("ring"), mode_centres("grid")
    assert ring.shape == (8, 2)
    assert np.allclose(np.linalg.norm(ring, axis=1), 1)
    neighbours = np.linalg.norm(ring - np.roll(ring, 1, 0), axis=1)
    assert np.allclose(neighbours, 2 * np.sin(np.pi / 8)), "evenly spaced"
    ticks = [-1, -0.5, 0, 0.5, 1]
    assert {tuple(centre) for centre in grid.tolist()} == {(x, y) for x in ticks for y in ticks}


@pytest.mark.parametrize("data", ["ring", "grid"])
def test_real_points_are_equally_many_at_each_mode_with_the_spread_of_the_released_code(data):
    points, centres = real_points(np.random.default_rng(0), data, (50_000,)), mode_centres(data)
    nearest = np.linalg.norm(points[:, None] - centres, axis=2).argmin(1)
    share = np.bincount(nearest) / len(points)
    assert share == pytest.approx(np.full(len(centres), 1 / len(centres)), rel=0.1)
    offsets = points - centres[nearest]
    assert offsets.mean(0) == pytest.approx(np.zeros(2), abs=3 * SPREAD / len(points) ** 0.5)
    assert np.cov(offsets.T) == pytest.approx(SPREAD**2 * np.eye(2), abs=0.03 * SPREAD**2)


# -- what the discriminator is shown -------------------------------------------------------------------------------------


def rows(game: Game, draws: Draws, *, turn: int = 4, step: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A batch with an identity for a generator: real points, noise as fake ones, mixed inputs and labels."""
    real, fake = draws.real[turn, step], draws.noise[turn, step]
    inputs, labels = mixed_batch(real, fake, draws.partner[turn, step], draws.lam[turn, step])
    return torch.cat([real, fake], 1), inputs, labels


@pytest.mark.parametrize("step", [0, STEPS], ids=["discriminator", "generator"])
def test_in_the_papers_game_both_players_see_lam_x_plus_the_rest_g_with_label_lam(step):
    draws = draw(PAPER, 0, 0)
    _, inputs, labels = rows(PAPER, draws, step=step)
    for i in range(B):
        x, g, lam = draws.real[4, step, 0, i], draws.noise[4, step, 0, i], draws.lam[4, step, i]
        assert torch.equal(inputs[i], lam * x + (1 - lam) * g)
        assert labels[i] == lam
        assert torch.equal(inputs[B + i], lam * g + (1 - lam) * x), "the pair's other row has the weights exchanged"
        assert labels[B + i] == 1 - lam


def test_in_the_papers_game_lambda_is_beta_distributed_one_a_pair_or_one_a_batch():
    lam = draw(replace(PAPER, batch_size=64), 0, 0).lam
    assert lam.shape == (BLOCK, STEPS + 1, 128)
    assert torch.equal(lam[..., :64], lam[..., 64:])
    assert float(lam.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(lam.var()) == pytest.approx(1 / (4 * (2 * PAPER.alpha + 1)), rel=0.02), "of Beta(alpha, alpha)"
    shared = draw(replace(PAPER, lam_per="batch"), 0, 0).lam
    assert torch.equal(shared, shared[..., :1].expand_as(shared))
    assert len(shared[..., 0].unique()) > 0.8 * BLOCK * STEPS  # some are 0 or 1 in float32


def test_in_the_unmixed_game_the_discriminator_sees_what_it_sees_in_the_papers():
    paper, unmixed = draw(PAPER, 0, 0), draw(UNMIXED, 0, 0)
    assert torch.equal(paper.lam[:, :-1], unmixed.lam[:, :-1])
    assert torch.equal(paper.partner, unmixed.partner)
    assert torch.equal(paper.real, unmixed.real)


def test_in_the_authors_game_partners_are_a_shuffled_second_batch_with_a_uniform_weight_up_to_alpha():
    game = replace(AUTHOR, batch_size=64)
    draws = draw(game, 0, 0)
    weight = 1 - draws.lam[:, :-1]
    assert float(weight.min()) >= 0
    assert float(weight.max()) <= game.alpha + 1e-6
    assert float(weight.mean()) == pytest.approx(game.alpha / 2, rel=0.02)
    assert float(weight.var()) == pytest.approx(game.alpha**2 / 12, rel=0.02)
    partner = draws.partner[0, 0]
    assert sorted(partner.tolist()) == list(range(128, 256)), "each point of the second batch once"
    kinds = {(own < 64, other < 192) for own, other in enumerate(partner.tolist())}
    assert len(kinds) == 4, "real-real and fake-fake pairs occur too"
    points, inputs, labels = rows(game, draws)
    flat, is_real = points.flatten(0, 1), (torch.arange(256) % 128 < 64).float()
    for i, j in enumerate(draws.partner[4, 0].tolist()):
        lam = draws.lam[4, 0, i]
        assert torch.allclose(inputs[i], lam * flat[i] + (1 - lam) * flat[j])
        assert labels[i] == pytest.approx(float(lam * is_real[i] + (1 - lam) * is_real[j]))


@pytest.mark.parametrize("game", [UNMIXED, AUTHOR], ids=["unmixed", "author"])
def test_in_the_other_games_the_generator_plays_on_unmixed_points(game):
    draws = draw(game, 0, 0)
    assert bool((draws.lam[:, -1] == 1).all())
    points, inputs, labels = rows(game, draws, step=STEPS)
    assert torch.equal(inputs, points[0])
    assert labels.tolist() == [1.0] * B + [0.0] * B


@GAMES
def test_erm_shows_every_real_point_with_label_1_and_every_fake_one_with_label_0(game):
    draws = draw(replace(game, alpha=0.0), 0, 0)
    for step in range(STEPS + 1):
        points, inputs, labels = rows(game, draws, step=step)
        assert torch.equal(inputs, points[0])
        assert labels.tolist() == [1.0] * B + [0.0] * B


@GAMES
def test_erm_and_mixup_share_points_noise_and_first_weights_and_other_seeds_do_not(game):
    mixup, erm = draw(game, 3, 7), draw(replace(game, alpha=0.0), 3, 7)
    assert torch.equal(mixup.real, erm.real)
    assert torch.equal(mixup.noise, erm.noise)
    assert not torch.equal(mixup.lam, erm.lam)
    assert torch.equal(mixup.real[:, :, :1], draw(PAPER, 3, 7).real), "and so do both games"
    for other in (draw(game, 4, 7), draw(game, 3, 8)):
        assert not torch.equal(mixup.real, other.real)
        assert not torch.equal(mixup.noise, other.noise)
    assert torch.equal(weights(small_players(3)), weights(small_players(3)))
    assert not torch.equal(weights(small_players(3)), weights(small_players(4)))
    assert all(torch.equal(*pair) for pair in zip(picture_points("ring", 3), picture_points("ring", 3)))


# -- the game ------------------------------------------------------------------------------------------------------------


def plain_iteration(players: Players, real: torch.Tensor, noise: torch.Tensor) -> None:
    """The usual GAN: real points labelled 1 and fake ones 0, and a generator that undoes what the discriminator does."""
    labels = torch.cat([torch.ones(B, 1), torch.zeros(B, 1)])
    fakes = players.generator(noise[:STEPS].reshape(-1, 2)).detach().split(B)
    for step in range(STEPS):
        players.discriminator_optimizer.zero_grad()
        logits = players.discriminator(torch.cat([real[step, 0], fakes[step]]))
        binary_cross_entropy_with_logits(logits, labels).backward()
        players.discriminator_optimizer.step()
    players.generator_optimizer.zero_grad()
    logits = players.discriminator(torch.cat([real[STEPS, 0], players.generator(noise[STEPS, 0])]))
    (-binary_cross_entropy_with_logits(logits, labels)).backward()
    players.generator_optimizer.step()


def test_alpha_0_is_plain_gan_training_bit_for_bit():
    ours, plain, draws = small_players(), small_players(), draw(replace(PAPER, alpha=0.0), 0, 0)
    start = weights(ours)
    for turn in range(8):
        play(ours, draws, turn)
        plain_iteration(plain, draws.real[turn], draws.noise[turn])
    assert torch.equal(weights(ours), weights(plain))
    assert not torch.equal(weights(ours), start)


def generator_gradients(players: Players, inputs: torch.Tensor, labels: torch.Tensor) -> list[torch.Tensor]:
    loss = -discriminator_loss(players, inputs, labels)
    return list(torch.autograd.grad(loss, list(players.generator.parameters())))


def test_the_generator_plays_minimax_and_the_real_half_teaches_it_nothing():
    """Its step is the ascent of bce(d(g(z)), 0), not the descent of bce(d(g(z)), 1) that is often used instead."""
    players, draws = small_players(), draw(replace(PAPER, alpha=0.0), 0, 0)
    real, noise, partner, lam = (values[0, -1] for values in (draws.real, draws.noise, draws.partner, draws.lam))

    def fake() -> torch.Tensor:
        return players.generator(noise[0]).unsqueeze(0)

    got = generator_gradients(players, *mixed_batch(real, fake(), partner, lam))
    other = generator_gradients(players, *mixed_batch(real + 1, fake(), partner, lam))
    logits = players.discriminator(fake()[0]).squeeze(1)
    saturating = (1 - logits.sigmoid()).log().sum() / (2 * B)  # the mean is over both halves
    expected = torch.autograd.grad(saturating, list(players.generator.parameters()))
    for one, two, three in zip(got, other, expected, strict=True):
        assert torch.allclose(one, three, atol=1e-7)
        assert torch.allclose(one, two, atol=1e-7), "moved real points change nothing"


@GAMES
def test_the_players_steps_leave_each_other_alone_and_losses_are_those_of_the_batches(game):
    players, draws = small_players(), draw(game, 0, 0)
    untouched = weights(players)
    loss, floor, generator_loss = play(players, draws, 0).tolist()
    assert 0 < loss < 2
    assert -2 < generator_loss < 0
    labels = [rows(game, draws, turn=0, step=step)[2].double() for step in range(STEPS)]
    entropy = [-(p * p.log()).nan_to_num() - ((1 - p) * (1 - p).log()).nan_to_num() for p in labels]
    assert floor == pytest.approx(float(torch.stack(entropy).mean()), rel=1e-4)
    assert all(parameter.grad is None for parameter in players.discriminator.parameters())
    moved = (weights(players) - untouched).abs()
    size = sum(parameter.numel() for parameter in players.generator.parameters())
    assert float(moved[:size].max()) == pytest.approx(1e-3, rel=0.01), "one step of Adam at its default rate"
    assert 1e-3 < float(moved[size:].max()) < STEPS * 1.01e-3


def test_bfloat16_rounds_between_the_hidden_layers_alone():
    players, rounded = small_players(), small_players(bfloat16=True)
    points = torch.tensor([[1.0, -1.0], [1.002, -1.0]])  # bfloat16 has no number between 1 and 1.0078
    assert not torch.equal(*rounded.discriminator.first(points))
    exact, near = players.discriminator(points), rounded.discriminator(points)
    assert near.dtype == torch.float32
    assert not torch.equal(exact, near)
    assert torch.allclose(exact, near, atol=0.01)


def test_slopes_are_gradients_at_the_points():
    players, points, epsilon = small_players(), torch.tensor([[0.3, -0.2], [1.0, 0.5]]), 1e-4
    network = players.discriminator.double()
    points = points.double()
    by_hand, saturating = [], []
    for point in points:
        steps = torch.eye(2, dtype=torch.float64) * epsilon

        def loss(where: torch.Tensor) -> torch.Tensor:
            return -(1 - network(where).sigmoid()).log()

        by_hand.append((network(point + steps) - network(point - steps)).norm().item() / (2 * epsilon))
        saturating.append((loss(point + steps) - loss(point - steps)).norm().item() / (2 * epsilon))
    assert slopes(players, points) == pytest.approx((sum(by_hand) / 2, sum(saturating) / 2), rel=1e-3)


# -- how it is judged ----------------------------------------------------------------------------------------------------

CENTRES = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def test_samples_at_every_mode_cover_all_and_far_ones_none():
    every = np.repeat(CENTRES, 10, 0)
    assert coverage(every, CENTRES, radius=0.1) == Coverage(4, 100.0)
    assert coverage(every + 0.08, CENTRES, radius=0.1) == Coverage(0, 0.0)
    assert coverage(np.full((40, 2), np.nan), CENTRES, radius=0.1) == Coverage(0, 0.0)
    assert coverage(np.full((40, 2), np.inf), CENTRES, radius=0.1) == Coverage(0, 0.0)


def test_samples_at_one_mode_cover_one_and_strays_do_not_count():
    collapsed = np.repeat(CENTRES[1:2], 40, 0)
    assert coverage(collapsed, CENTRES, radius=0.1) == Coverage(1, 100.0)
    half = np.concatenate([collapsed, np.full((40, 2), 5.0)])
    assert coverage(half, CENTRES, radius=0.1) == Coverage(1, 50.0)


def test_the_boundaries_of_radius_and_share_are_inside():
    at_edge = np.repeat(CENTRES + 0.25 / 2**0.5, 10, 0)
    assert coverage(at_edge, CENTRES, radius=0.2501) == Coverage(4, 100.0)
    assert coverage(at_edge, CENTRES, radius=0.249) == Coverage(0, 0.0)
    for count, modes in ((9, 1), (10, 2)):  # a tenth of an equal share of 400 is 10
        samples = np.concatenate([np.repeat(CENTRES[:1], 400 - count, 0), np.repeat(CENTRES[1:2], count, 0)])
        assert coverage(samples, CENTRES, radius=0.1).modes == modes


def test_real_points_cover_everything_and_all_but_one_percent_are_good():
    for data in ("ring", "grid"):
        points = real_points(np.random.default_rng(1), data, (20_000,))
        found = coverage(points, mode_centres(data), radius=3 * SPREAD)
        assert found.modes == len(mode_centres(data))
        assert found.good_share == pytest.approx(100 * (1 - np.exp(-4.5)), abs=0.3)


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="no samples"):
        coverage(np.empty((0, 2)), CENTRES, radius=0.1)
