"""Streamed images: the same batches for any number of workers and after any restart; damaged files named and counted."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mixup.data import DATASETS, Dataset, Examples, StreamedImages, open_dataset, serve
from mixup.data.sources.imagenet import imagenet_data
from mixup.data.sources.storage import Files
from mixup.data.streaming import Decoder, Task
from mixup.errors import UserError
from mixup.mixing import mix_all
from mixup.plan import EpochPlan, PlanSettings, draw_plan, generator
from mixup.training.distributed import Group
from mixup.training.engine import evaluate
from mixup.training.step import Batch
from mixup.training.train import batches

CPU = torch.device("cpu")
CLASSES, TRAIN, TEST = ("n01", "n02", "n03"), 9, 4  # images a class


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """A root with `tiny_imagenet` and `imagenet`, smooth pictures of several sizes in the latter."""
    root = tmp_path_factory.mktemp("root")
    rng = np.random.default_rng(0)
    for name, ending in (("tiny_imagenet", "png"), ("imagenet", "JPEG")):
        for part, count in (("train", TRAIN), ("val", TEST)):
            for label in CLASSES:
                folder = root / name / part / label
                folder.mkdir(parents=True)
                for number in range(count):
                    size = (
                        (64, 64) if name == "tiny_imagenet" else (int(rng.integers(200, 400)), int(rng.integers(200, 400)))
                    )
                    small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
                    small.resize(size, Image.Resampling.BICUBIC).save(folder / f"{label}_{number}.{ending}")
    return root


@pytest.fixture
def copied(photos, tmp_path) -> Path:
    shutil.copytree(photos, tmp_path / "root")
    return tmp_path / "root"


def streamed(data: Dataset, *, workers: int = 0, on_error: str = "raise") -> StreamedImages:
    served = serve(data.train, data.info, device=CPU, workers=workers, on_error=on_error)
    assert isinstance(served, StreamedImages)
    return served


def drawn(n: int, *, batch_size: int = 8, shards: int = 1, epoch: int = 0) -> EpochPlan:
    settings = {"alpha": 1.0, "lam_per": "batch", "flip": True, "resized_crop": True}
    return draw_plan(PlanSettings(seed=5, n=n, batch_size=batch_size, shards=shards, **settings), epoch)


def hashes(data: Examples, plan: EpochPlan, *, first_step: int = 0, group: Group | None = None) -> list[str]:
    """A digest of all that each step trains on."""
    digests = []
    for batch in batches(data, plan, first_step, group or Group()):
        content = (mixed(plan, batch), plan.order[batch.positions(plan.batch_size)])
        digests.append(hashlib.sha256(b"".join(part.contiguous().numpy().tobytes() for part in content)).hexdigest())
    return digests


def mixed(plan: EpochPlan, batch: Batch) -> torch.Tensor:
    return mix_all(batch.examples, plan.lam[batch.positions(plan.batch_size)])


@pytest.mark.parametrize("name", ["imagenet", "tiny_imagenet"])
def test_batches_are_the_same_for_any_number_of_workers_and_after_a_restart(photos, name):
    data = imagenet_data(name, root=photos, resident=False)
    plan = drawn(27)
    whole = hashes(streamed(data, workers=0), plan)
    assert len(set(whole)) == 4
    assert hashes(streamed(data, workers=1), plan) == whole
    assert hashes(streamed(data, workers=2), plan) == whole
    for workers in (0, 2):
        assert hashes(streamed(data, workers=workers), plan, first_step=2) == whole[2:]
    assert hashes(streamed(data), drawn(27, epoch=1)) != whole


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("piece", [1, 3, 8])
def test_batches_do_not_depend_on_the_pieces_that_processes_decode(copied, monkeypatch, piece, workers):
    damage(copied / "imagenet/train/n02/n02_3.JPEG")
    data, plan = imagenet_data("imagenet", root=copied, resident=None), drawn(27)
    streams = {"train": data.train, "test": data.test}

    def contents() -> list[object]:
        train, test = (serve(split, data.info, device=CPU, workers=workers, on_error="skip") for split in streams.values())
        seen: list[object] = []
        for batch in batches(train, plan, 0, Group()):
            examples = torch.stack(list(batch.examples))
            seen += [examples.tolist(), None if isinstance(batch.rows, slice) else batch.rows.tolist()]
        for index, inputs in test.in_order([slice(0, 5), slice(5, 12)]):
            seen += [index.tolist(), inputs.tolist()]
        return [*seen, sorted(train.unreadable)]

    whole = contents()
    monkeypatch.setattr("mixup.data.streaming.PIECE", piece)
    assert contents() == whole


def test_all_processes_decode_a_large_batch_together(photos, tmp_path, monkeypatch):
    """The first batch is there as soon as they have decoded it; by one of them it took seconds."""
    real = Decoder.view

    def view(self, row, seed):
        (tmp_path / str(os.getpid())).touch()
        return real(self, row, seed)

    monkeypatch.setattr(Decoder, "view", view)
    monkeypatch.setattr("mixup.data.streaming.PIECE", 14)
    data, plan = imagenet_data("tiny_imagenet", root=photos, resident=False), drawn(27, batch_size=27)
    assert len(hashes(streamed(data, workers=2), plan)) == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_a_restart_decodes_nothing_of_what_it_skips(photos, monkeypatch):
    data = imagenet_data("imagenet", root=photos, resident=None)
    plan, decoded = drawn(27), []
    monkeypatch.setattr(type(data.train.inputs), "read", count_reads(type(data.train.inputs).read, decoded))
    hashes(streamed(data), plan, first_step=2)
    assert decoded == plan.order[16:].tolist()


def count_reads(read, noted):
    def counted(self, row):
        noted.append(row)
        return read(self, row)

    return counted


def test_workers_do_not_read_skipped_files_either(copied):
    """With every skipped file gone and `raise`, a restart that touched one would end here."""
    data, plan = imagenet_data("imagenet", root=copied, resident=None), drawn(27)
    expected = hashes(streamed(data), plan, first_step=2)
    for row in plan.order[:16].tolist():
        Path(data.train.inputs.path(row)).unlink()
    assert hashes(streamed(data, workers=2), plan, first_step=2) == expected
    with pytest.raises(UserError, match="cannot be read"):
        hashes(streamed(data, workers=2), plan, first_step=1)


def test_training_views_are_those_of_torchvision_for_the_plans_boxes(photos):
    """Against torchvision's resized_crop, hflip and Normalize, one image at a time, at the boxes drawn for them."""
    from torchvision.transforms.v2 import functional as reference

    from mixup.data.crops import random_resized_crop

    data, plan = imagenet_data("imagenet", root=photos, resident=None), drawn(27)
    (((ours, _), usable),) = streamed(data).load(plan, [slice(0, 8)])
    assert usable is None
    for position in range(8):
        image = pil_image(data.train.inputs.path(int(plan.order[position])))
        seed = plan.crop_seed[position : position + 1].numpy()
        (box,) = random_resized_crop(seed, np.array([image.shape[1]]), np.array([image.shape[2]]))
        view = reference.resized_crop(image, *map(int, box), [224, 224])
        view = reference.horizontal_flip(view) if plan.flip[position] else view
        expected = reference.normalize(view / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        torch.testing.assert_close(ours[position], expected, rtol=1e-5, atol=1e-5)


def pil_image(path: str) -> torch.Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def test_test_views_are_torchvisions_resize_and_centre_crop(photos):
    from torchvision.transforms import v2 as transforms

    data = imagenet_data("imagenet", root=photos, resident=None)
    resize = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    normalise = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    test = serve(data.test, data.info, device=CPU, workers=1)
    seen = []
    for index, inputs in test.in_order([slice(0, 5), slice(5, 12)]):
        seen += index.tolist()
        for row, view in zip(index.tolist(), inputs):
            theirs = normalise(resize(pil_image(data.test.inputs.path(row))) / 255)
            torch.testing.assert_close(view, theirs, rtol=1e-5, atol=1e-5)
    assert seen == list(range(12))


def test_resident_and_streamed_are_the_same_up_to_rounding(photos):
    plan = drawn(27)
    resident, files = (imagenet_data("tiny_imagenet", root=photos, resident=kept) for kept in (True, False))
    one, other = (serve(data.train, data.info, device=CPU) for data in (resident, files))
    kept = one.fetch(plan.order, one.boxes(plan.crop_seed), plan.flip)
    (((decoded, partners), _),) = other.load(plan, [slice(0, 27)])
    for a, b in ((kept, decoded), (kept[plan.partner[:, 0]], partners)):
        assert (a - b).abs().max() < 2.05 / 255 / 0.224, "no more than PIL's rounding, on normalised inputs"
    assert torch.equal(one.labels, other.labels)


def test_a_rank_mixes_within_its_own_share_and_ranks_together_see_every_example(photos):
    data = imagenet_data("tiny_imagenet", root=photos, resident=False)
    plan = drawn(27, shards=2)
    for step in range(plan.num_steps):
        for rank in range(2):
            mine = plan.positions(step, rank=rank, world_size=2)
            assert sorted(plan.partner[mine, 0].tolist()) == list(range(mine.start, mine.stop))
    seen = []
    for rank in range(2):
        group = Group(rank, rank, 2)
        assert len(hashes(streamed(data), plan, group=group)) == plan.num_steps
        for batch in batches(streamed(data), plan, 0, group):
            seen += [] if batch.is_dummy else plan.order[batch.positions(8)].tolist()
    assert sorted(seen) == list(range(27))


def test_a_rank_without_examples_takes_part_with_a_dummy(photos):
    data, plan = imagenet_data("tiny_imagenet", root=photos, resident=False), drawn(25, batch_size=8, shards=3)
    parts = list(batches(streamed(data), plan, 0, Group(2, 2, 3)))
    assert [batch.is_dummy for batch in parts] == [False, False, False, True]
    assert torch.equal(*parts[-1].examples), "a dummy is its own partner"
    assert len(hashes(streamed(data), plan, group=Group(2, 2, 3))) == 4


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA"])
def test_every_kind_of_image_is_shown_in_colour(tmp_path, mode):
    """ImageNet has grey and CMYK files among its JPEGs, and a PNG."""
    file = tmp_path / f"a.{'jpg' if mode in ('L', 'CMYK') else 'png'}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).convert(mode).save(file)
    decoder = Decoder(Files(tmp_path, np.array([file.name.encode()])), DATASETS["tiny_imagenet"], [Task(np.array([0]))])
    assert torch.equal(decoder[0].pixels[0].permute(2, 0, 1), pil_image(str(file)))


# Damage


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:400])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_file_is_named(copied, workers):
    victim = copied / "imagenet/train/n02/n02_3.JPEG"
    damage(victim)
    data = imagenet_data("imagenet", root=copied, resident=None)
    with pytest.raises(UserError) as caught:
        hashes(streamed(data, workers=workers), drawn(27))
    assert str(victim) in str(caught.value)
    assert "data.on_error=skip" in str(caught.value)
    assert "BytesIO" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no image at all", None], ids=["empty", "text", "absent"])
