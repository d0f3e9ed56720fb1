"""ImageNet-1k's other test sets: each in its layout, with its own classes, and only if given."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raystudy import seal
from raystudy.kinds import Examples, Images
from raystudy.tasks import imagenet_names
from raystudy.tasks.imagenet1k import ImageNet1k

from .miniatures import KINDS_OF_CORRUPTION, imagenet1k, photo, text


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imagenet") / "data"
    imagenet1k(folder)
    return folder


def renditions(folder: Path) -> Path:
    """-R, -A or a sketch: wnids, out of order, and a file that is none."""
    for wnid in ("n02088364", "n01443537", "n03494278"):
        for i in range(2):
            photo(folder / wnid / f"art_{i}.jpg", i)
    text(folder / "README.txt", ["200 classes"])
    return folder


def v2(folder: Path) -> Path:
    for number in range(1000):
        (folder / str(number)).mkdir(parents=True)
    for number in (0, 2, 10, 999):
        photo(folder / str(number) / f"{number:040x}.jpeg", number)
    return folder


def objectnet(folder: Path) -> Path:
    """Three folders, of which ImageNet has two; of one of them it has two classes. Lines of labels
    are in another order than classes. A red line runs around each image."""
    for name in ("helmet", "basket", "air_freshener"):
        for i in range(2):
            photo(file := folder / "images" / name / f"{name}{i}.png", i, "PNG")
            pixels = np.array(Image.open(file))
            pixels[[0, -1]] = pixels[:, [0, -1]] = (255, 0, 0)
            Image.fromarray(pixels).save(file)
    lines = ["hamper", "football helmet", "shopping basket", "crash helmet"]
    mappings = {
        "folder_to_objectnet_label.json": {
            "basket": "Basket",
            "air_freshener": "Air freshener",
            "helmet": "Helmet",
        },
        "objectnet_to_imagenet_1k.json": {
            "Helmet": "football helmet; crash helmet",
            "Basket": "hamper; shopping basket",
        },
        "pytorch_to_imagenet_2012_id.json": {"588": 0, "560": 1, "790": 2, "518": 3},
    }
    for name, mapping in mappings.items():
        text(folder / "mappings" / name, [json.dumps(mapping)])
    text(folder / "mappings" / "imagenet_to_label_2012_v2", lines)
    return folder


def imagenet_c(folder: Path) -> Path:
    for kind in KINDS_OF_CORRUPTION:
        for severity in range(1, 6):
            photo(folder / kind / str(severity) / "n01440764" / "ILSVRC2012_val_00000001.JPEG")
    return folder


OTHERS: dict[str, Callable[[Path], Path]] = {
    **{"v2": v2, "r": renditions, "a": renditions, "sketch": renditions},
    **{"objectnet": objectnet, "c": imagenet_c},
}


def opened(task: ImageNet1k, shift: str | None = None) -> Examples:
    with seal.opened():
        return task.sealed(shift)


def test_a_shift_is_there_only_if_its_folder_is_given(root: Path, tmp_path: Path) -> None:
    assert ImageNet1k(path=str(root)).shifts == ()
    for other, build in OTHERS.items():
        task = ImageNet1k.model_validate(
            {"path": str(root), other: str(build(tmp_path / other / "data"))}
        )
        task.check()
        if other == "c":
            assert len(task.shifts) == 75
        else:
            assert task.shifts == (other,)
        for shift in task.shifts[:3]:
            with pytest.raises(seal.SealError):
                task.sealed(shift)
            examples = opened(task, shift)
            assert len(examples)
            assert isinstance(examples.inputs, Images)
            assert examples.inputs.read(len(examples) - 1).ndim == 3
        assert pickle.loads(pickle.dumps(task)).shifts == task.shifts


def test_its_identity_is_what_it_holds_and_not_where(root: Path, tmp_path: Path) -> None:
    alone = ImageNet1k(path=str(root))
    here = ImageNet1k(path=str(root), r=str(renditions(tmp_path / "here")))
    shutil.copytree(tmp_path / "here", tmp_path / "b")
    there = ImageNet1k(path=str(root), r=str(tmp_path / "b"))
    sketch = ImageNet1k(path=str(root), sketch=here.r)
    assert here.key == there.key
    assert len({alone.key, here.key, sketch.key}) == 3
    file = tmp_path / "b" / "n01443537" / "art_0.jpg"
    file.write_bytes(file.read_bytes() + b"\n")
    changed = ImageNet1k(path=str(root), r=str(tmp_path / "b"))
    assert changed.key != here.key


@pytest.mark.parametrize("other", ["r", "a", "sketch"])
def test_wnids_become_classes_of_their_own(root: Path, tmp_path: Path, other: str) -> None:
    task = ImageNet1k.model_validate({"path": str(root), other: str(renditions(tmp_path / "x"))})
    groups = task.classes_of(other)
    assert groups is not None
    # goldfish, beagle and harmonica
    assert [list(g) for g in groups] == [[1], [162], [593]]
    names = [imagenet_names.words()[g[0]] for g in groups]
    assert names == ["goldfish", "Beagle", "harmonica"]
    examples = opened(task, other)
    assert list(examples.ids)[:3] == [f"n01443537/art_{i}.jpg" for i in (0, 1)] + [
        "n02088364/art_0.jpg"
    ]
    assert examples.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_v2s_folders_are_numbers_of_classes(root: Path, tmp_path: Path) -> None:
    task = ImageNet1k(path=str(root), v2=str(v2(tmp_path / "v2")))
    assert task.classes_of("v2") is None, "it has ImageNet's own classes"
    examples = opened(task, "v2")
    assert {
        id.split("/")[0]: label for id, label in zip(examples.ids, examples.labels, strict=True)
    } == {**{"0": 0, "2": 2, "10": 10, "999": 999}}


def test_objectnets_classes_are_those_its_mappings_name(root: Path, tmp_path: Path) -> None:
    task = ImageNet1k(path=str(root), objectnet=str(objectnet(tmp_path / "objectnet-1.0")))
    assert task.classes_of("objectnet") == ((588, 790), (560, 518)), "basket, then helmet"
    examples = opened(task, "objectnet")
    assert [id.split("/")[0] for id in examples.ids] == ["basket"] * 2 + ["helmet"] * 2
    assert examples.labels.tolist() == [0, 0, 1, 1]
    assert isinstance(examples.inputs, Images)
    for row, id in enumerate(examples.ids):
        whole = np.asarray(Image.open(tmp_path / "objectnet-1.0" / "images" / id))
        np.testing.assert_array_equal(examples.inputs.read(row), whole[2:-2, 2:-2])
    last = examples.take(np.array([3]))
    assert isinstance(last.inputs, Images)
    np.testing.assert_array_equal(last.inputs.read(0), examples.inputs.read(3))


@pytest.mark.parametrize("damage", ["[]", "{", '{"Basket": "no such line"}', '{"Basket": 3}'])
def test_mappings_that_are_none(root: Path, tmp_path: Path, damage: str) -> None:
    folder = objectnet(tmp_path / "objectnet-1.0")
    (folder / "mappings" / "objectnet_to_imagenet_1k.json").write_text(damage)
    task = ImageNet1k(path=str(root), objectnet=str(folder))
    with pytest.raises(ValueError, match="mappings"):
        task.classes_of("objectnet")


def test_corrupted_images_have_the_ids_of_the_clean(root: Path, tmp_path: Path) -> None:
    task = ImageNet1k(path=str(root), c=str(imagenet_c(tmp_path / "c")))
    clean = opened(task)
    for shift in ("gaussian_noise-1", "jpeg_compression-5"):
        examples = opened(task, shift)
        assert list(examples.ids) == [clean.ids[0]]
        assert examples.labels.tolist() == [0]
        assert task.classes_of(shift) is None


@pytest.mark.parametrize(
    ("other", "gone", "line"),
    [
        ("v2", "", "no folder"),
        ("r", "", "no folder"),
        ("sketch", "*", "no folder of wnids"),
        ("objectnet", "mappings", "no mappings/folder_to_objectnet_label.json below"),
        ("objectnet", "images", "no images below"),
        ("c", "fog", "no fog below"),
        ("c", "fog/3", "no fog/3 below"),
    ],
)
def test_what_is_missing_is_named(
    root: Path, tmp_path: Path, other: str, gone: str, line: str
) -> None:
    folder = OTHERS[other](tmp_path / "data")
    for path in [folder] if not gone else sorted(folder.glob(gone)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    task = ImageNet1k.model_validate({"path": str(root), other: str(folder)})
    assert line in task.missing(root)[0]
    with pytest.raises(FileNotFoundError, match=line):
        task.check()


def test_a_missing_class_is_named(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    shutil.rmtree(copy / "val" / "n02088364")
    assert ImageNet1k(path=str(copy)).missing(copy) == [f"no val/n02088364 below {copy}"]


def test_names_are_clips_and_wordnets_where_clip_has_one_twice() -> None:
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES, SIMPLE_IMAGENET_TEMPLATES

    names = ImageNet1k(path="…").class_names
    assert len(set(names)) == 1000
    others = {i: name for i, name in enumerate(names) if name != IMAGENET_CLASSNAMES[i]}
    assert others == {
        744: "projectile, missile",
        836: "sunglass",
        837: "sunglasses, dark glasses, shades",
    }
    assert imagenet_names.templates() == tuple(t("{}") for t in SIMPLE_IMAGENET_TEMPLATES)
    assert list(imagenet_names.wnids()) == sorted(imagenet_names.wnids())


def test_words_and_wnids_are_of_the_same_classes() -> None:
    """CLIP's words come from one package and wnids from another: most share a word with WordNet's
    lemmas of the same wnid, and hardly any with those of the next."""
    import timm

    file = Path(timm.__file__).parent / "data" / "_info" / "imagenet_synset_to_lemma.txt"
    lemmas = dict(line.split("\t") for line in file.read_text().splitlines())
    said = [set(words.lower().split()) for words in imagenet_names.words()]
    known = [set(lemmas[wnid].lower().replace(",", " ").split()) for wnid in imagenet_names.wnids()]
    same = np.mean([bool(a & b) for a, b in zip(said, known, strict=True)])
    next_ = np.mean([bool(a & b) for a, b in zip(said, known[1:] + known[:1], strict=True)])
    assert same > 0.85
    assert next_ < 0.2
