"""Draws figure 5 from the records of `python scripts/train_gan.py -m`: what ERM's and mixup's generators make, iteration by
iteration, and how many modes they cover, with the spread over seeds; and writes the table. A look at runs as they come in:
what is committed is made from evidence, by `make figures` and `make tables`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mixup.figures.gan import Game, draw_modes, draw_samples, games_in, groups, methods, modes_note, samples_note
from mixup.figures.ink import write_png
from mixup.records import cells

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "gan", help="the runs' folder (default runs/gan)")
    parser.add_argument("--out", type=Path, help="where the table and the pictures go (default the runs' folder)")
    parser.add_argument("--scale", default="paper", help="paper (default) or cpu")
    parser.add_argument("--seed", type=int, default=0, help="the seed whose samples are shown (default 0)")
    options = parser.parse_args()
    games = [game for game in games_in(options.runs) if game.record["config"]["scale"] == options.scale]
    if not games:
        print(
            f"no finished run of scale={options.scale} in {options.runs}: first python scripts/train_gan.py -m "
            f"scale={options.scale}",
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
    (out / f"{name}.md").write_text(table(games, name, options.seed))
    write_png(lambda: draw_samples(shown, samples_note(shown, options.scale)), out / f"{name}.png")
    write_png(lambda: draw_modes(games, modes_note(games, options.scale)), out / f"{name}-modes.png")
    print(f"wrote {out / name}.md, .png and -modes.png from {len(games)} runs")
    return 0


def table(games: list[Game], name: str, seed: int) -> str:
    """Markdown: data x method after the last iteration, mean ± standard deviation over seeds."""
    columns = ("modes", "good_share", "modes_loose", "good_share_loose", "in_window", "slope")
    rows = []
    names = methods(games)
    for group in groups(games):
        record = group[0].record
        values = [cells([game.record for game in group], "last", column)[0] for column in columns]
        each = ", ".join(f"{modes:.0f}" for modes in values[0].errors)
        data = f"{group[0].data} ({record['data']['modes']})"
        rows.append(f"| {data} | {names[record['cell']]} | {' | '.join(map(str, values))} | {each} |")
    first = games[0].record
    config = first["config"]
    return "\n".join(
        [
            f"# Figure 5: a GAN trained with ERM and with mixup (scale={config['scale']})",
            "",
            "| data (modes) | method | modes covered | good samples % | modes, loosely | good samples %, loosely "
            "| samples in the picture % | slope of d | modes covered, each seed |",
            "|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"After {config['iterations']:,} iterations, mean ± standard deviation (number of seeds), of 1,000 samples. A "
            "sample is good within 3 standard deviations of a mode, loosely within 10; a mode is covered by a tenth of an "
            "equal share of the samples, all of them good. The slope is the mean norm of the gradient of the "
            "discriminator's logit at the samples. The paper gives a picture and no numbers.",
            "",
            f"![samples]({name}.png)",
            f"![modes covered over the iterations]({name}-modes.png)",
            "",
            f"Samples of seed {seed}. Networks of {config['depth']} x {config['width']}, "
            f"on {first['device']}. Made by `python scripts/gan_figure.py`.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
