"""Lists, folders and files that are not what they should be; and decoding, against Pillow."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raystudy.kinds import Examples
from raystudy.shards.probe import MAX_PIXELS
from raystudy.tasks.listing import Files, Listing, Splits, read_lines

from .miniatures import at, cassava, cifar100, dtd, photo, tiny


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, format, **options)
    return data.getvalue()


def picture(mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (21, 34, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((68, 42)).convert(mode)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be shown turned by 90 degrees
    return saved(picture(), "JPEG", exif=exif)


KINDS = {
    "jpeg": saved(picture(), "JPEG", quality=75),
    "progressive": saved(picture(), "JPEG", progressive=True),
    "grey jpeg": saved(picture("L"), "JPEG"),
    "cmyk jpeg": saved(picture("CMYK"), "JPEG"),
    "turned by exif": turned(),
    "png": saved(picture(), "PNG"),
    "grey png": saved(picture("L"), "PNG"),
    "alpha png": saved(picture("RGBA"), "PNG"),
    "palette png": saved(picture("P"), "PNG"),
    "one bit png": saved(picture("1"), "PNG"),
    "gif": saved(picture("P"), "GIF"),
    "bmp": saved(picture(), "BMP"),
    "webp": saved(picture(), "WEBP", lossless=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_as_torchvisions_loader_reads_them(kind: str, tmp_path: Path) -> None:
    """Whatever they are inside: the suffix says nothing."""
    from torchvision.datasets.folder import pil_loader

    (tmp_path / "a.jpg").write_bytes(KINDS[kind])
    found = Files(tmp_path, ["a.jpg"]).read(0)
    expected = np.asarray(pil_loader(str(tmp_path / "a.jpg")))
    assert found.dtype == np.uint8
    assert found.shape == (42, 68, 3)
    # From four inks to three colours libjpeg-turbo rounds otherwise than Pillow does.
    np.testing.assert_allclose(found.astype(int), expected, atol=1 if kind == "cmyk jpeg" else 0)


def bomb() -> bytes:
    """A PNG of a few bytes that says it has a hundred thousand pixels a side."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def jpeg_bomb() -> bytes:
    data = KINDS["jpeg"]
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", 65_000, 65_000) + data[at + 4 :]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a whole"),
        (b"no image", "not a whole"),
        (KINDS["jpeg"][:-200], "not a whole"),
        (KINDS["png"][:-200], "not a whole"),
        (bomb(), f"100000 × 100000 is over {MAX_PIXELS} pixels|exceeds limit"),
        (jpeg_bomb(), f"65000 × 65000 is over {MAX_PIXELS} pixels"),
    ],
    ids=["empty", "text", "cut jpeg", "cut png", "bomb", "jpeg bomb"],
)
def test_a_damaged_image_is_an_error_that_names_the_file(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    task, _ = tiny("dtd", tmp_path)
    train = task.train()
    file = Path(task.path) / "images" / train.ids[3]
    file.write_bytes(data)
    assert not isinstance(train.inputs, np.ndarray)
    with pytest.raises(ValueError, match=reason) as caught:
        train.inputs.read(3)
    assert str(caught.value).startswith(f"{file}: ")
    train.inputs.read(2)


def test_a_file_that_is_gone_is_an_error_that_names_it(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    files = Files(tmp_path, ["a.jpg", "b.jpg"])
    with pytest.raises(FileNotFoundError, match=r"b\.jpg"):
        files.read(1)
    with pytest.raises(FileNotFoundError, match=r"b\.jpg"):
        files[np.array([1, 0])].read(0)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match=r"a\.jpg: 1,099,511,627,776 bytes"):
        Files(tmp_path, ["a.jpg"]).read(0)


def test_images_on_disk_are_no_array(tmp_path: Path) -> None:
    examples = Examples(["a"], Files(tmp_path, ["a.jpg"]), np.zeros(1, np.int64))
    with pytest.raises(TypeError, match="still on disk"):
        _ = examples.array


def listing(*ids: str) -> Listing:
    return Listing.of((id, f"{id}.jpg", 0) for id in ids)


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("ab", "c", "da"), ("ab", "b", "c"), ("a", "bc", "cd"), ("aba", "c", "d")],
)
def test_an_example_in_two_splits_is_refused(train: str, validation: str, test: str) -> None:
    with pytest.raises(ValueError, match="is listed twice"):
        Splits(listing(*train), listing(*validation), listing(*test))


def test_a_leak_in_official_lists_is_refused(tmp_path: Path) -> None:
    dtd(tmp_path)
    lists = [tmp_path / "labels" / f"{name}1.txt" for name in ("train", "test")]
    lists[0].write_text(lists[0].read_text() + lists[1].read_text().splitlines()[0])
    with pytest.raises(ValueError, match=r"banded|zigzagged"):
        at("dtd", tmp_path).train()


@pytest.mark.parametrize("line", ["../banded/x.jpg", "/etc/banded.jpg", "banded/../../x.jpg"])
def test_lists_cannot_lead_out_of_the_data_set(tmp_path: Path, line: str) -> None:
    dtd(tmp_path)
    (tmp_path / "labels" / "train1.txt").write_text(f"{line}\n")
    with pytest.raises(ValueError, match=r"train1\.txt: .* leads out"):
        at("dtd", tmp_path).train()


def test_an_unknown_class_is_named_with_its_list(tmp_path: Path) -> None:
    dtd(tmp_path)
    (tmp_path / "labels" / "val1.txt").write_text("knobbly/knobbly_0001.jpg\n")
    with pytest.raises(ValueError, match=r"val1\.txt: 'knobbly' is no class"):
        at("dtd", tmp_path).validation()