@pytest.mark.parametrize("workers", [0, 2])
def test_skipped_files_are_left_out_with_their_mixtures_and_counted(copied, content, workers):
    victim = copied / "imagenet/train/n02/n02_3.JPEG"
    data, plan = imagenet_data("imagenet", root=copied, resident=None), drawn(27)
    plan = drawn(27, batch_size=27)
    (before,) = batches(streamed(data), plan, 0, Group())
    victim.unlink() if content is None else victim.write_bytes(content)
    examples = streamed(data, workers=workers, on_error="skip")
    (after,) = batches(examples, plan, 0, Group())
    row = next(row for row in range(27) if data.train.inputs.path(row) == str(victim))
    position = plan.order.tolist().index(row)
    partner_of = plan.partner[:, 0].tolist().index(position)
    left_out = {position, partner_of}
    assert after.rows.tolist() == [p for p in range(27) if p not in left_out]
    assert after.count == 27, "the loss is divided by the planned batch"
    others = mixed(plan, before)[after.rows]
    assert torch.equal(mixed(plan, after), others), "the others are what they would have been"
    assert list(examples.unreadable) == [row]
    assert str(victim) in examples.unreadable[row]


def test_an_unreadable_test_image_is_in_no_mean(copied):
    """Error and count are those of the others; its row of logits is not a number."""
    damage(copied / "tiny_imagenet/val/n02/n02_1.png")
    data = imagenet_data("tiny_imagenet", root=copied, resident=False)
    test = serve(data.test, data.info, device=CPU, on_error="skip")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(192, 3))
    options = {"batch_size": 5, "autocast": lambda: torch.autocast("cpu", enabled=False), "group": Group()}
    means, logits = evaluate(model, test, **options)
    assert means["count"] == 11
    bad = 1 * TEST + 1
    assert logits.isnan().any(1).nonzero()[:, 0].tolist() == [bad]
    good = [row for row in range(12) if row != bad]
    wrong = (logits[good].argmax(1) != data.test.labels[good]).double().mean()
    assert means["top1_error"] == pytest.approx(100 * float(wrong))


