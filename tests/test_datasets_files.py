"""NumPy's files and IDX files: what is read, and that a lying file is found out cheaply."""

import gzip
import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from pybackprop.datasets import load_idx, load_npy, load_npz

RNG = np.random.default_rng(0)
IMAGES = "train-images-idx3-ubyte"
LABELS = "train-labels-idx1-ubyte"


def npy_bytes(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def idx_bytes(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


@pytest.fixture
def mnist(tmp_path):
    """Return a folder of tiny IDX files and the arrays in them."""
    arrays = {
        IMAGES: RNG.integers(0, 256, (30, 4, 5), dtype=np.uint8),
        LABELS: np.arange(30, dtype=np.uint8) % 3,
        "t10k-images-idx3-ubyte": RNG.integers(0, 256, (6, 4, 5), dtype=np.uint8),
        "t10k-labels-idx1-ubyte": np.arange(6, dtype=np.uint8) % 3,
    }
    for name, array in arrays.items():
        (tmp_path / name).write_bytes(idx_bytes(array))
    return tmp_path, arrays


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("style", ["-idx", ".idx"])
def test_idx_folder_is_read(mnist, suffix, style):
    folder, arrays = mnist
    for name, array in arrays.items():
        (folder / name).unlink()
        content = idx_bytes(array)
        path = folder / (name.replace("-idx", style) + suffix)
        path.write_bytes(gzip.compress(content) if suffix else content)
    data = load_idx(folder)
    assert data.x.dtype == np.uint8
    np.testing.assert_array_equal(data.x, arrays[IMAGES].reshape(30, 20))
    np.testing.assert_array_equal(data.y, arrays[LABELS])
    np.testing.assert_array_equal(data.x_test, arrays["t10k-images-idx3-ubyte"].reshape(6, 20))
    np.testing.assert_array_equal(data.y_test, arrays["t10k-labels-idx1-ubyte"])
    assert data.class_names == ("0", "1", "2")


def test_idx_folder_without_held_out_part(mnist):
    folder, _ = mnist
    for path in folder.glob("t10k-*"):
        path.unlink()
    assert load_idx(folder).x_test is None


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("name", "change", "what"),
    [
        (IMAGES, lambda b: b[:3], "ends within the magic"),
        (IMAGES, lambda b: b[:9], "ends within its 3 dimensions"),
        (IMAGES, lambda b: b[:-1], "600 bytes of data, the file has 599"),
        (IMAGES, lambda b: b + b"x", "600 bytes"),
        (IMAGES, lambda b: b"\0\0\x0d\x03" + b[4:], "wrong magic number 0x00000d03"),
        (IMAGES, lambda b: b"\0\0\x08\x01" + b[4:], "expected 0x00000803"),
        (IMAGES, lambda b: b"\x01\0\x08\x03" + b[4:], "wrong magic number"),
        (LABELS, lambda b: b"\0\0\x08\x03" + b[4:], "expected 0x00000801"),
        (IMAGES, lambda b: b[:4] + b"\xff" * 12 + b[16:], "the header says"),
        (LABELS, lambda b: struct.pack(">HBBI", 0, 8, 1, 29) + b[9:], "29 labels for 30 images"),
        (IMAGES, lambda b: struct.pack(">HBB3I", 0, 8, 3, 30, 0, 5), "holds no values"),
        ("t10k-labels-idx1-ubyte", lambda b: b[:-1] + b"\x03", "3 classes"),
    ],
)
def test_malformed_idx_is_refused(mnist, name, change, what, compressed):
    folder, arrays = mnist
    content = change(idx_bytes(arrays[name]))
    (folder / name).unlink()
    path = folder / (name + ".gz" if compressed else name)
    path.write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(ValueError, match=what) as caught:
        load_idx(folder)
    assert str(caught.value).startswith(str(folder))


@pytest.mark.parametrize("name", [IMAGES, LABELS, "t10k-images-idx3-ubyte"])
def test_missing_idx_file_is_named(mnist, name):
    folder, _ = mnist
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing"):
        load_idx(folder)


def test_damaged_gzip_idx_is_refused(mnist):
    folder, arrays = mnist
    whole = gzip.compress(idx_bytes(arrays[IMAGES]))
    (folder / IMAGES).unlink()
    for content in (whole[:-12], whole[:40] + b"\xff\xff" + whole[42:]):
        (folder / f"{IMAGES}.gz").write_bytes(content)
        with pytest.raises(ValueError, match="damaged gzip data"):
            load_idx(folder)


def test_lying_files_cost_no_memory(mnist, tmp_path):
    folder, arrays = mnist
    # 64 MB of zeros behind a header that promises 600 bytes; and 16 TB promised by a few bytes.
    bomb = gzip.compress(idx_bytes(arrays[IMAGES]) + bytes(1 << 26))
    liar = gzip.compress(struct.pack(">HBB3I", 0, 8, 3, 1 << 30, 128, 128))
    (folder / IMAGES).unlink()
    plain = npy_bytes(np.zeros((4, 4)))
    huge = plain.replace(b"(4, 4), }            ", b"(4000000000, 4000), }")
    assert huge != plain
    (tmp_path / "x.npy").write_bytes(huge)
    np.save(tmp_path / "y.npy", np.zeros(4))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", huge)
        archive.writestr("y.npy", npy_bytes(np.zeros(4)))
    tracemalloc.start()
    try:
        for content, what in ((bomb, "goes on after the 600"), (liar, "cannot hold that")):
            (folder / f"{IMAGES}.gz").write_bytes(content)
            with pytest.raises(ValueError, match=what):
                load_idx(folder)
        with pytest.raises(ValueError, match=r"x\.npy: the header says \(4000000000, 4000\)"):
            load_npy(tmp_path / "x.npy")
        with pytest.raises(ValueError, match=r"a\.npz: array x: the header says"):
            load_npz(tmp_path / "a.npz")
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        ("uint8", "uint8"),
        ("float32", "float32"),
        ("float64", "float64"),
        (">f4", "float32"),
        (">f8", "float64"),
        ("bool", "uint8"),
        ("int16", "float64"),
        ("int64", "float64"),
        ("float16", "float64"),
    ],
)
def test_npz_inputs_keep_their_type_where_they_can(tmp_path, dtype, kept):
    x = RNG.integers(0, 2, size=(12, 2, 3)).astype(dtype)
    np.savez_compressed(tmp_path / "a.npz", x=np.asfortranarray(x), y=np.arange(12) + 0.5)
    data = load_npz(tmp_path / "a.npz")
    assert data.x.dtype == np.dtype(kept)
    np.testing.assert_array_equal(data.x, x.reshape(12, 6))
    assert data.task == "regression"


