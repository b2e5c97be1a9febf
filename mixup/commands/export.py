"""What `scripts/export.py` does: a folder to hand on, of a finished classifier, with its weights, a program, and a card."""

import dataclasses
import importlib.metadata
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import MISSING

from mixup.commands.evaluate import expanded
from mixup.commands.messages import one_message
from mixup.data import DatasetInfo
from mixup.errors import UserError
from mixup.evaluation.measurements import EXPORTED_WEIGHTS, weights_file
from mixup.evaluation.settings import typed, words_of
from mixup.ledger.cells import Cell, grouped, overlap
from mixup.ledger.collect import evidence_of, runs_below
from mixup.ledger.evidence import Evidence
from mixup.ledger.inference import interval
from mixup.ledger.metrics import LAST, MEASURES, Measure, metric_of
from mixup.ledger.names import method, net
from mixup.pages.build import render
from mixup.pages.texts import commit, spread
from mixup.run import records
from mixup.run.files import new_folder, write_atomic, write_json

PROGRAM, ONNX = "model.pt2", "model.onnx"
TASKS = {"images": "image-classification", "spectrograms": "audio-classification", "features": "tabular-classification"}
HERE = ("runs_dir", "data.root")  # settings that name folders of this machine
Values = dict[str, Any]


@dataclass
class ExportConfig:
    """The settings of `scripts/export.py`."""

    run: str = MISSING
    to: str | None = None  # a folder that is not there; None for exports/<name>-<hash>
    onnx: bool = False


@one_message(stopped="stopped; nothing was written", remedy="name another folder by to=FOLDER, or restore what is missing")
def main(arguments: list[str]) -> int:
    """Returns 0, or 2 for a mistake in the request."""
    words: Values = dict(words_of(ExportConfig, [expanded(word) for word in arguments]))
    folder = export(typed(ExportConfig, words))
    files = sorted(folder.iterdir(), key=lambda file: file.name.lower())
    print(f"{folder}:", *(f"  {file.name:18} {file.stat().st_size:>12,} bytes" for file in files), sep="\n")
    print("\nto load it, with torch alone:", *three_lines(folder / PROGRAM), sep="\n  ")
    print(f"\nto test it again, in this project: python eval.py run={shlex.quote(str(folder))}", flush=True)
    return 0


def three_lines(program: Path) -> tuple[str, str, str]:
    return ("import torch", f'model = torch.export.load("{program}").module()', "logits = model(inputs)")


def export(settings: ExportConfig) -> Path:
    """Writes the folder and returns it. UserError with the remedy, before anything is written."""
    from mixup.evaluation import exported
    from mixup.evaluation.finished_run import classifier_record

    run = Path(settings.run)
    record = classifier_record(run, "run", "exported")
    if weights_file(run).name == EXPORTED_WEIGHTS:
        raise UserError(f"run={run} is an exported folder already: copy it, or name the run that it was made from")
    folder = Path(settings.to or f"exports/{record['name']}-{record['hash']}")
    check_target(folder, run)
    if settings.onnx:
        exported.require_onnx()
    own, cell = evidence_beside(run)
    classifier, info = exported.trained_classifier(run, own.config, record)
    program = exported.program_of(classifier, info)
    with new_folder(folder.resolve()) as partial:
        shutil.copyfile(weights_file(run), partial / EXPORTED_WEIGHTS)
        exported.save_program(program, partial / PROGRAM)
        if settings.onnx:
            exported.write_onnx(program, info, partial / ONNX)
        records.write_record(partial, portable(record))
        write_json(partial / "config.json", description(own, info))
        write_atomic(partial / "README.md", card(own, cell, info, onnx=settings.onnx).encode())
    return folder


def check_target(folder: Path, run: Path) -> None:
    """UserError for a folder in which something lies, and for one that would be taken for a run."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there already, and nothing is overwritten: remove it, or name another by to=FOLDER")
    if folder.resolve().is_relative_to(run.resolve().parent):
        raise UserError(f"to={folder} lies among the runs, and would be taken for one: name a folder elsewhere")


def evidence_beside(run: Path) -> tuple[Evidence, Cell]:
    """A run, and its cell with the finished runs in the same folder that differ from it in the seed alone."""
    own, others = readable(run.resolve()), []
    for other in runs_below([own.file.parent]):
        if other != run.resolve() and (other / "config.yaml").exists() and (other / "record.json").exists():
            try:
                others.append(readable(other))
            except UserError as error:
                print(f"left out of the card: {error}", flush=True)
    return own, next(cell for cell in grouped([own, *others]) if any(member is own for member in cell.runs))


def readable(run: Path) -> Evidence:
    """UserError where its record or a measurement is damaged, or of a configuration that is none of today's."""
    try:
        evidence = evidence_of(run)
        _ = evidence.settings  # read here, so that those of another version are refused with their run
        return evidence
    except (UserError, KeyError, TypeError, AttributeError) as error:
        why = error if isinstance(error, UserError) else f"its record lacks something ({error!r}): restore it"
        raise UserError(f"{run}: {why}") from error