def test_a_batch_of_nothing_ends_the_run(copied):
    for file in (copied / "tiny_imagenet/train").rglob("*.png"):
        file.write_bytes(b"")
    data = imagenet_data("tiny_imagenet", root=copied, resident=False)
    with pytest.raises(UserError, match="no mixture of a process's whole batch is readable"):
        hashes(streamed(data, on_error="skip"), drawn(27))


# Shards


def write_shards(root: Path, *, per_shard: int = 10, drop_class_of: str = "") -> None:
    """`imagenet` as WebDataset shards, in an order of its own, in place of the folders."""
    for part in ("train", "val"):
        files = sorted((root / "imagenet" / part).rglob("*.JPEG"))
        order = np.random.default_rng(1).permutation(len(files))
        for first in range(0, len(files), per_shard):
            with tarfile.open(root / "imagenet" / part / f"{first:06d}.tar", "w") as tar:
                for row in order[first : first + per_shard]:
                    file = files[row]
                    key = f"{file.parent.name}/{file.stem}"
                    members = {f"{key}.jpg": file.read_bytes(), f"{key}.cls": str(CLASSES.index(file.parent.name)).encode()}
                    for name, content in members.items():
                        if drop_class_of and name == f"{drop_class_of}.cls":
                            continue
                        info = tarfile.TarInfo(name)
                        info.size = len(content)
                        tar.addfile(info, io.BytesIO(content))
        for label in CLASSES:
            shutil.rmtree(root / "imagenet" / part / label)


