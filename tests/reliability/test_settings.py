"""Settings as users type them: what they asked for, or one message that names the setting and the remedy."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from mixup.commands import evaluate
from mixup.errors import UserError
from mixup.run.compose import planned


def one_message(error: str, length: int = 330) -> bool:
    return len(error.strip().splitlines()) == 1 and len(error) < length and "Traceback" not in error


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("=3",), "write key=value"),
        (("",), "write key=value"),
        (("seed",), "write key=value"),
        (("~data",), "data=VALUE"),
        (("~mixup.alpha",), "mixup.alpha=VALUE"),
        (("data=null",), "data=NAME"),
        (("data=3",), "data=3"),
        (("model=[lenet,mlp]",), "model=NAME,NAME with -m"),
        (("data=cifar10,cifar100",), "add -m"),
        (("experiment=wrong",), "there are alpha_sweep"),
        (("+experiment=quickstart",), "experiment"),
        (("experiment@foo=quickstart",), "experiment@foo"),
        (("foo/bar=baz",), "foo/bar"),
        (("optim=3",), "optim"),
        (("optim=null",), "optim"),
        (("gan={game:paper}",), "model=gan"),
        (("gan.iterations=3",), "model=gan"),
        (("seed=${seed}",), "seed"),
        (("seed=${nothing}",), "seed: interpolation key 'nothing' not found"),
        (("name=${oc.env:NOT_SET_ANYWHERE}",), "NOT_SET_ANYWHERE"),
        (("seed=???",), "seed"),
        (("name=2024_10",), "'name=\"2024_10\"'"),
        (("data.root=/a,b",), "'data.root=\"/a,b\"'"),
        (("runs_dir='/a",), "runs_dir"),
        (("-m", "mixup.alpha=interval(0,1)"), "list them"),
        (("-m", "seed=range(0,0)"), "no values to run"),
        (("-m", "experiment=glob(zz*)"), "no values to run"),
        (("-m", "seed=range(0,1000000000000)"), "too many values"),
        (("-m", "seed=range(0,1000)", "data.seed=range(0,1000)"), "1,000,000 runs"),
        (("-m", "data.root=/a,/b"), "one folder"),
        (("-m", "trainer.log_every_steps=5,6"), "one folder"),
    ],
)
def test_a_mistake_in_a_setting_is_one_message_that_names_it(train, tmp_path, words, remedy):
    status, output, error = train(*words)
    assert (status, output) == (2, "")
    assert remedy in error
    assert one_message(error, 500)
    assert list(tmp_path.iterdir()) == []


PATHS = [
    "~/x",
    '"~/x"',
    "é",
    "a#b",
    "a&b",
    "a(b)",
    "a=b",
    "a b",
    "a[b]",
    "a{b}",
    "a;b",
    "a$b",
    '"a,b"',
    "a!b",
    "日本",
    "a<b>",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_the_folder_that_it_names(monkeypatch, tmp_path, path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (task,) = planned([f"runs_dir={path}", f"data.root={path}"], multirun=False)
    assert task.folder.parent.parent == Path(path.strip('"')).expanduser()
    assert Path(task.config.data.root or "").expanduser() == Path(path.strip('"')).expanduser()


@pytest.mark.parametrize("key", ["runs_dir", "data.root", "tracking.project"])
@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a'b", """'KEY="a'"'"'b"'"""),
        ('a"b', """'KEY="a\\"b"'"""),
        ("a,b", """'KEY="a,b"'"""),
        ("2024_10", """'KEY="2024_10"'"""),
    ],
)
def test_a_text_that_has_to_be_quoted_is_shown_as_a_shell_takes_it(key, value, written):
    with pytest.raises(UserError) as caught:
        planned([f"{key}={value}"], multirun=False)
    written = written.replace("KEY", key)
    assert str(caught.value).startswith(key)
    assert str(caught.value).endswith(written)
    (word,) = shlex.split(written)
    (task,) = planned([word], multirun=False)
    assert value in str(task.config)


def test_hydra_shows_a_path_that_its_grammar_cannot_read(command):
    done = command("train.py", "data.root=~/a(b)", "--cfg", "job")
    assert "root: ~/a(b)" in done.stdout


@pytest.mark.parametrize("setting", ["runs_dir", "data.root", "data.file"])
def test_the_home_of_nobody_is_no_folder(setting):
    with pytest.raises(UserError, match=f"{setting}=~nobody-here/x: there is no such home"):
        planned([f"{setting}=~nobody-here/x"], multirun=False)


PACKAGE = "# @package _global_\n"
BAD_FILES = [
    (f"{PACKAGE}name: [a\nseed: 3\n", "bad.yaml, line 3: no YAML"),
    (f"{PACKAGE}\tname: x\n", "bad.yaml, line 2: no YAML"),
    (f"{PACKAGE}seed: 1\nseed: 2\n", "bad.yaml, line 3: no YAML (found duplicate key seed)"),
    (f"{PACKAGE}seed: \x07\n", "bad.yaml"),
    ("trainer: {epochs: 1}\n", "write '# @package _global_'"),
    ("- a\n", "write '# @package _global_'"),
    (f"{PACKAGE}trainer: {{epochs: ten}}\n", "In 'experiment/bad': trainer.epochs"),
    (f"{PACKAGE}trainer: {{epcohs: 1}}\n", "did you mean 'trainer.epochs'?"),
    (f"{PACKAGE}defaults: [nothing]\n", "nothing"),
    (f"{PACKAGE}defaults:\n  - override /data: nothing\n", "data=nothing: no such file"),
    (f"{PACKAGE}defaults: 3\n", "defaults must be a list"),
    (f"{PACKAGE}defaults: [/experiment: bad]\n", "experiment=bad"),
    (f"{PACKAGE}hydra: {{sweeper: {{params: 3}}}}\n", "hydra.sweeper.params"),
    (f"{PACKAGE}hydra: {{sweeper: {{params: {{seed: [0, 1]}}}}}}\n", "seed"),
    (f"{PACKAGE}hydra: {{job: {{chdir: true}}}}\n", "hydra.job.chdir"),
    (f"{PACKAGE}seed: ${{oc.env:NOT_SET_ANYWHERE}}\n", "NOT_SET_ANYWHERE"),
    (f'{PACKAGE}seed: "${{"\n', "seed"),
]


@pytest.mark.parametrize(("text", "message"), BAD_FILES)
def test_a_mistake_in_a_users_file_is_one_message_that_names_it(train, own, tmp_path, text, message):
    (own / "experiment" / "bad.yaml").write_text(text)
    status, output, error = train("--config-dir", str(own), "experiment=bad")
    assert (status, output) == (2, "")
    assert message in error
    assert one_message(error, 500)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\n", "begins with defaults: [train, _self_]"),
        ("defaults: [train, _self_]\nfoo: 1\n", "foo: no such setting"),
        ("seed: [\n", "first.yaml, line 2: no YAML"),
        ("- 1\n", "first.yaml: this file is a list"),
        ("", "begins with defaults: [train, _self_]"),
    ],
)
def test_a_mistake_in_a_users_first_file_is_one_message(train, own, text, message):
    (own / "first.yaml").write_text(text)
    status, output, error = train("--config-dir", str(own), "--config-name", "first")
    assert (status, output) == (2, "")
    assert message in error
    assert one_message(error)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["--run=x"], "without hyphens, as run=x"),
        (["--help-me"], "without hyphens"),
        (["run=~nobody-here/x"], "no such directory"),
        (["run=${x}"], "run"),
        (["run=x", "pairs=1000000000000000000000"], "at most a billion"),
        (["run=x", "pairs=nan"], "pairs"),
        (["run=x", "eps=nan", "attack=fgsm"], "eps"),
        (["run=x", "between=maybe"], "between"),
    ],
)
def test_a_mistake_in_an_evaluation_is_one_message(capsys, words, remedy):
    assert evaluate.evaluate(words, usage="usage") == 2
    error = capsys.readouterr().err
    assert remedy in error
    assert one_message(error)


def test_an_evaluation_takes_the_home(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    evaluate.evaluate(["run=~/runs/x"], usage="usage")
    assert f"run={tmp_path}/runs/x: no such directory" in capsys.readouterr().err


def test_a_measure_that_only_sweeps_take_is_remarked_on(train):
    _, _, error = train("evaluate=card", "dry_run=true")
    assert "for this run there is eval.py" in error
