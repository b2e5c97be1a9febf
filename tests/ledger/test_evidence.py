"""From finished runs to committed evidence: what is kept, and every reason for which a run is refused."""

import json
import math

import numpy as np
import pytest
import torch
from ledger_factory import commit_run, composed, edit, make_game, make_run

from mixup.commands.ledger import main
from mixup.errors import UserError
from mixup.evaluation.calibration import brier_scores
from mixup.evaluation.measurements import write_measurement
from mixup.ledger.collect import collect_run, contents, runs_below
from mixup.ledger.evidence import EXACT, faults, read_evidence, read_run
from mixup.run import records

SMALL = ("experiment=quickstart", "trainer.epochs=12")


def words(runs, out, *, allow_dirty=False, replace=False):
    """What becomes of each run, and the reason of a refusal."""
    found = []
    for run in runs:
        try:
            found.append((collect_run(run, out, allow_dirty=allow_dirty, replace=replace), ""))
        except UserError as error:
            found.append(("refused", str(error)))
    return found


# -- what is kept --------------------------------------------------------------------------------------------------------


def test_a_run_is_kept_whole_and_small(tmp_path):
    run = make_run(tmp_path / "runs", *SMALL, error=7.77)
    assert words([run], tmp_path / "kept") == [("collected", "")]
    (found,) = read_evidence(tmp_path / "kept")
    assert found.record == records.read_record(run)
    assert found.file.name == f"{run.name}.json"
    assert found.curve["test_top1_error"] == [80.0, 80.0] + [7.77] * 10
    assert found.curve["epoch"] == list(range(1, 13))
    assert "train_step_loss" not in found.curve
    assert (found.config, faults(found)) == (composed(SMALL), [])
    assert sum(file.stat().st_size for file in (tmp_path / "kept").rglob("*.*")) < 5000


def test_errors_keep_every_bit_and_the_rest_six_digits(tmp_path):
    run = make_run(tmp_path / "runs", *SMALL)
    lines = records.read_metrics(run)
    third = 100 / 3
    for line in lines:
        line |= (
            {"test_top1_error": third, "train_loss": third, "seconds": math.nan, "step": 1_234_567}
            if "epoch" in line
            else {}
        )
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = read_run(commit_run(tmp_path, run))
    assert "test_top1_error" in EXACT
    assert (found.curve["test_top1_error"][0], found.curve["train_loss"][0]) == (third, 33.3333)
    assert (found.curve["step"][0], math.isnan(found.curve["seconds"][0])) == (1_234_567, True)


def test_measurements_come_along_rounded(tmp_path):
    run = make_run(tmp_path / "runs", *SMALL)
    write_measurement(run, "attacks.json", {"examples": 100, "results": [{"top1_error": 100 / 3}]})
    write_measurement(run, "surface.json", {"probability": [[1 / 3, 2 / 3]]})
    assert words([run], tmp_path / "kept") == [("collected", "")]
    found = read_run(tmp_path / "kept" / "quickstart" / f"{run.name}.json")
    assert found.evaluations["attacks"]["results"] == [{"top1_error": 33.3333}]
    assert found.evaluations["surface"]["probability"] == [[0.3333, 0.6667]]
    assert "[0.3333, 0.6667]" in found.file.read_text()  # a row of numbers is a line


def test_a_gan_has_the_samples_of_one_seed(tmp_path):
    games = [make_game(tmp_path / "runs", "mixup.alpha=0.2", seed=seed, modes=3) for seed in (0, 1)]
    assert words(games, tmp_path / "kept") == [("collected", "")] * 2
    first, second = read_evidence(tmp_path / "kept")
    assert (first.config.gan is not None, first.curve["test_modes"], faults(first), faults(second)) == (
        True,
        [3.0, 3.0],
        [],
        [],
    )
    with np.load(first.samples) as points:
        assert sorted(points) == ["fake10", "fake20000", "real"]
        assert points["real"][0, 0] == np.float32(0.123)
    assert not second.samples.exists()


