"""Exports a finished classifier as a folder to hand on, which loads in three lines with torch alone.

    python scripts/export.py run='runs/digits-lenet/alpha=1.0,seed=0-ce03fdc7'

It holds model.pt2 (torch's own program: pixels in, logits out), model.safetensors (weights), config.json, README.md (the
model card, with results over all seeds of the run's recipe that lie beside it) and record.json. `eval.py run=FOLDER` tests
it again. Nothing that is there is overwritten; no data is read.

Settings, each as key=value:
    run     a finished run's directory, runs/<name>/<label>-<hash>; in quotes if the shell needs them
    to      the folder, new or empty (exports/<name>-<hash>)
    onnx    true for model.onnx, too
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mixup.commands.export import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="python scripts/export.py run=DIR [to=FOLDER] [onnx=true]",
    )
    parser.add_argument("settings", nargs="*", help=argparse.SUPPRESS)
    sys.exit(main(parser.parse_args().settings))
