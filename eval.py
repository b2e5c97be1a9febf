"""Measures a finished classifier: from its own configuration, record and weights, on the test set of its training.

The report card: the test error again, exactly the record's or exit status 1; likelihood and calibration, also after
temperature scaling; misses between training points (figure 2); and for images the error under corruptions and attacks.
Prints a table, and writes card.json and card.png into the run's directory.

    python eval.py run=runs/digits-lenet/alpha=1.0,seed=0-ce03fdc7
    python eval.py run=DIR against=DIR2           against a second run: differences with paired 95 % intervals

Adversarial examples (section 3.5), made on the run itself or on another run; attacks.json and attacks.png:

    python eval.py run=DIR attack=fgsm,ifgsm,pgd eps=1,2,4,8
    python eval.py run=DIR attack=fgsm,ifgsm eps=4 source=DIR2      black box: made on DIR2, shown to DIR

Between training points (figure 2): misses and gradient norms at 21 lambdas; between.json and between.png:

    python eval.py run=DIR between=true
    python eval.py run=DIR between=true against=DIR2                both in one picture with the paper's

Settings, each as key=value:
    run        a finished run's directory, runs/<name>/<label>-<hash>, or an exported one; in quotes if the shell needs them
    against    a second run with the same test set
    attack     some of fgsm, ifgsm, pgd, with commas
    eps        their bounds in pixels, 0 to 255, with commas (4)
    source     the run whose network the examples are made on (the run itself)
    between    true for figure 2
    pairs      how many pairs of training examples, for figure 2 and the report card (1000)
    examples   test examples for corruptions and attacks, class-balanced, or all (1000)
    root       data.root on this machine (that of the training)
    device     auto, cpu, cuda, cuda:<n> (auto)
"""

import sys

from mixup.commands import evaluate


def main() -> int:
    """Returns the exit status: 0, 1 if the test error is not the record's, 2 for a mistake in the request."""
    return evaluate.evaluate(sys.argv[1:], usage=__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
