"""Evidence of finished runs, and what is made from it: `python scripts/ledger.py --help` lists the verbs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mixup.commands.ledger import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
