"""Data files, and ONNX files, made to do harm; see attacks_models."""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from attacks_models import ARRAYS, JSON, Attack, archive, as_entries, entry, packed, shaped
from loaders import IMAGES, npy, valid

ATTACKS: dict[str, dict[str, Attack]] = {
    kind: {} for kind in ("onnx", "csv", "csv.gz", "encoding", "data.npz", "npy", "idx", "idx.gz")
}


# ---- gzip ----


def member(data: bytes, name: bytes = b"", level: int = 9) -> bytes:
    """A gzip member, with a file name of any length."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    flags = 8 if name else 0
    head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(5) + b"\xff" + (name + b"\0" if name else b"")
    tail = struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    return head + packer.compress(data) + packer.flush() + tail


def long_gzip(piece: bytes, count: int) -> bytes:
    """A gzip file of a piece repeated, in members of one piece each, so that it is soon made."""
    return member(piece) * count


def long_deflate(begin: bytes, megabytes: int) -> bytes:
    """A deflate stream of so many megabytes of zeros, all of them in blocks of the same bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(begin) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + block * megabytes + packer.flush()


GZIP: dict[str, Callable[[bytes], bytes]] = {
    "long name": lambda data: member(data, b"a" * 10_000_000),
    "empty members": lambda data: member(b"") * 100_000 + member(data),
    "members of a byte": lambda data: member(b"1") * 100_000,
    "garbage after it": lambda data: member(data) + b"garbage",
    "a torn member after it": lambda data: member(data) + member(data)[:-5],
    "another header after it": lambda data: member(data) + b"\x1f\x8b",
    "wrong checksum": lambda data: member(data)[:-8] + bytes(8),
    "wrong length": lambda data: member(data)[:-4] + bytes(4),
    "unknown method": lambda data: b"\x1f\x8b\x07" + member(data)[3:],
    "reserved flags": lambda data: b"\x1f\x8b\x08\xe0" + member(data)[4:],
    "magic alone": lambda data: b"\x1f\x8b",
    "endless empty blocks": lambda data: member(data)[:10] + b"\x00\x00\x00\xff\xff" * 2_000_000,
}

# ---- tables ----


def _categories(columns: int, rows: int) -> bytes:
    lines = [
        ",".join(f"{chr(97 + row % 26)}{row:x}" for _ in range(columns)) for row in range(rows)
    ]
    return "\n".join(lines).encode() + b"\nx\n"