def test_a_list_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00 no text")
    with pytest.raises(ValueError, match=r"a\.txt: not a text file"):
        read_lines(tmp_path / "a.txt")


def test_cassavas_numbers_are_read_by_their_names(tmp_path: Path) -> None:
    diseases = {"0": "Healthy", "1": "Cassava Mosaic Disease (CMD)"}
    truth = cassava(tmp_path, diseases)
    train = at("cassava", tmp_path).train()
    names = at("cassava", tmp_path).class_names
    assert {names[label] for label in train.labels} == {"healthy cassava", "cassava mosaic disease"}
    assert all(truth.classes[i] == names[k] for i, k in zip(train.ids, train.labels, strict=True))


def test_cassava_without_its_map_has_kaggles_order(tmp_path: Path) -> None:
    truth = cassava(tmp_path)
    (tmp_path / "label_num_to_disease_map.json").unlink()
    task = at("cassava", tmp_path)
    task.check()
    for id, label in zip(task.train().ids, task.train().labels, strict=True):
        assert truth.classes[id] == task.class_names[label]


def test_cifars_bytes_are_read_by_their_names(tmp_path: Path) -> None:
    from raystudy.tasks.names import official

    truth = cifar100(tmp_path, tuple(reversed(official("cifar100"))))
    task = at("cifar100", tmp_path)
    train = task.train()
    assert {task.class_names[label] for label in train.labels} == {"worm", "woman", "wolf"} | {
        "willow tree"
    }
    for id, label in zip(train.ids, train.labels, strict=True):
        assert truth.classes[id] == task.class_names[label]


def test_cifars_pixels_are_planes(tmp_path: Path) -> None:
    cifar100(tmp_path)
    raw = np.fromfile(tmp_path / "cifar-100-binary" / "train.bin", np.uint8).reshape(-1, 3074)
    train = at("cifar100", tmp_path).train()
    for id, image in zip(train.ids, train.array, strict=True):
        record = raw[int(id[-5:])]
        for y, x in ((0, 0), (5, 30), (31, 1)):
            offsets = [2 + channel * 1024 + y * 32 + x for channel in range(3)]
            assert image[y, x].tolist() == record[offsets].tolist()


def test_a_cut_off_cifar_is_an_error(tmp_path: Path) -> None:
    cifar100(tmp_path)
    file = tmp_path / "cifar-100-binary" / "test.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"test\.bin: .* not whole records"):
        at("cifar100", tmp_path).train()


def test_cifars_pickles_are_not_read_and_the_error_says_so(tmp_path: Path) -> None:
    (tmp_path / "cifar-100-python").mkdir()
    (tmp_path / "cifar-100-python" / "train").write_bytes(b"\x80\x04.")
    with pytest.raises(FileNotFoundError, match="pickles, which are not read: download the binary"):
        at("cifar100", tmp_path).check()


def test_svhns_images_and_zeros(tmp_path: Path) -> None:
    from scipy.io import loadmat

    task, _ = tiny("svhn", tmp_path)
    raw = loadmat(Path(task.path) / "train_32x32.mat")
    train = task.train()
    for id, image, label in zip(train.ids, train.array, train.labels, strict=True):
        i = int(id[-5:])
        np.testing.assert_array_equal(image, raw["X"][:, :, :, i])
        assert label == (0 if raw["y"][i, 0] == 10 else raw["y"][i, 0])


@pytest.mark.parametrize("name", ["svhn", "flowers102", "camera-traps-cis", "cassava"])
def test_a_damaged_table_is_an_error_that_names_it(name: str, tmp_path: Path) -> None:
    task, _ = tiny(name, tmp_path)
    root = Path(task.path)
    first = next(f for f in task.files(root) if not f.endswith(".jpg"))
    (root / first).write_bytes(b"not what it was")
    with pytest.raises(ValueError, match=first.rpartition("/")[2]):
        task.train()


@pytest.mark.parametrize("line", ["a.jpg 4", "a.jpg -1", "a.jpg", "a.jpg x"])
def test_vtabs_labels_are_within_the_classes(line: str, tmp_path: Path) -> None:
    task, _ = tiny("vtab-kitti", tmp_path)
    (Path(task.path) / "kitti" / "val200.txt").write_text(f"{line}\n")
    with pytest.raises(ValueError, match=r"val200\.txt: 'a\.jpg.* below 4"):
        task.validation()


def test_torchvision_finds_the_same_images_and_classes(tmp_path: Path) -> None:
    """Its own readers, over the folders that it would have made itself."""
    from torchvision import datasets

    from raystudy.tasks import names

    nests = {"dtd": "dtd/dtd", "pets": "oxford-iiit-pet", "caltech101": "caltech101"}
    for name, nest in nests.items():
        task, truth = tiny(name, tmp_path)
        (tmp_path / "tv" / nest).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tv" / nest).symlink_to(task.path)
        words = dict(zip(names.official(name), names.words(name), strict=True))
        if name == "dtd":
            theirs = datasets.DTD(tmp_path / "tv", "test")
            found = {
                f"{f.parent.name}/{f.name}": theirs.classes[k]
                for f, k in zip(theirs._image_files, theirs._labels, strict=True)
            }
            assert found == {id: truth.classes[id] for id in truth.splits["test"]}
        elif name == "pets":
            theirs = datasets.OxfordIIITPet(tmp_path / "tv", "trainval")
            assert {f.stem for f in theirs._images} == truth.splits["learnt"]
        else:
            theirs = datasets.Caltech101(tmp_path / "tv")
            assert sorted(words) == sorted([*theirs.categories, "BACKGROUND_Google"])