def test_shards_give_the_batches_of_the_folders(copied):
    folders = imagenet_data("imagenet", root=copied, resident=None)
    expected = hashes(streamed(folders), drawn(27))
    write_shards(copied)
    shards = imagenet_data("imagenet", root=copied, resident=None)
    assert hashes(streamed(shards, workers=2), drawn(27)) == expected
    assert shards.info.num_classes == 3
    assert torch.equal(shards.test.labels, folders.test.labels)
    again = imagenet_data("imagenet", root=copied, resident=None)
    assert again.fingerprint() == shards.fingerprint()


def test_a_shard_is_indexed_once(copied, monkeypatch):
    write_shards(copied)
    first = imagenet_data("imagenet", root=copied, resident=None)
    monkeypatch.setattr(tarfile, "open", lambda *a, **k: pytest.fail("indexed again"))
    assert imagenet_data("imagenet", root=copied, resident=None).fingerprint() == first.fingerprint()


def test_a_damaged_image_in_a_shard_is_named_with_its_shard(copied):
    victim = copied / "imagenet/train/n02/n02_3.JPEG"
    damage(victim)
    write_shards(copied)
    data = imagenet_data("imagenet", root=copied, resident=None)
    with pytest.raises(UserError, match=r"train/\d+\.tar: n02/n02_3\.jpg cannot be read"):
        hashes(streamed(data), drawn(27))


