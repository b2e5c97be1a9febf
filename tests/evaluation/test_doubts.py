"""What cannot be of errors under attack is said, and what can be is not."""

from mixup.evaluation.doubts import doubts

MANY = 50_000  # examples: the counting error is below half a point


def results(**curves: list[float]) -> list[dict]:
    """By `source_attack`, top-1 errors at epsilon 0, 2 and 4."""
    return [
        {"source": name.split("_")[0], "attack": name.split("_")[1], "eps": eps, "top1_error": error}
        for name, errors in curves.items()
        for eps, error in zip((0.0, 2.0, 4.0), errors)
    ]


def test_attacks_that_do_as_they_should_raise_none():
    sound = results(self_fgsm=[10, 40, 60], self_ifgsm=[10, 45, 70], self_pgd=[10, 45, 71], erm_fgsm=[10, 20, 30])
    assert doubts(sound, MANY) == []


def test_an_error_that_falls_with_epsilon():
    (told,) = doubts(results(self_fgsm=[10, 40, 35]), MANY)
    assert told == "white box, fgsm: 40 % at epsilon 2, but 35 % at 4"


def test_a_stronger_attack_that_does_less():
    (told,) = doubts(results(self_fgsm=[10, 40, 60], self_ifgsm=[10, 39, 60]), MANY)
    assert told == "white box at epsilon 2: ifgsm 39 %, but fgsm 40 %"
    assert doubts(results(erm_fgsm=[10, 40, 60], erm_ifgsm=[10, 39, 60]), MANY) == [], (
        "iterated examples often transfer less"
    )


def test_examples_of_another_net_that_do_more():
    (told,) = doubts(results(self_fgsm=[10, 40, 60], erm_fgsm=[10, 41, 60]), MANY)
    assert told == "fgsm at epsilon 2: white box 40 %, but examples of erm 41 %"


def test_what_may_be_the_counting_error_of_few_examples_is_not_said():
    """Two images of 200 are nothing; 20 are something."""
    assert doubts(results(self_fgsm=[10, 40, 39]), 200) == []
    assert doubts(results(self_fgsm=[10, 40, 60], self_ifgsm=[10, 39, 60], erm_fgsm=[10, 41, 60]), 200) == []
    assert len(doubts(results(self_fgsm=[10, 40, 30]), 200)) == 1
