"""Measures a finished run: from its own configuration, record and weights, on the test set it was trained beside.

The report card: the test error again, exactly the record's or exit status 1; likelihood and calibration, also after
temperature scaling; misses between training points (figure 2); and for images the error under corruptions and attacks.
A table, and card.json and card.png in the run's directory.

    python eval.py run=runs/digits-lenet/alpha=1.0,seed=0-ce03fdc7
    python eval.py run=DIR against=DIR2           beside a second run: differences with paired 95 % intervals

Adversarial examples (section 3.5), made on the run itself or on another one; attacks.json and attacks.png:

    python eval.py run=DIR attack=fgsm,ifgsm,pgd eps=1,2,4,8
    python eval.py run=DIR attack=fgsm,ifgsm eps=4 source=DIR2      black box: made on DIR2, shown to DIR

Between training points (figure 2): misses and gradient norms at 21 lambdas; between.json and between.png:

    python eval.py run=DIR between=true
    python eval.py run=DIR between=true against=DIR2                both in one picture, beside the paper's

Settings, each as key=value:
    run        a finished run's directory, runs/<name>/<label>-<hash>; in quotes where the shell minds its signs
    against    a second run, on the same test set
    attack     fgsm, ifgsm, pgd; some of them, with commas
    eps        their bounds in pixels, 0 to 255, with commas (4)
    source     the run whose network the examples are made on (run itself)
    between    true for figure 2
    pairs      how many pairs of training examples, for figure 2 and the report card (1000)
    examples   test examples for corruptions and attacks, class-balanced, or all (1000)
    root       where the data lies here (where it lay in training)
    device     auto, cpu, cuda, cuda:<n> (auto)
"""

import sys

from mixup.commands import evaluate

if __name__ == "__main__":
    sys.exit(evaluate.evaluate(sys.argv[1:], usage=__doc__ or ""))