def test_damaged_and_odd_shards_are_named(copied):
    write_shards(copied, drop_class_of="n02/n02_3")
    with pytest.raises(UserError, match=r"n02/n02_3\.jpg has no class beside it"):
        imagenet_data("imagenet", root=copied, resident=None)
    shard = copied / "imagenet/train/000000.tar"
    shard.write_bytes(b"x" * 2000)
    with pytest.raises(UserError, match=r"000000\.tar is damaged"):
        imagenet_data("imagenet", root=copied, resident=None)
    for file in (copied / "imagenet/val").glob("*.tar"):
        file.unlink()
    with pytest.raises(UserError, match=r"none of .*val/\*\.tar"):
        imagenet_data("imagenet", root=copied, resident=None)


# Layouts


def test_what_lies_in_the_folders_is_described(photos):
    data = imagenet_data("imagenet", root=photos, resident=None)
    assert data.provenance == "ImageNet (3 of 1,000 classes)"
    assert (data.info.num_classes, len(data.train), len(data.test)) == (3, 3 * TRAIN, 3 * TEST)
    assert data.train.labels.tolist() == [label for label in range(3) for _ in range(TRAIN)]


def test_tiny_imagenet_as_published_is_the_same_data(photos, tmp_path):
    """train/<wnid>/images/ and val/images/ with val_annotations.txt, beside an unlabelled test/."""
    source, there = photos / "tiny_imagenet", tmp_path / "tiny-imagenet-200"
    for label in CLASSES:
        shutil.copytree(source / "train" / label, there / "train" / label / "images")
        (there / "train" / label / f"{label}_boxes.txt").write_text("0\t0\t1\t1\n")
    (there / "val/images").mkdir(parents=True)
    (there / "test/images").mkdir(parents=True)
    lines = []
    for number, file in enumerate(sorted((source / "val").rglob("*.png"))):
        shutil.copy(file, there / f"val/images/val_{number:03d}.png")
        lines.append(f"val_{number:03d}.png\t{file.parent.name}\t0\t0\t62\t62\n")
    (there / "val/val_annotations.txt").write_text("".join(np.random.default_rng(0).permutation(lines)))
    ours, theirs = (imagenet_data("tiny_imagenet", root=root, resident=True) for root in (tmp_path, photos))
    assert ours.fingerprint() == theirs.fingerprint()
    assert ours.provenance == "Tiny ImageNet (3 of 200 classes)"


def test_residence_goes_by_size_unless_asked_for(photos, monkeypatch):
    assert isinstance(imagenet_data("tiny_imagenet", root=photos, resident=None).train.inputs, torch.Tensor)
    monkeypatch.setattr("mixup.data.sources.imagenet.RESIDENT_BYTES", 1000)
    assert not isinstance(imagenet_data("tiny_imagenet", root=photos, resident=None).train.inputs, torch.Tensor)
    with pytest.raises(UserError, match=r"data\.resident=true: .* differ in size"):
        imagenet_data("imagenet", root=photos, resident=True)


@pytest.mark.parametrize(
    ("name", "fetched"), [("imagenet", "hf download timm/imagenet-1k-wds"), ("tiny_imagenet", "curl -L")]
)
def test_unplugged_it_says_where_it_looked_and_how_to_fetch(tmp_path, name, fetched):
    with pytest.raises(UserError) as caught:
        imagenet_data(name, root=tmp_path, resident=None)
    assert f"{tmp_path}/{name}/train/<wnid>/*.JPEG" in str(caught.value)
    assert fetched in str(caught.value)