@pytest.mark.parametrize(
    ("y", "classes", "indices"),
    [
        (np.array([3, 7] * 3), ("3", "7"), [0, 1] * 3),
        (np.array([3.0, 7.0] * 3), ("3", "7"), [0, 1] * 3),
        (np.array([3, 7] * 3)[:, None], ("3", "7"), [0, 1] * 3),
        (np.array(["b", "a"] * 3), ("a", "b"), [1, 0] * 3),
        (np.array([b"b", b"a"] * 3), ("a", "b"), [1, 0] * 3),
        (np.array([True, False] * 3), ("False", "True"), [1, 0] * 3),
        (np.eye(3)[[0, 2, 1, 0, 1, 2]], ("0", "1", "2"), [0, 2, 1, 0, 1, 2]),
        (np.arange(6), None, None),
        (np.linspace(0, 1, 6), None, None),
        (np.ones((6, 2)), None, None),
    ],
)
def test_npz_targets_follow_the_stated_rule(tmp_path, y, classes, indices):
    np.savez(tmp_path / "a.npz", X=np.zeros((6, 2)), y=y)
    data = load_npz(tmp_path / "a.npz")
    assert data.class_names == classes
    if classes is None:
        np.testing.assert_array_equal(data.y, y)
        assert len(data.target_names) == (1 if y.ndim == 1 else y.shape[1])
    else:
        assert data.y.tolist() == indices
        assert data.y.dtype == np.int64


def test_npz_with_held_out_part(tmp_path):
    parts = {"x_train": np.zeros((9, 2)), "y_train": np.arange(9) % 2}
    parts |= {"x_test": np.ones((3, 2)), "y_test": np.array([1, 0, 1])}
    np.savez(tmp_path / "a.npz", **parts)
    data = load_npz(tmp_path / "a.npz")
    assert data.y_test.tolist() == [1, 0, 1]
    for name, array in parts.items():
        np.save(tmp_path / f"{name}.npy", array)
    assert load_npy(tmp_path).y_test.tolist() == [1, 0, 1]
    assert load_npy(tmp_path / "x_train.npy").x.shape == (9, 2)
    np.savez(tmp_path / "a.npz", **{**parts, "y_test": np.array([1, 2, 1])})
    with pytest.raises(ValueError, match=r"array y_test: the class '2' at \[1\]"):
        load_npz(tmp_path / "a.npz")


