"""What `eval.py` does: measures finished runs and prints what it found."""

from __future__ import annotations

import os
import sys

from omegaconf.errors import OmegaConfBaseException

from mixup.commands.messages import explain
from mixup.errors import UserError
from mixup.evaluation.settings import eval_config


def evaluate(arguments: list[str], *, usage: str) -> int:
    """`eval.py`: returns 0, 1 where the test error is not the record's, 2 for a mistake in the request."""
    try:
        if not arguments or {"-h", "--help"} & set(arguments):
            print(usage.strip(), flush=True)
            return 0 if arguments else 2
        wanted = eval_config(arguments)
        from mixup.evaluation.printed import report

        return 0 if report(wanted) else 1
    except (UserError, OmegaConfBaseException) as error:
        print(explain(error), file=sys.stderr)
        return 2
    except BrokenPipeError:  # `eval.py --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"{error}: restore what is missing, or train the run again", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; of what was being measured nothing is written", file=sys.stderr)
        return 130