WIDE = 65_000
CSV: dict[str, Attack] = {
    "a line without end": lambda: b"1" * 20_000_000,
    "columns without end": lambda: b"1," * 4_000_000,
    "columns just beyond": lambda: b"1," * 66_000 + b"1\n",
    "columns just within, of one name": lambda: b",".join([b"a"] * WIDE) + b"\n" + b"1," * WIDE,
    "wide and torn": lambda: (b"1," * WIDE + b"1\n") * 9 + b"1,2\n",
    "wide names, then a fault": lambda: (
        ",".join(f"name{at}" for at in range(WIDE)).encode() + b"\n" + b"1," * (WIDE - 1) + b"x\n"
    ),
    "many categories": lambda: _categories(2000, 257),
    "quote without end": lambda: b'"' + b"1,2\n" * 1_000_000,
    "quotes over lines": lambda: b'a,"\n' + b'",b,c,"\n' * 1_500_000,
    "empty cells over lines": lambda: b'a,"\n' + b'",,,,,,,,,,,,,,,"\n' * 200_000,
    "quotes": lambda: b'"' * 4_000_000,
    "quote within": lambda: b'1,2\n3,4"5"\n"6"7,8\n',
    "blank lines": lambda: b"\n" * 10_000_000,
    "blank lines after a row": lambda: b"1,2\n" + b"\n" * 10_000_000,
    "carriage returns": lambda: b"1,2\r" * 100_000,
    "lines of blanks": lambda: b"  \n" * 5_000_000,
    "zero bytes": lambda: b"1,2\n" + bytes(1_000_000),
    "no UTF-8": lambda: b"1,2\n\xff\xfe,3\n",
    "UTF-16": lambda: "a,b\n1,2\n".encode("utf-16"),
    "torn character": lambda: b"a,b\n1,\xf0\x9f\x98",
    "surrogate": lambda: b"a,b\n1,\xed\xa0\x80\n",
    "huge number": lambda: b"1" * 100_000 + b",2\n1e400,3\n",
    "tiny number": lambda: b"1e-400,2\n1,3\n",
    "number with groups": lambda: b"1,2\n1_000,3\n",
    "infinite target": lambda: b"1,2\n2,inf\n3,-inf\n",
    "long cell": lambda: b"a,b\n" + b"x" * 200_000 + b",1\n",
    "long name": lambda: b"x" * 130_000 + b",b\n,1\n",
    "long class": lambda: b"1," + b"x" * 130_000 + b"\n2," + b"y" * 130_000 + b"\n",
    "long text in a numeric column": lambda: b"1,2\n" * 300 + b"x" * 130_000 + b",2\n",
    "wide characters": lambda: "😀,".encode() * 20_000 + b"1\n",
    "formula": lambda: b"=cmd|'/c calc'!A1,2\n1,3\n",
    "a fault at the end": lambda: b"1,2\n" * 150_000 + b"1\n",
    "nothing": lambda: b"",
    "byte order mark alone": lambda: b"\xef\xbb\xbf",
    "an archive": lambda: valid("data.npz"),
}
# What the encoding of the valid table must have in its first row, so that the fault is met.
ENCODING: dict[str, Attack] = {
    "blank lines after a row": lambda: b"1,u,0\n" + b"\n" * 10_000_000,
    "quote within": lambda: b'1,u,0\n3,"u"v,0\n"6"7,u,0\n',
    "zero bytes": lambda: b"1,u,0\n" + bytes(1_000_000),
    "no UTF-8": lambda: b"1,u,0\n\xff\xfe,u,0\n",
    "huge number": lambda: b"1" * 100_000 + b",u,0\n1e400,v,0\n",
    "tiny number": lambda: b"1e-400,u,0\n1,v,1\n",
    "number with groups": lambda: b"1,u,0\n1_000,v,1\n",
    "infinite target": lambda: b"1,u,0\n2,v,inf\n",
    "long class": lambda: b"1,u,0\n1,v," + b"x" * 130_000 + b"\n",
    "long text in a numeric column": lambda: b"1,u,0\n" * 300 + b"x" * 130_000 + b",u,0\n",
    "a fault at the end": lambda: b"1,u,0\n" * 150_000 + b"1\n",
}
CSV_GZ: dict[str, Attack] = {
    "line of 50 MB": lambda: long_gzip(b"1" * (1 << 20), 50),
    "400 MB of lines": lambda: long_gzip(b"1,2\n" * (1 << 18), 400),
    "lines in small members": lambda: member(b"1,2\n") * 30_000 + member(b"1\n"),
    "50 MB of blank lines": lambda: long_gzip(b"\n" * (1 << 20), 50),
    "wide lines": lambda: long_gzip(b"1," * 64_999 + b"1\n", 3000),
    "a quote over 50 MB": lambda: member(b'"') + long_gzip(b"1,2\n" * (1 << 18), 50),
    "50 MB of zeros": lambda: long_gzip(bytes(1 << 20), 50),
}

# ---- arrays ----


