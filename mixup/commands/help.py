"""`train.py --help`, on one screen: what a person chooses from, the commonest settings, and examples."""

import shutil
import textwrap

from omegaconf import OmegaConf

from mixup.commands.arguments import Request
from mixup.errors import spelled
from mixup.run.compose import composed, searched
from mixup.run.overrides import parsed

GROUPS = ("data", "model", "mixup", "experiment", "scale")
SETTINGS = {
    "mixup.alpha": "lambda is drawn from Beta(alpha, alpha); 0 is ERM",
    "seed": "of weights, order, pairs and lambdas",
    "trainer.epochs": "passes over the training set",
    "trainer.batch_size": "of one step, over all processes",
    "optim.lr": "the learning rate at first",
    "trainer.device": "auto, cpu, cuda or cuda:1",
    "trainer.precision": "float32, tf32 or bfloat16",
    "data.root": "folder of the data sets; null: $MIXUP_DATA",
    "data.train_size": "a class-balanced part to train on; null: all",
    "data.label_noise": "share of training labels drawn anew, at random",
    "runs_dir": "where runs are written",
    "dry_run": "true: shows recipe, size and time; trains nothing",
    "sweep.on": "where -m trains: local, slurm or ray",
    "sweep.slots": "runs of -m at once; auto: by GPUs or cores",
    "tracking.wandb": "auto, online, offline or disabled",
}
EXAMPLES = {
    "python train.py": "digits: seconds",
    "python train.py model=wrn28 data=cifar100": "the paper's recipe",
    "python train.py -m experiment=table4_uci scale=cpu": "a table, small: a minute",
}
FLAGS = "-m trains every cell of a grid; --cfg job prints every setting; --config-dir DIR reads files of yours; --help-all."


def help_text(request: Request) -> str:
    """For a terminal of this width. The values of the settings are those of the command line's choices."""
    width = min(shutil.get_terminal_size().columns, 125)
    given = [override for override in parsed(request.settings) if not override.is_sweep_override()]
    config, places = composed(given, request.sources), searched(given, request.sources)
    lines = ["train.py trains one network, or with -m a sweep of them, ERM or mixup.", ""]
    column = max(map(len, EXAMPLES))
    lines += [f"  {command:{column}}  {words}" for command, words in EXAMPLES.items()]
    lines += ["", "Choose, as data=cifar10:", ""]
    for group in GROUPS:
        names = sorted({file.stem for place in places for file in (place / group).glob("*.yaml")})
        lines += textwrap.wrap(", ".join(names), width, initial_indent=f"  {group:12}", subsequent_indent=" " * 14)
    lines += ["", "Set, as seed=1:", ""]
    for key, words in SETTINGS.items():
        lines.append(f"  {f'{key}={spelled(OmegaConf.select(config, key))}':27} {words}")
    return "\n".join([*lines, "", *textwrap.wrap(FLAGS, width)])
