"""Figure 5: a generative adversarial network in the plane, with a discriminator trained by ERM or by mixup (section 3.7).

The discriminator d minimises its loss on points with soft labels (1 is real, 0 is fake), the generator g maximises it,

    max_g min_d  E  bce(d(lam * p + (1 - lam) * q), lam * label(p) + (1 - lam) * label(q)).

A batch is B real and B fake points, so 2B rows; each point p is mixed with a partner q. Games differ only in q and lam:

* `paper`: q is the point's opposite, real i with fake i, and lam ~ Beta(alpha, alpha), drawn once a pair. So a pair gives
  two rows, labelled lam and 1 - lam, which have the same distribution: the mean over rows is the paper's expectation of
  bce(d(lam * x + (1 - lam) * g(z)), lam). The generator plays on mixed points too, as the formula says.
* `unmixed`: the same, but the generator plays on unmixed points: mixup is how the discriminator is trained, and no more.
  On a mixed point the formula rewards the generator for moving d away from lam to either side; here only towards real.
* `author`: what the first author's released example does (PAPER.md 2.8). q is any point of a second batch of B real and B
  fake ones, its weight 1 - lam is uniform on [0, alpha], and the generator plays on unmixed points.

**ERM is alpha = 0**, lam = 1, in all three: every real point with label 1 and every fake one with label 0, the usual game of
2B rows. It is also the limit of `paper`, since Beta(alpha, alpha) tends to lam = 0 or 1, and the two rows of a pair are
then the real and the fake point whichever it is. With one row a pair, lam = 1 alone would never show a fake point.

The generator maximises what the discriminator minimises (the minimax, or saturating, form); in ERM the real half of the
batch gives it no gradient. lambda is by default one an example, where the rest of the paper draws one a minibatch: the
formula's expectation is over (x, z, lambda) together, and the authors' example draws so.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from mixup.plan import draw_lam, generator, stream_seed

SPREAD = 0.01  # standard deviation of every mode; the released example's, the paper does not say
BLOCK = 100  # iterations whose random numbers are drawn together; another number is another run
SHOWN = 1000  # points of a picture, real and fake each

Stream = Callable[[str], np.random.Generator]  # a random generator by name


@dataclass(frozen=True)
class Game:
    """The rules: data `ring` or `grid`, kind as above, lam_per `example` or `batch`; batch_size is B above."""

    data: str
    kind: str
    alpha: float
    lam_per: str
    batch_size: int
    discriminator_steps: int


def mode_centres(data: str) -> np.ndarray:
    """The Gaussians' means, (8, 2) on the unit circle or (25, 2) on the square [-1, 1]^2."""
    if data == "ring":
        angles = 2 * math.pi * np.arange(8) / 8
        return np.stack([np.sin(angles), np.cos(angles)], 1)
    ticks = np.linspace(-1, 1, 5)
    return np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(25, 2)


def real_points(rng: np.random.Generator, data: str, shape: tuple[int, ...]) -> np.ndarray:
    """Points of the data set, (*shape, 2): a mode drawn uniformly, and a Gaussian around it."""
    centres = mode_centres(data)
    return centres[rng.integers(len(centres), size=shape)] + SPREAD * rng.standard_normal((*shape, 2))


class Draws(NamedTuple):
    """The random numbers of BLOCK iterations, each of S batches: one for each step of the discriminator, then the
    generator's. H is 2 where partners come from a second batch, else 1; points are counted real, fake, real, fake.

    real, noise: (BLOCK, S, H, B, 2) float32, points of the data set, and z.
    partner: (BLOCK, S, 2B) int64, which of the 2BH points is mixed into each of the first 2B.
    lam: (BLOCK, S, 2B) float32 in [0, 1], the weight of the point itself.
    """

    real: Tensor
    noise: Tensor
    partner: Tensor
    lam: Tensor


def draw(game: Game, seed: int, block: int) -> Draws:
    """The random numbers of a block of iterations, a function of the arguments. Games with one seed share real points and
    noise at every alpha."""

    def stream(name: str) -> np.random.Generator:
        return generator(seed, f"gan_{name}", block)

    batches = (BLOCK, game.discriminator_steps + 1)
    shape = (*batches, 1, game.batch_size)
    halves = ["", "partner_"] if game.kind == "author" else [""]
    real = [real_points(stream(f"{half}real"), game.data, shape) for half in halves]
    noise = [stream(f"{half}noise").standard_normal((*shape, 2)) for half in halves]
    draw_mixing = author_mixing if game.kind == "author" else paper_mixing
    partner, lam = draw_mixing(game, stream, batches)
    return Draws(
        real=torch.from_numpy(np.concatenate(real, 2)).float(),
        noise=torch.from_numpy(np.concatenate(noise, 2)).float(),
        partner=torch.from_numpy(partner),
        lam=torch.from_numpy(lam).float(),
    )


