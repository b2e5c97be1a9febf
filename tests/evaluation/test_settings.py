"""The settings of eval.py, read and checked."""

import re

from mixup.commands.evaluate import evaluate
from mixup.evaluation.settings import eval_config


def test_settings_are_read_and_checked(capsys):
    wanted = eval_config(["run=a,b=1", "attack=fgsm,pgd", "eps=0.5,4", "source=x=2", "examples=all"])
    assert (wanted.run, wanted.attack, wanted.eps) == ("a,b=1", ["fgsm", "pgd"], [0.5, 4.0])
    assert (wanted.source, wanted.examples) == ("x=2", None)
    assert eval_config(["run=a", "attack=fgsm"]).eps == [4.0]
    assert eval_config(["run=a", "between=true", "pairs=7"]).pairs == 7
    for arguments, message in {
        ("atack=fgsm",): "did you mean 'attack'",
        ("attack=fgms",): "did you mean 'fgsm'",
        ("eps=4",): "eps applies to attacks only; add attack=fgsm,ifgsm",
        ("attack=fgsm", "eps=-1"): "0 to 255",
        ("attack=fgsm", "eps=nan"): "0 to 255",
        ("attack=fgsm", "eps=four"): "'four' .* could not be converted to Float",
        ("examples=0",): "at least 1, or all",
        ("examples=1.5",): "'1.5' .* could not be converted to Integer",
        ("between=maybe",): "'maybe' is not a valid bool",
        ("pairs=1",): "at least 2",
        ("between=true", "attack=fgsm"): "once for each",
        ("attack=fgsm", "against=b"): "source=DIR",
    }.items():
        assert evaluate(["run=a", *arguments], usage="") == 2
        assert re.search(message, capsys.readouterr().err)
