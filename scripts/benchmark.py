"""Measures speed, and writes results/benchmarks/<device>.json, docs/speed.md and docs/scale.md.

    python scripts/benchmark.py throughput    images/s of the paper's networks, and of the loops that a user would write
    python scripts/benchmark.py floor         our step over the bare forward, backward and update of the same network
    python scripts/benchmark.py mixing        a training step with mixing, as ERM, and with no mixing code at all
    python scripts/benchmark.py pipeline      crop, flip, normalise and mix alone, against DataLoader and transforms
    python scripts/benchmark.py processes     our loop on two processes over a plain one with DistributedDataParallel
    python scripts/benchmark.py loader        images in files to normalised batches on the device, against timm's loader
    python scripts/benchmark.py operations    operations of the device in a step, and in the network alone
    python scripts/benchmark.py startup       a dry run over `import torch`
    python scripts/benchmark.py sweep         a sweep one run after the other, over two slots
    python scripts/benchmark.py page          docs/speed.md and docs/scale.md alone, from the files in results/benchmarks

Overrides of train.yaml come next, as `model.width=16`, and then options. Contestants take turns in one process tree, so that
a machine that slows down slows all of them; a result is the median of paired ratios with its middle half. Data is
generated, but for `loader`, which reads data=tiny_imagenet as it is and enlarged to the size of ImageNet's files.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mixup.commands.benchmark import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], __doc__ or ""))