def test_the_same_run_gives_the_same_bytes(tmp_path):
    run = make_run(tmp_path / "runs", *SMALL)
    game = make_game(tmp_path / "runs", seed=0, modes=3)
    assert contents(run) == contents(run)
    assert contents(game) == contents(game)


# -- which runs ----------------------------------------------------------------------------------------------------------


def test_a_folder_of_runs_or_of_experiments_is_all_of_them(tmp_path):
    runs = sorted(make_run(tmp_path / "runs", *SMALL, seed=seed) for seed in (0, 1))
    assert runs_below([tmp_path / "runs" / "quickstart"]) == runs
    assert runs_below([tmp_path / "runs"]) == runs
    assert runs_below([runs[0], runs[0]]) == [runs[0]]
    with pytest.raises(UserError, match="no run lies there; name a run's directory"):
        runs_below([tmp_path / "absent"])


def test_one_refusal_leaves_the_others_alone(tmp_path):
    runs = [make_run(tmp_path / "runs", *SMALL, seed=seed) for seed in (0, 1, 2)]
    (runs[1] / "record.json").unlink()
    told = words(runs, tmp_path / "kept")
    assert [word for word, _ in told] == ["collected", "refused", "collected"]
    assert told[1][1] == "it has not finished; the command that started it resumes it"
    assert len(read_evidence(tmp_path / "kept")) == 2


# -- refusals ------------------------------------------------------------------------------------------------------------