def test_labels_of_streamed_images_can_be_subset_and_corrupted(photos):
    def opened(seed: int) -> Dataset:
        options = {"root": str(photos), "download": False, "validation": 0.0}
        stream = lambda name: generator(seed, name)  # noqa: E731
        return open_dataset("imagenet", **options, train_size=9, label_noise=0.5, stream=stream)

    data = opened(0)
    assert np.bincount(open_data_labels(data)).tolist() == [3, 3, 3]
    assert 0 < int(data.train.corrupted.sum()) < 9
    assert data.fingerprint() == opened(0).fingerprint() != opened(1).fingerprint()


def open_photos(root: Path) -> Dataset:
    options = {"train_size": None, "validation": 0.0, "label_noise": 0.0, "stream": lambda name: generator(0, name)}
    return open_dataset("imagenet", root=str(root), download=False, **options)


def test_what_is_left_out_is_carried_by_the_data_and_said_once_for_all_ranks(copied, monkeypatch, capsys):
    for name in ("train/n01/a.gif", "train/n02/b.GIF", "val/n03/c.txt", "val/n03/._n03_1.JPEG", "train/d.JPEG"):
        (copied / "imagenet" / name).touch()
    data = open_photos(copied)
    assert data.left_out == {".gif": 2, ".txt": 1, "hidden": 1, ".jpeg": 1}
    said = f"{copied}/imagenet: files that are no images are left out: 2 .gif, 1 .jpeg, 1 hidden, 1 .txt\n"
    assert capsys.readouterr().out == said
    monkeypatch.setenv("RANK", "1")
    open_photos(copied)
    assert capsys.readouterr().out == ""


def test_members_of_shards_that_are_no_images_are_counted(copied):
    write_shards(copied)
    for part in ("train", "val"):
        with tarfile.open(copied / "imagenet" / part / "000000.tar", "a") as tar:
            for name in ("n01/x.json", "n01/y.json", "n01/._n01_1.jpg", "README"):
                tar.addfile(tarfile.TarInfo(name))
    for _ in range(2):  # the second time from the cache
        data = open_photos(copied)
        assert data.left_out == {".json": 4, "hidden": 2, "no ending": 2}
        assert len(data.train) == 27


def open_data_labels(data: Dataset) -> list[int]:
    return [CLASSES.index(Path(data.train.inputs.path(row)).parent.name) for row in range(len(data.train))]


# Findings of a review


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_class_without_images_is_named(copied, part):
    """As half-unpacked archives leave it."""
    for file in (copied / "imagenet" / part / "n02").glob("*"):
        file.unlink()
    with pytest.raises(UserError, match=f"{part}/n02 holds no images"):
        imagenet_data("imagenet", root=copied, resident=None)


def test_archives_beside_the_folders_unpacked_from_them_are_no_shards(copied):
    before = imagenet_data("imagenet", root=copied, resident=None).fingerprint()
    for place in ("ILSVRC2012_img_train.tar", "train/n01.tar"):
        (copied / "imagenet" / place).write_bytes(b"an archive of images")
    assert imagenet_data("imagenet", root=copied, resident=None).fingerprint() == before


def test_what_macos_leaves_beside_a_file_is_no_image(copied):
    (copied / "imagenet/train/n01/._n01_0.JPEG").write_bytes(b"resource fork")
    assert len(imagenet_data("imagenet", root=copied, resident=None).train) == 27


def test_missing_images_of_all_classes_show_in_the_provenance(photos, monkeypatch):
    info = DATASETS["imagenet"]
    monkeypatch.setitem(DATASETS, "imagenet", replace(info, num_classes=3, train_count=30, test_count=12))
    data = imagenet_data("imagenet", root=photos, resident=None)
    assert data.provenance == "ImageNet (27 of 30 training images)"