def paper_mixing(game: Game, stream: Stream, batches: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Partner and lambda of the paper's game, and of `unmixed`: real i with fake i, the same lambda for both of a pair."""
    size = game.batch_size
    lam = draw_lam(stream("lam"), math.prod(batches) * size, size, alpha=game.alpha, lam_per=game.lam_per)
    lam = np.tile(lam.reshape(*batches, size), 2)
    if game.kind == "unmixed":
        lam[:, -1] = 1
    opposite = np.roll(np.arange(2 * size), size)
    return np.broadcast_to(opposite, lam.shape).copy(), lam


def author_mixing(game: Game, stream: Stream, batches: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Partner and lambda of the released example: any point of the second batch; the generator's own batch is unmixed."""
    rows = 2 * game.batch_size
    partner = rows + stream("partner").permuted(np.broadcast_to(np.arange(rows), (*batches, rows)), axis=-1)
    weight = game.alpha * stream("lam").random((*batches, rows if game.lam_per == "example" else 1))
    weight[:, -1] = 0
    return partner, 1 - np.broadcast_to(weight, partner.shape)


def picture_points(data: str, seed: int) -> tuple[Tensor, Tensor]:
    """The real points of a run's pictures and the noise of all its snapshots, both (SHOWN, 2)."""
    real = real_points(generator(seed, "gan_shown_real"), data, (SHOWN,))
    noise = generator(seed, "gan_shown_noise").standard_normal((SHOWN, 2))
    return torch.from_numpy(real).float(), torch.from_numpy(noise).float()


class Players(NamedTuple):
    """Both networks and their optimizers."""

    generator: nn.Module
    discriminator: nn.Module
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer

    @property
    def networks(self) -> nn.ModuleDict:
        return nn.ModuleDict({"generator": self.generator, "discriminator": self.discriminator})


def make_players(seed: int, *, width: int, depth: int, lr: float, bfloat16: bool, device: torch.device) -> Players:
    """Networks with `depth` hidden layers of ReLU and linear outputs; Adam at torch's other defaults."""
    torch.manual_seed(stream_seed(seed, "init"))
    networks = [Perceptron(width, depth, outputs, bfloat16=bfloat16).to(device) for outputs in (2, 1)]
    optimizers = [torch.optim.Adam(network.parameters(), lr=lr, fused=True) for network in networks]
    return Players(networks[0], networks[1], optimizers[0], optimizers[1])


class Perceptron(nn.Module):
    """Fully connected, from a point or z in the plane. bfloat16: in the layers between hidden ones, which do nearly all of
    the work. In the first and the last it would round coordinates near 1 by up to 0.004, and a mode's deviation is 0.01.
    """

    def __init__(self, width: int, depth: int, outputs: int, *, bfloat16: bool) -> None:
        super().__init__()
        self.rounds = bfloat16
        self.first = nn.Sequential(nn.Linear(2, width), nn.ReLU())
        self.between = nn.Sequential(*(layer for _ in range(depth - 1) for layer in (nn.Linear(width, width), nn.ReLU())))
        self.last = nn.Linear(width, outputs)

    def forward(self, points: Tensor) -> Tensor:
        """(N, 2) to (N, outputs)."""
        hidden = self.first(points)
        with torch.autocast(points.device.type, torch.bfloat16, enabled=self.rounds):
            hidden = self.between(hidden)
        return self.last(hidden.to(points.dtype))


def mixed_batch(real: Tensor, fake: Tensor, partner: Tensor, lam: Tensor) -> tuple[Tensor, Tensor]:
    """The 2B rows that the discriminator sees, and their soft labels. real, fake: (H, B, 2); partner, lam: (2B,)."""
    points = torch.cat([real, fake], 1).flatten(0, 1)
    label = torch.cat([torch.ones_like(real[..., 0]), torch.zeros_like(fake[..., 0])], 1).flatten()
    rows, weight = len(lam), lam.unsqueeze(1)
    inputs = weight * points[:rows] + (1 - weight) * points.index_select(0, partner)
    return inputs, lam * label[:rows] + (1 - lam) * label[partner]


def play(players: Players, draws: Draws, turn: int) -> Tensor:
    """One iteration, the block's `turn`-th: the discriminator's steps, then the generator's one.

    Returns (3,): the discriminator's loss, the least it could be (the labels' entropy), each a mean over its steps, and
    the generator's loss.
    """
    real, noise, partner, lam = draws.real[turn], draws.noise[turn], draws.partner[turn], draws.lam[turn]
    with torch.no_grad():
        fakes = players.generator(noise[:-1].flatten(0, 2)).view_as(real[:-1])
    losses = torch.zeros(3, device=real.device)
    for step, fake in enumerate(fakes):
        inputs, labels = mixed_batch(real[step], fake, partner[step], lam[step])
        loss = discriminator_loss(players, inputs, labels)
        loss.backward()
        players.discriminator_optimizer.step()
        players.discriminator_optimizer.zero_grad()
        floor = (torch.special.entr(labels) + torch.special.entr(1 - labels)).mean()
        losses[:2] += torch.stack([loss.detach(), floor]) / len(fakes)
    fake = players.generator(noise[-1].flatten(0, 1)).view_as(real[-1])
    loss = -discriminator_loss(players, *mixed_batch(real[-1], fake, partner[-1], lam[-1]))
    loss.backward(inputs=list(players.generator.parameters()))  # none for the discriminator, which has no use for them
    players.generator_optimizer.step()
    players.generator_optimizer.zero_grad()
    losses[2] = loss.detach()
    return losses


def discriminator_loss(players: Players, inputs: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of `inputs`, (B, 2), and `labels`, (B,), the share of each that is real (section 3.7)."""
    return binary_cross_entropy_with_logits(players.discriminator(inputs).squeeze(1), labels)


def slopes(players: Players, points: Tensor) -> tuple[float, float]:
    """Mean norm at `points`, (N, 2), of the gradient of the discriminator's logit, and of -log(1 - probability of real),
    which is what a fake point of the unmixed game follows: near 0 the generator cannot learn."""
    points = points.detach().requires_grad_()
    logits = players.discriminator(points).squeeze(1)
    (gradient,) = torch.autograd.grad(logits.sum(), points)
    norm = gradient.norm(dim=1)
    return float(norm.mean()), float((norm * logits.detach().sigmoid()).mean())
