"""Where the files are that the package reads besides its own: configurations, and the numbers of the paper."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
INSTALLED = (PACKAGE / "configs").is_dir()  # a wheel has copies in the package
ROOT = PACKAGE if INSTALLED else PACKAGE.parent
CONFIGS = ROOT / "configs"
RESULTS = ROOT / "results"
