"""The curves of figure 2, read off the paper."""

import pytest

from mixup.errors import UserError
from mixup.ledger.figure2 import read_figure2


def test_the_papers_curves_are_asked_for_where_they_are_absent_or_damaged(tmp_path):
    (tmp_path / "damaged.csv").write_text("lambda,miss_pct_erm\n0.0,1\n")
    for name in ("absent.csv", "damaged.csv"):
        with pytest.raises(UserError, match="restore it from git"):
            read_figure2(tmp_path / name)
    (tmp_path / "whole.csv").write_text(
        "lambda,miss_pct_erm,miss_pct_mixup,gradnorm_erm,gradnorm_mixup\n0.5,16,6,0.2,0.04\n"
    )
    assert read_figure2(tmp_path / "whole.csv")["miss"] == {"ERM": [(0.5, 16.0)], "mixup": [(0.5, 6.0)]}