def test_a_dirty_tree_is_refused_unless_told_otherwise(tmp_path):
    for number, dirty in enumerate((True, None)):
        run = make_run(tmp_path / "runs", *SMALL, seed=number, dirty=dirty)
        ((word, reason),) = words([run], tmp_path / "kept")
        assert word == "refused"
        assert "uncommitted changes" in reason
        assert "--allow-dirty" in reason
        assert words([run], tmp_path / "kept", allow_dirty=True) == [("collected", "")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"test__top1_error__last": 4.0}, "is not that of its curve"),
        ({"test__top1_error__best": 4.0}, "is not that of its curve"),
        ({"epochs": 13}, "its curve has 12 epochs, its record 13"),
        ({"config__mixup__alpha": 0.5}, "its configuration has the hash"),
        ({"config__seed": 5}, "its configuration has the hash"),
        ({"hash": "01234567"}, "its configuration has the hash"),
        ({"config__mixup__alhpa": 0.5}, "none of today's"),
        ({"config": 3}, "none of today's"),
        ({"test": None}, "no record of ours"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(tmp_path, changes, reason):
    run = make_run(tmp_path / "runs", *SMALL)
    edit(run / "record.json", **changes)
    ((word, told),) = words([run], tmp_path / "kept")
    assert word == "refused"
    assert reason in told
    assert not (tmp_path / "kept").exists()


def test_a_run_that_cannot_be_read_does_not_keep_the_others_out(tmp_path, capsys):
    """Its weights are gone, of which its report card is."""
    runs = [make_run(tmp_path / "runs", *SMALL, seed=seed, error=5.0) for seed in (0, 1)]
    (runs[0] / "weights.safetensors").write_bytes(b"weights")
    write_measurement(runs[0], "card.json", {"test_count": 1, "measures": {}})
    (runs[0] / "weights.safetensors").unlink()
    assert main(["collect", *map(str, runs), "--out", str(tmp_path / "kept")]) == 1
    told = capsys.readouterr()
    assert f"refused {runs[0]}: " in told.err
    assert "1 refused, 1 collected" in told.out


def test_an_error_must_be_that_of_the_predictions(tmp_path):
    run = make_run(tmp_path / "runs", *SMALL, error=5.0, device="CPU (1 threads)")
    for field in ("last", "best", "last10_median"):
        edit(run / "record.json", **{f"test__top1_error__{field}": 4.99})
    text = (run / "metrics.jsonl").read_text().replace('"test_top1_error": 5.0', '"test_top1_error": 4.99')
    (run / "metrics.jsonl").write_text(text)
    ((word, reason),) = words([run], tmp_path / "kept")
    assert (word, reason) == ("refused", "its last test error 4.99 is not that of its predictions, 5.0")
    edit(run / "record.json", device="NVIDIA H100")  # whose kernels may round one prediction of a thousand otherwise
    assert words([run], tmp_path / "kept") == [("collected", "")]
    whole = (run / "predictions.npz").read_bytes()
    for content in (whole[: len(whole) // 2], b""):  # BadZipFile and EOFError are neither OSError nor ValueError
        (run / "predictions.npz").write_bytes(content)
        ((_, reason),) = words([run], tmp_path / "kept")
        assert "predictions.npz cannot be read" in reason
    (run / "predictions.npz").unlink()
    ((_, reason),) = words([run], tmp_path / "kept")
    assert "predictions.npz cannot be read" in reason


def test_a_report_card_must_be_of_the_predictions_and_of_the_record(tmp_path):
    run = make_run(tmp_path / "runs", *SMALL, error=5.0)
    with np.load(run / "predictions.npz") as saved:
        logits, labels = torch.from_numpy(saved["logits"]), torch.from_numpy(saved["labels"])
    true = {
        "top1_error": 5.0,
        "nll": torch.nn.functional.cross_entropy(logits.double(), labels).item(),
        "brier": brier_scores(logits.softmax(1), labels).mean().item(),
    }
    edit(run / "record.json", test__nll=true["nll"], test__count=len(labels))
    for name, said in {"top1_error": "the record's", "nll": "the record's", "brier": "that of its predictions"}.items():
        measures = true | {name: 1.02 * true[name]}
        write_measurement(run, "card.json", {"test_count": len(labels), "measures": measures})
        ((word, reason),) = words([run], tmp_path / "kept")
        assert (word, f"its report card's {name}" in reason, f"is not {said}" in reason) == ("refused", True, True), reason
    write_measurement(run, "card.json", {"test_count": len(labels), "measures": true})
    assert words([run], tmp_path / "kept") == [("collected", "")]


def test_a_measurement_of_other_weights_is_refused(tmp_path):
    run = make_run(tmp_path / "runs", *SMALL)
    write_measurement(run, "attacks.json", {"examples": 100, "results": []})
    (run / "weights.safetensors").write_bytes(b"others")
    ((word, reason),) = words([run], tmp_path / "kept")
    assert (word, "attacks.json is damaged or of other weights" in reason) == ("refused", True)


def test_a_gan_whose_record_is_not_its_curve_is_refused(tmp_path):
    game = make_game(tmp_path / "runs", seed=0, modes=3)
    edit(game / "record.json", test__modes__last=8)
    ((word, reason),) = words([game], tmp_path / "kept")
    assert (word, reason) == (
        "refused",
        "its test modes {'last': 8} is not that of its curve, {'last': 3.0}: one of them was changed",
    )


def test_what_is_committed_is_not_overwritten_unasked(tmp_path):
    run, kept = make_run(tmp_path / "runs", *SMALL, error=5.0), tmp_path / "kept"
    assert words([run], kept) == [("collected", "")]
    assert words([run], kept) == [("unchanged", "")]
    write_measurement(run, "attacks.json", {"examples": 100, "results": []})
    assert words([run], kept) == [("measurements added", "")]
    write_measurement(run, "attacks.json", {"examples": 200, "results": []})
    assert words([run], kept)[0][0] == "refused"
    other = make_run(tmp_path / "again", *SMALL, error=6.0)
    ((word, reason),) = words([other], kept)
    assert word == "refused"
    assert "test.top1_error: {'last': 5.0" in reason
    assert "--replace takes this one" in reason
    assert words([other], kept, replace=True) == [("replaced", "")]
    assert read_evidence(kept)[0].record["test"]["top1_error"]["last"] == 6.0


def test_two_recipes_under_one_name_are_refused(tmp_path):
    """As after a change of configs/recipe between the seeds of one cell."""
    runs = [make_run(tmp_path / "runs", *SMALL, seed=0), make_run(tmp_path / "runs", *SMALL, "optim.lr=0.03", seed=1)]
    edit(
        runs[1] / "record.json", label=json.loads((runs[0] / "record.json").read_text())["label"].replace("seed=0", "seed=1")
    )
    told = words(runs, tmp_path / "kept")
    assert [word for word, _ in told] == ["collected", "refused"]
    assert "stand for one cell and differ in optim.lr" in told[1][1]


def test_two_data_sets_in_one_cell_are_refused(tmp_path):
    runs = [make_run(tmp_path / "runs", *SMALL, seed=seed) for seed in (0, 1)]
    edit(runs[1] / "record.json", data__fingerprint="another")
    assert "were trained on different data" in words(runs, tmp_path / "kept")[1][1]


# -- after it was committed ----------------------------------------------------------------------------------------------


def test_evidence_that_is_as_it_was_collected_has_no_faults(tmp_path):
    assert faults(read_run(commit_run(tmp_path, make_run(tmp_path / "runs", *SMALL)))) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"test__top1_error__last": 4.0}, "is not that of its curve"),
        ({"test__top5_error": 0.5}, "edited after it was collected"),
        ({"seed": 7}, "edited after it was collected"),
        ({"evaluations": {"card": {}}}, "edited after it was collected"),
        ({"environment": None}, "edited after it was collected"),
    ],
)
def test_evidence_edited_by_hand_is_told(tmp_path, changes, reason):
    file = commit_run(tmp_path, make_run(tmp_path / "runs", *SMALL))
    edit(file, **changes)
    assert reason in faults(read_run(file))[0]