X6 = np.zeros((6, 2))
NAN_AT_3_1 = np.where(np.arange(12) == 7, np.nan, 0.0).reshape(6, 2)


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"x": X6}, "needs arrays x and y"),
        ({"x": X6, "y": np.zeros(5)}, "for 6 examples"),
        ({"x": X6.astype(complex), "y": np.zeros(6)}, "real numbers"),
        ({"x": np.array(3.0), "y": np.zeros(6)}, "must hold examples"),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0)}, "must hold examples"),
        ({"x": NAN_AT_3_1, "y": np.zeros(6)}, r"x: the value at \[3, 1\] is not finite"),
        ({"x": X6, "y": np.where(np.arange(6) == 4, np.inf, 0.5)}, r"\[4\] is not finite"),
        ({"x": X6, "y": np.zeros((6, 2, 2))}, "for 6 examples"),
        ({"x": X6, "y": np.full(6, "a")}, "one class 'a'"),
        ({"x": X6, "y": np.full((6, 2), "a")}, "texts must be"),
    ],
)
def test_npz_refuses_arrays_that_do_not_fit(tmp_path, arrays, what):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=what) as caught:
        load_npz(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_pickles_are_refused(tmp_path):
    objects = np.array([{}, []], dtype=object)
    np.savez(tmp_path / "a.npz", x=objects, y=np.zeros(2))
    np.save(tmp_path / "x.npy", objects)
    np.save(tmp_path / "y.npy", np.zeros(2))
    with pytest.raises(ValueError, match=r"a\.npz: array x: holds Python objects"):
        load_npz(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"x\.npy: holds Python objects"):
        load_npy(tmp_path / "x.npy")


def test_truncated_numpy_files_are_refused_at_every_length(tmp_path):
    whole = npy_bytes(np.arange(8.0).reshape(4, 2))
    np.save(tmp_path / "y.npy", np.arange(4.0))
    for length in range(len(whole)):
        (tmp_path / "x.npy").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"x\.npy: "):
            load_npy(tmp_path / "x.npy")
    (tmp_path / "x.npy").write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match=r"x\.npy: the header says"):
        load_npy(tmp_path / "x.npy")


def test_damaged_archives_are_refused_at_every_byte(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.arange(8.0).reshape(4, 2), y=np.array([0, 1, 0, 1]))
    whole = path.read_bytes()
    expected = load_npz(path)
    refused = 0
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            data = load_npz(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017
            refused += 1
        else:
            np.testing.assert_array_equal(data.x, expected.x)
            np.testing.assert_array_equal(data.y, expected.y)
    assert refused > len(whole) / 2
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"not an \.npz archive"):
        load_npz(path)


def test_ordinary_data_may_be_compressed_far(tmp_path):
    labels = np.repeat(np.arange(10), 150_000)
    one_hot = np.zeros((100_000, 100), np.float32)
    one_hot[np.arange(100_000), np.sort(RNG.integers(0, 100, 100_000))] = 1
    counts = np.zeros((20_000, 300))
    counts[::50, ::30] = 3.0
    path = tmp_path / "a.npz"
    for x, y in (
        (np.zeros((1_500_000, 1), np.uint8), labels),
        (one_hot, np.arange(100_000) % 2),
        (counts, np.arange(20_000) % 2),
    ):
        np.savez_compressed(path, x=x, y=y)
        assert max(x.nbytes, y.nbytes) > max(8 << 20, 100 * path.stat().st_size)
        data = load_npz(path)
        np.testing.assert_array_equal(data.x, x)
        np.testing.assert_array_equal(data.y, y)


def test_a_data_set_compressed_far_has_a_bound_in_all(tmp_path):
    path = tmp_path / "a.npz"
    y = np.arange(1000) % 2
    np.savez_compressed(path, x=np.zeros((1000, 33_000), np.int8), y=y)
    with pytest.raises(ValueError, match=r"a\.npz: array x: x takes 264000000 bytes of memory"):
        load_npz(path)
    parts = {name: np.zeros((1000, 130_000), np.uint8) for name in ("x_train", "x_test")}
    np.savez_compressed(path, **parts, y_train=y, y_test=y)
    with pytest.raises(ValueError, match=r"a\.npz: array x_\w+: x_\w+ unpacks to more than 12"):
        load_npz(path)