def _deflated_archive(**arrays: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in arrays.items():
            made.writestr(f"{name}.npy", data)
    return stream.getvalue()


def _data(x: Any, y: Any) -> bytes:
    return _deflated_archive(x=npy(np.asarray(x)), y=npy(np.asarray(y)))


def _member_bomb(claimed: int | None) -> bytes:
    """Inputs of 1000 rows of 1 MB."""
    begin = shaped(f"(1000, {1 << 20})", "'|u1'")
    size = len(begin) + (1000 << 20) if claimed is None else claimed
    bomb = {"name": b"x.npy", "stored": long_deflate(begin, 1000), "size": size, "method": 8}
    return archive([bomb, *as_entries({"y.npy": npy(np.arange(1000) % 2)})])


Y4 = np.array([0, 1, 0, 1])
DATA_NPZ: dict[str, Attack] = {
    "zip bomb": lambda: _member_bomb(None),
    "zip bomb that claims little": lambda: _member_bomb(200),
    "a million entries": lambda: archive([], entry(b"x", b"")[1] * 1_000_000),
    "long names": lambda: packed({"a" * 60_000: b"", "b" * 60_000: b""}),
    "names of wide characters": lambda: archive(
        [{"name": "é".encode(), "stored": b"", "flags": 0}]
    ),
    "array twice": lambda: archive(2 * as_entries({"x.npy": npy(Y4), "y.npy": npy(Y4)})),
    "millions of columns": lambda: _data(np.zeros((2, 4_000_000), np.uint8), [0, 1]),
    "millions of targets": lambda: _data(np.zeros((2, 2)), np.zeros((2, 1_000_000), np.uint8)),
    "millions of classes": lambda: _data(np.zeros((1, 1), np.uint8), np.eye(1, 7_000_000)),
    "small integers": lambda: _data(np.zeros((2, 400_000), np.int8), [0, 1]),
    "no columns": lambda: _data(np.zeros((4, 0)), Y4),
    "no rows": lambda: _data(np.zeros((0, 4)), []),
    "complex": lambda: _data(np.zeros((4, 2), complex), Y4),
    "dates": lambda: _data(np.zeros((4, 2), "M8[s]"), Y4),
    "no characters": lambda: _data(np.zeros((4, 2)), np.full(4, 0x110000, "<u4").view("<U1")),
    "no characters in two classes": lambda: _data(
        np.zeros((4, 2)), np.array([0x110000, 97, 97, 0x110000], "<u4").view("<U1")
    ),
    "surrogates": lambda: _data(np.zeros((2, 2)), np.array([0xD800, 0xDFFF], "<u4").view("<U1")),
    "long classes": lambda: _data(np.zeros((2, 2)), ["a" * 100_000, "b"]),
    "not a number": lambda: _data(np.full((4, 2), np.nan), Y4),
}
NPY: dict[str, Attack] = {
    "a million columns and more": lambda: npy(np.zeros((1, 2_000_000), np.uint8)),
    "no columns": lambda: npy(np.zeros((3, 0))),
    "a single number": lambda: npy(np.array(3.0)),
}

# ---- IDX ----


def _idx(*shape: int, data: bytes = b"", kind: int = 8, dims: int | None = None) -> bytes:
    head = struct.pack(">HBB", 0, kind, len(shape) if dims is None else dims)
    return head + struct.pack(f">{len(shape)}I", *shape) + data


TOP = 2**32 - 1
IDX: dict[str, Attack] = {
    "overflowing dimensions": lambda: _idx(TOP, TOP, TOP, data=bytes(64)),
    "dimensions of 2^64": lambda: _idx(2**31, 2**31, 4, data=bytes(64)),
    "255 dimensions": lambda: _idx(*[1] * 255, data=b"1"),
    "33 dimensions": lambda: _idx(*[1] * 33, data=b"1"),
    "no dimensions": lambda: _idx(data=b"1"),
    "dimensions of nothing": lambda: _idx(0, TOP, TOP),
    "many rows of nothing": lambda: _idx(TOP, TOP, 0),
    "more dimensions than bytes": lambda: _idx(2, 2, data=bytes(4), dims=20),
    "floats": lambda: _idx(1, 2, 1, kind=0x0D, data=bytes(8)),
    "beyond the end": lambda: _idx(1000, 1000, 1000, data=bytes(1000)),
    "within the end": lambda: _idx(2, 2, 2, data=bytes(1_000_000)),
    "nothing": lambda: b"",
}
IDX_GZ: dict[str, Attack] = {
    "1 GB promised": lambda: member(_idx(1000, 1000, 1000)),
    "100 MB after a small image": lambda: long_gzip(_idx(1, 2, 3) + bytes(1 << 20), 100),
    "1 GB that are there": lambda: (
        member(_idx(1000, 1000, 1000)) + long_gzip(bytes(1_000_000), 1000)
    ),
    "images of a million columns and more": lambda: member(
        _idx(1, 2000, 1500, data=bytes(3_000_000))
    ),
}

# ---- ONNX ----


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def _changed(change: Callable[[Any], Any]) -> bytes:
    import onnx

    model = onnx.load_model_from_string(valid("onnx"))
    change(model)
    return model.SerializeToString()


def _external(path: str) -> bytes:
    def change(model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = 1
        for key, value in (("location", path), ("offset", "0"), ("length", "8")):
            tensor.external_data.add(key=key, value=value)

    return _changed(change)


def _set(model: Any, dims: tuple[int, ...]) -> None:
    weight = next(each for each in model.graph.initializer if len(each.dims) == 2)
    del weight.dims[:]
    weight.dims.extend(dims)


def _shape(*dims: int) -> bytes:
    return _changed(lambda model: _set(model, dims))


def _layers(count: int, width: int) -> bytes:
    """So many layers of one weight, which the file holds once."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Gemm", [f"v{at}", "w"], [f"v{at + 1}"], transB=1) for at in range(count)
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])
        for name in ("v0", f"v{count}")
    ]
    weight = numpy_helper.from_array(np.zeros((width, width), np.float32), "w")
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model.SerializeToString()


def _chain(count: int, kind: str = "Identity") -> bytes:
    from onnx import helper

    def change(model: Any) -> None:
        last = model.graph.node[-1].output[0]
        names = [f"c{at}" for at in range(count)] + ["y"]
        model.graph.node[-1].output[0] = last = "c0"
        for name in names[1:]:
            model.graph.node.append(helper.make_node(kind, [last], [name]))
            last = name

    return _changed(change)


def _subgraphs(depth: int) -> bytes:
    node = b""
    for _ in range(depth):
        node = field(1, field(4, b"If") + field(5, field(1, b"a") + field(6, node)))
    return field(7, node)


def _property(text: bytes) -> bytes:
    def change(model: Any) -> None:
        del model.metadata_props[:]
        model.metadata_props.add(key="pybackprop", value=text.decode("latin-1"))

    return _changed(change)


def _wide_orthogonal() -> bytes:
    text = {"settings": {"widths": [1500, 1500], "activation": [], "output": "identity"}}
    text["settings"]["init"] = "orthogonal"
    model = _layers(1, 1500)
    return model + field(14, field(1, b"pybackprop") + field(2, json.dumps(text).encode()))


def _attribute(**attributes: Any) -> bytes:
    from onnx import helper

    def change(model: Any) -> None:
        model.graph.node[-1].attribute.extend(
            helper.make_attribute(name, value) for name, value in attributes.items()
        )

    return _changed(change)


def _typed(kind: int, bits: int, missing: int = 0) -> bytes:
    """All tensors of a type whose values take so many bits, less some bytes."""

    def change(model: Any) -> None:
        for tensor in model.graph.initializer:
            tensor.data_type = kind
            tensor.raw_data = bytes(-(-math.prod(tensor.dims) * bits // 8) - missing)

    return _changed(change)


ONNX: dict[str, Attack] = {
    "data in another file": lambda: _external("/etc/hostname"),
    "data above the folder": lambda: _external("../../../../etc/hostname"),
    "data without end": lambda: _external("/dev/zero"),
    "negative dimensions": lambda: _shape(-1, -1),
    "one negative dimension": lambda: _shape(-1, 2),
    "overflowing dimensions": lambda: _shape(4194305, 4194305, 211106198978564),
    "dimensions of 2^64": lambda: _shape(2**32, 2**32),
    "dimensions of nothing": lambda: _shape(0, 2**62),
    "many dimensions": lambda: _shape(*[1] * 100),
    "dimensions beyond": lambda: _shape(2**31, 1),
    "layers of one weight": lambda: _layers(5000, 300),
    "layers without bound": lambda: _layers(12_000, 1),
    "a long chain": lambda: _chain(9_000),
    "a chain of activations": lambda: _chain(9_000, "Tanh"),
    "five million empty nodes": lambda: field(7, b"\x0a\x00" * 5_000_000),
    "five million empty tensors": lambda: field(7, b"\x2a\x00" * 5_000_000),
    "five million properties": lambda: b"\x72\x00" * 5_000_000,
    "empty attributes just within": lambda: field(7, field(1, b"\x2a\x00" * 149_000)),
    "empty nodes just within": lambda: field(7, b"\x0a\x00" * 149_000),
    "five million strings": lambda: field(7, field(1, b"\x0a\x00" * 5_000_000)),
    "five million dimensions": lambda: field(7, field(5, b"\x08\x01" * 5_000_000)),
    "subgraphs": lambda: _subgraphs(3),
    "nested subgraphs": lambda: _subgraphs(2000),
    "groups": lambda: b"\x0b" * 1_000_000,
    "numbers without end": lambda: b"\xff" * 1_000_000,
    "a field beyond the end": lambda: b"\x3a\xff\xff\xff\xff\x07",
    "a fixed field beyond the end": lambda: valid("onnx") + b"\x09\x00",
    "texts as weights": lambda: _typed(8, 32),
    "complex weights": lambda: _typed(14, 64),
    "weights of four bits": lambda: _typed(22, 4),
    "weights of no type": lambda: _typed(0, 32),
    "weights of unknown type": lambda: _typed(99, 32),
    "too few bytes": lambda: _typed(1, 32, missing=1),
    "unknown attribute": lambda: _attribute(surprise=1),
    "attribute of texts": lambda: _attribute(alpha="a" * 1_000_000),
    "attribute of numbers": lambda: _attribute(alpha=[1.0] * 1_000_000),
    "no number as alpha": lambda: _attribute(alpha=float("nan")),
    "slow initial weights": _wide_orthogonal,
    "no graph": lambda: b"",
    "names without end": lambda: _changed(
        lambda model: model.graph.node[0].__setattr__("name", "a" * 1_000_000)
    ),
}


def _register() -> None:
    for name, change in GZIP.items():
        ATTACKS["csv.gz"][name] = lambda change=change: change(valid("csv"))
        ATTACKS["idx.gz"][name] = lambda change=change: change(IMAGES)
    ATTACKS["csv"].update(CSV)
    ATTACKS["encoding"].update({**CSV, **ENCODING})
    ATTACKS["csv.gz"].update(CSV_GZ)
    ATTACKS["idx"].update(IDX)
    ATTACKS["idx.gz"].update({name: lambda make=make: member(make()) for name, make in IDX.items()})
    ATTACKS["idx.gz"].update(IDX_GZ)
    ATTACKS["data.npz"].update(DATA_NPZ)
    ATTACKS["npy"].update(NPY)
    for name, make in ARRAYS.items():
        ATTACKS["npy"][name] = make
        ATTACKS["data.npz"][f"array: {name}"] = lambda make=make: packed(
            {"x.npy": make(), "y.npy": npy(Y4)}
        )
        ATTACKS["data.npz"][f"targets: {name}"] = lambda make=make: packed(
            {"x.npy": npy(np.zeros((1, 2))), "y.npy": make()}
        )
    ATTACKS["onnx"].update(ONNX)
    for name, make in JSON.items():
        ATTACKS["onnx"][f"JSON: {name}"] = lambda make=make: _property(make())


_register()