def test_error_and_curve_edited_together_are_told(tmp_path):
    file = commit_run(tmp_path, make_run(tmp_path / "runs", *SMALL, error=5.0))
    for name in ("last", "best", "last10_median"):
        edit(file, **{f"test__top1_error__{name}": 4.0})
    curve = file.with_suffix(".csv")
    curve.write_text(curve.read_text().replace(",5.0", ",4.0"))
    assert faults(read_run(file)) == ["its digest is not that of its content: it was edited after it was collected"]


@pytest.mark.parametrize("damage", ["{", '{"a": 1}', "[]"])
def test_a_damaged_file_is_named_with_a_remedy(tmp_path, damage):
    file = commit_run(tmp_path, make_run(tmp_path / "runs", *SMALL))
    file.write_text(damage)
    with pytest.raises(UserError, match=r"cannot be read .* restore both, or collect the run again") as error:
        read_evidence(tmp_path)
    assert str(file) in str(error.value)


def test_a_lost_curve_is_named(tmp_path):
    file = commit_run(tmp_path, make_run(tmp_path / "runs", *SMALL))
    file.with_suffix(".csv").write_text("epoch,step\n1\n")
    with pytest.raises(UserError, match=r"the \.csv beside it cannot be read"):
        read_run(file)


# -- the command ---------------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_did(command, tmp_path):
    good = make_run(tmp_path / "runs", *SMALL, seed=0)
    bad = make_run(tmp_path / "runs", *SMALL, seed=1, dirty=True)
    done = command("scripts/ledger.py", "collect", tmp_path / "runs" / "quickstart", "--out", tmp_path / "kept")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == f"collected: {good}"
    assert "1 collected, 1 refused" in done.stdout
    assert done.stderr.startswith(f"refused {bad}: it ran from a tree with uncommitted changes")
    none = command("scripts/ledger.py", "collect", tmp_path / "absent", "--out", tmp_path / "kept")
    assert (none.returncode, none.stderr.count("\n")) == (2, 1)
    assert "no run lies there" in none.stderr
