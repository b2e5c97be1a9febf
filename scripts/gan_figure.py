"""Draws figure 5 from the records of `python train.py -m experiment=figure5_gan`: what ERM's and mixup's generators make,
iteration by iteration, and how many modes they cover, with the spread over seeds. A look at runs as they come in: what is
committed is made from evidence, by `make figures`. The table is beside the runs, `table.md`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mixup.figures.ink import write_png

from mixup.figures.gan import draw_modes, draw_samples, games_in, modes_note, samples_note

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--runs", type=Path, default=ROOT / "runs" / "figure5_gan", help="the runs' folder (default runs/figure5_gan)"
    )
    parser.add_argument("--out", type=Path, help="where the pictures go (default the runs' folder)")
    parser.add_argument("--scale", default="paper", help="paper (default) or cpu")
    parser.add_argument("--seed", type=int, default=0, help="the seed whose samples are shown (default 0)")
    options = parser.parse_args()
    games = [game for game in games_in(options.runs) if game.record["config"]["scale"] == options.scale]
    if not games:
        print(
            f"no finished run of scale={options.scale} in {options.runs}: first python train.py -m "
            f"experiment=figure5_gan scale={options.scale}",
            file=sys.stderr,
        )
        return 2
    shown = [game for game in games if game.seed == options.seed]
    if not shown:
        print(f"no run of seed {options.seed} is there: --seed takes another", file=sys.stderr)
        return 2
    name = "figure5_gan" + ("" if options.scale == "paper" else f"-{options.scale}")
    out = options.out or options.runs
    out.mkdir(parents=True, exist_ok=True)
    write_png(lambda: draw_samples(shown, samples_note(shown, options.scale)), out / f"{name}.png")
    write_png(lambda: draw_modes(games, modes_note(games, options.scale)), out / f"{name}-modes.png")
    print(f"wrote {out / name}.png and {name}-modes.png from {len(games)} runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