def portable(record: records.Record) -> records.Record:
    """The record without the folders of this machine and without the account at W&B."""

    def elsewhere(environment: Values) -> Values:
        words = [word for word in environment["command"] if word.lstrip("+").partition("=")[0] not in HERE]
        return {**environment, "command": words}

    config = {**record["config"], "runs_dir": "runs", "data": {**record["config"]["data"], "root": None}}
    segments = [{**segment, "environment": elsewhere(segment["environment"])} for segment in record.get("segments", [])]
    own = {"config": config, "environment": elsewhere(record["environment"]), "segments": segments, "wandb": None}
    return {**record, **own}


# -- what is said of it --------------------------------------------------------------------------------------------------


def kind_of(info: DatasetInfo) -> str:
    return "images" if info.mean else "features" if len(info.input_shape) == 1 else "spectrograms"


def description(own: Evidence, info: DatasetInfo) -> Values:
    """config.json. Normalisation is (x / scale - mean) / std by channel, which the program does itself."""
    config, kind = dataclasses.asdict(own.config), kind_of(info)
    options = {key: value for key, value in config["model"].items() if value is not None and key != "name"}
    norm = {"mean": info.mean, "std": info.std, "scale": info.white, "inside_program": True} if info.mean else None
    return {
        "architecture": own.config.model.name,
        "architecture_options": options,
        "parameters": own.record["parameters"],
        "num_classes": info.num_classes,
        "classes": own.record["data"].get("classes"),
        "input": {"kind": kind, "shape": info.input_shape, "dtype": "uint8" if info.mean else "float32"},
        "normalisation": norm,
        "data": {
            key: config["data"][key] for key in ("name", "train_size", "test_size", "validation", "label_noise", "seed")
        }
        | {"provenance": own.record["data"]["provenance"], "fingerprint": own.record["data"].get("fingerprint")},
        "recipe": {key: config[key] for key in ("mixup", "optim", "trainer", "seed", "scale")},
        "written_by": {"torch": importlib.metadata.version("torch")},
    }


def card(own: Evidence, cell: Cell, info: DatasetInfo, *, onnx: bool) -> str:
    """The model card."""
    settings, kind = own.settings, kind_of(info)
    title = f"{net(settings)} on {own.record['data']['provenance']}, {method(settings)}"
    return render(
        "model_card.j2",
        "markdown",
        front=front_matter(own, title, TASKS[kind]),
        title=title,
        method=method(settings),
        augmentation=augmentation(own, info),
        info=info,
        kind=kind,
        code="\n".join(three_lines(Path(PROGRAM))).replace("inputs", kind),
        classes=own.record["data"].get("classes") or [],
        data=own.record["data"],
        settings=settings,
        results=results(own, cell, info),
        attacked=own.evaluations.get("card", {}).get("examples", 0),
        seeds=[run.seed for run in cell.runs],
        overlapping=overlap(cell) > 0,
        record=portable(own.record),
        commit=commit(own, None),
        command=shlex.join(["python", *portable(own.record)["environment"]["command"]]),
        torch=importlib.metadata.version("torch").partition("+")[0],
        onnx=onnx,
    )


def augmentation(own: Evidence, info: DatasetInfo) -> str:
    crops = f"random crops padded by {info.crop_padding}" if info.crop_padding else "random resized crops"
    words = [*([crops] if info.crop_padding or info.resized_crop else []), *(["flips"] if info.flip else [])]
    return " and ".join(words) if words and own.config.data.augment else "no augmentation"


def front_matter(own: Evidence, title: str, task: str) -> str:
    """The YAML that the hubs of models read."""
    error = LAST.read(own)
    metric = {"type": "error_rate", "name": f"{LAST.title} (%)", "value": error}
    dataset = {"name": own.record["data"]["provenance"], "type": own.config.data.name, "split": "test"}
    result = {"task": {"type": task}, "dataset": dataset, "metrics": [metric]}
    values = {
        "license": "apache-2.0",
        "library_name": "pytorch",
        "pipeline_tag": task,
        "tags": ["mixup", own.config.model.name, own.config.data.name],
        "model-index": [{"name": title, "results": [result]}],
    }
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000).strip()


def results(own: Evidence, cell: Cell, info: DatasetInfo) -> list[dict[str, str]]:
    """A row for each number that the run was measured by; of several seeds with mean, deviation and 95 % interval."""

    def is_shown(measure: Measure) -> bool:
        chosen_on_test = measure.metric.startswith("test.") and measure.statistic == "best"
        return not (chosen_on_test or ("top5" in measure.metric and info.num_classes <= 5))

    values = {measure: measure.read(own) for measure in MEASURES if is_shown(measure)}
    return [
        {"title": titled(measure), "own": f"{value:.{measure.decimals}f}", **over_seeds(cell, measure)}
        for measure, value in values.items()
        if value is not None
    ]


def titled(measure: Measure) -> str:
    unit = metric_of(measure.metric).unit
    return f"{measure.title} ({unit})" if unit else measure.title


def over_seeds(cell: Cell, measure: Measure) -> dict[str, str]:
    values = list(cell.values(measure).values())
    mean, places = interval(values, overlap=overlap(cell)), measure.decimals
    ends = f"[{mean.low:.{places}f}, {mean.high:.{places}f}]" if mean.low is not None else "-"
    return {"spread": spread(values, places), "interval": ends}
