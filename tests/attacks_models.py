"""Model files made to do harm: crafted headers, bombs, pickles, and settings beyond reason.

Each attack is a function that returns the bytes of a file. They are made when they are asked for,
as some are large.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from loaders import npy, valid

Attack = Callable[[], bytes]
ATTACKS: dict[str, dict[str, Attack]] = {
    "npz": {},
    "checkpoint": {},
    "safetensors": {},
    "networks.npz": {},
}


def attack(kind: str, name: str) -> Callable[[Attack], Attack]:
    def keep(make: Attack) -> Attack:
        ATTACKS[kind][name] = make
        return make

    return keep


# ---- zip archives, put together by hand ----


def entry(
    name: bytes,
    stored: bytes,
    size: int | None = None,
    method: int = 0,
    crc: int = 0,
    flags: int = 0,
    offset: int = 0,
    extra: bytes = b"",
    stored_size: int | None = None,
) -> tuple[bytes, bytes]:
    """The local part and the directory part of an entry that may lie."""
    size = len(stored) if size is None else size
    packed = len(stored) if stored_size is None else stored_size
    common = struct.pack("<HHHHHIIIHH", 20, flags, method, 0, 33, crc, packed, size, len(name), 0)
    local = b"PK\x03\x04" + common + name + stored
    common = common[:-2] + struct.pack("<H", len(extra))
    where = struct.pack("<HHHII", 0, 0, 0, 0, offset)
    return local, b"PK\x01\x02" + struct.pack("<H", 20) + common + where + name + extra


def archive(entries: list[dict[str, Any]], directory: bytes = b"") -> bytes:
    """An archive of entries, each the arguments of `entry`; offsets are right unless given."""
    local, listed = b"", b""
    for each in entries:
        begin, listing = entry(**{"offset": len(local), **each})
        local += begin
        listed += listing
    listed += directory
    return local + listed + end(min(len(entries), 65535), len(listed), len(local))


def end(count: int, size: int, offset: int) -> bytes:
    """The end of an archive: how many entries, and where their directory is."""
    return b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, size, offset, 0)


def members(kind: str = "npz") -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(valid(kind))) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def as_entries(found: dict[str, bytes]) -> list[dict[str, Any]]:
    return [
        {"name": name.encode(), "stored": data, "crc": zlib.crc32(data)}
        for name, data in found.items()
    ]


def packed(found: dict[str, bytes]) -> bytes:
    return archive(as_entries(found))


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def zeros(megabytes: int) -> tuple[bytes, int]:
    """The deflate stream of so many megabytes of zeros, with their checksum."""
    data = bytes(megabytes << 20)
    return deflated(data), zlib.crc32(data)


def with_member(name: str, kind: str = "npz", **changes: Any) -> bytes:
    """The valid file with one entry changed."""
    entries = as_entries(members(kind))
    for each in entries:
        if each["name"] == name.encode():
            each.update(changes)
    return archive(entries)


def with_header(change: Callable[[dict[str, Any]], Any] | bytes, kind: str = "npz") -> bytes:
    """The valid file with its JSON header changed, or replaced by bytes."""
    found = members(kind)
    if isinstance(change, bytes):
        text = change
    else:
        header = json.loads(np.load(io.BytesIO(found["header.npy"])).tobytes())
        change(header)
        text = json.dumps(header).encode()
    found["header.npy"] = npy(np.frombuffer(text, np.uint8))
    return packed(found)


def settings(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda header: header["settings"].update(changes)


class Touch:
    """What is called if the pickle of this object is ever loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("executed", "w"))


def npy_text(text: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text.encode("latin-1") + data


def shaped(shape: str, descr: str = "'<f4'", data: bytes = b"") -> bytes:
    return npy_text(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n", data)


# Arrays in the place of the parameters, or of the inputs of a data set.
ARRAYS: dict[str, Attack] = {
    "pickle": lambda: npy(np.array([Touch()], object)),
    "pickle behind an object header": lambda: shaped("(1,)", "'|O'", pickle.dumps(Touch())),
    "pickle alone": lambda: pickle.dumps(Touch()),
    "pickle in a structure": lambda: shaped("(1,)", "[('a', '|O')]", pickle.dumps(Touch())),
    "code in the header": lambda: npy_text("__import__('os').system('touch executed')"),
    "code as dtype": lambda: shaped("(1,)", "__import__('os').system('touch executed')"),
    "overflowing shape": lambda: shaped("(4194305, 4194305, 211106198978564)", data=bytes(16)),
    "shape of 2^64": lambda: shaped("(4294967296, 4294967296)"),
    "shape of many digits": lambda: shaped("(" + "9" * 5000 + ",)"),
    "negative shape": lambda: shaped("(-3,)", data=bytes(12)),
    "shape of nothing": lambda: shaped("(0, 1000000000000000000)"),
    "shape of floats": lambda: shaped("(3.0,)", data=bytes(12)),
    "shape of one number": lambda: shaped("(3)", data=bytes(12)),
    "shape of many dimensions": lambda: shaped("(" + "1, " * 1000 + ")", data=bytes(4)),
    "shape that is a list": lambda: shaped("[3]", data=bytes(12)),
    "empty texts": lambda: shaped("(1000000000000,)", "'<U0'"),
    "long texts": lambda: shaped("(1,)", "'<U999999999'"),
    "unknown dtype": lambda: shaped("(3,)", "'<f3'", bytes(9)),
    "dtype of commas": lambda: shaped("(3,)", "'f4,f4,O'", bytes(12)),
    "nested header": lambda: npy_text("(" * 9000 + ")" * 9000),
    "header of signs": lambda: npy_text("-" * 9000 + "1"),
    "header of 4 GB": lambda: b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
    "header of 10 MB": lambda: npy_text("{" + " " * 10_000_000, version=(2, 0)),
    "version 3": lambda: npy_text("{}", version=(3, 0)),
    "version 255": lambda: npy_text("{}", version=(255, 255)),
    "no header": lambda: npy_text(""),
    "no bytes": lambda: b"",
    "another format": lambda: b"\x89PNG\r\n\x1a\n" + bytes(100),
    "too much data": lambda: npy(np.zeros(3, np.float32)) + bytes(10**6),
}


def _bomb(claimed: int | None) -> bytes:
    """100 MB of zeros for a network of that size, in 100 kB; the size claimed may be a lie."""
    begin = shaped("(25005000,)")
    length = len(begin) + 4 * 25_005_000
    data = begin + bytes(length - len(begin))
    header = with_header(settings(widths=[5000, 5000]))
    with zipfile.ZipFile(io.BytesIO(header)) as opened:
        found = {name: opened.read(name) for name in opened.namelist()}
    entries = as_entries(found)
    for each in entries:
        if each["name"] == b"parameters.npy":
            size = length if claimed is None else claimed
            each.update(stored=deflated(data), size=size, method=8, crc=zlib.crc32(data))
    return archive(entries)


def _methods() -> None:
    for method in (1, 6, 9, 12, 14, 93, 95, 98, 99, 65535):
        ATTACKS["npz"][f"compression method {method}"] = lambda method=method: with_member(
            "parameters.npy", method=method
        )


def _many_entries(count: int) -> bytes:
    names = b"".join(entry(b"%07d.npy" % number, b"")[1] for number in range(count))
    return archive(as_entries(members()), names)


def _shared_data() -> bytes:
    """Two entries of one place: 46 bytes of directory for any number of bytes unpacked."""
    data = npy(np.zeros(3, np.float32))
    entries = as_entries({**members(), "optimizer.exp_avg.npy": data})
    entries[-1]["offset"] = 0
    return archive(entries)


NPZ: dict[str, Attack] = {
    "zip bomb": lambda: _bomb(None),
    "zip bomb that claims little": lambda: _bomb(200),
    "zip bomb in the header": lambda: with_member(
        "header.npy", stored=zeros(100)[0], size=100 << 20, method=8
    ),
    "zip bomb in the header that claims little": lambda: with_member(
        "header.npy", stored=zeros(100)[0], size=2000, method=8
    ),
    "bzip2 bomb": lambda: _bz2_bomb(),
    "a million entries": lambda: archive([], entry(b"a", b"")[1] * 1_000_000),
    "twenty thousand entries": lambda: _many_entries(18_000),
    "entry twice": lambda: archive(2 * as_entries(members())),
    "entry twice by a zero byte": lambda: archive(
        [*as_entries(members()), {"name": b"header.npy\0x", "stored": b""}]
    ),
    "shared data": _shared_data,
    "encrypted": lambda: with_member("parameters.npy", flags=1),
    "patched data": lambda: with_member("parameters.npy", flags=32),
    "strongly encrypted": lambda: with_member("parameters.npy", flags=65),
    "offset beyond the end": lambda: with_member("parameters.npy", offset=2**31),
    "offset of 2^64": lambda: with_member(
        "parameters.npy", offset=2**32 - 1, extra=struct.pack("<HHQ", 1, 8, 2**64 - 1)
    ),
    "size of 2^64": lambda: with_member(
        "parameters.npy",
        size=2**32 - 1,
        stored_size=2**32 - 1,
        extra=struct.pack("<HHQQ", 1, 16, 2**64 - 1, 2**64 - 1),
    ),
    "size beyond the end": lambda: with_member("parameters.npy", size=2**31, stored_size=2**31 - 1),
    "size beyond what is stored": lambda: with_member("parameters.npy", size=10**6),
    "torn extra field": lambda: with_member("parameters.npy", extra=b"\x01\x00\xff\xff"),
    "empty archive": lambda: archive([]),
    "directory of 4 GB": lambda: (
        b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 2**32 - 2, 0, 0)
    ),
    "directory before the file": lambda: (
        b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 0, 2**32 - 2, 0)
    ),
    "no state but names": lambda: with_header(
        lambda header: header.update(optimizer={"state": ["parameters"] * 60_000}), "npz-optimizer"
    ),
    "state of one vector 60,000 times": lambda: with_header(
        lambda header: header["optimizer"].update(state=["exp_avg"] * 60_000), "npz-optimizer"
    ),
    "state as text": lambda: with_header(
        lambda header: header["optimizer"].update(state="exp_avg"), "npz-optimizer"
    ),
    "state as lists": lambda: with_header(
        lambda header: header["optimizer"].update(state=[["exp_avg"]]), "npz-optimizer"
    ),
    "a schedule without bound": lambda: with_header(
        lambda header: header["optimizer"]["settings"].update(lr={"name": "step", "lr": 10**19}),
        "npz-optimizer",
    ),
}


def _bz2_bomb() -> bytes:
    import bz2

    return with_member("parameters.npy", stored=bz2.compress(bytes(100 << 20)), size=140, method=12)


# What may stand in the place of a header's JSON.
JSON: dict[str, Attack] = {
    "nested lists": lambda: b"[" * 100_000,
    "nested lists that end": lambda: b"[" * 900 + b"]" * 900,
    "nested objects": lambda: b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "empty lists": lambda: b"[" + b"[]," * 1_300_000 + b"0]",
    "empty objects": lambda: b"[" + b"{}," * 80_000 + b"0]",
    "small objects": lambda: b"[" + b'{"a":0},' * 60_000 + b"0]",
    "keys": lambda: json.dumps({str(number): 0 for number in range(100_000)}).encode(),
    "keys just within": lambda: json.dumps(
        {f"{number:x}": "é" for number in range(319_000)}
    ).encode(),
    "small objects just within": lambda: b"[" + b'{"a":0},' * 213_000 + b"0]",
    "one wide character just within": lambda: b'"\\ud83d\\ude00' + b"a" * 9_400_000 + b'"',
    "keys that occur twice": lambda: b"{" + b'"a":0,' * 50_000 + b'"a":0}',
    "integer of a million digits": lambda: b"1" * 1_000_000,
    "integer of 4000 digits": lambda: b"1" * 4000,
    "float beyond the largest": lambda: b"1e999999999",
    "infinity": lambda: b'{"a": Infinity}',
    "infinity below": lambda: b"-Infinity",
    "not a number": lambda: b"[NaN]",
    "lone surrogate": lambda: b'"\\ud800"',
    "endless text": lambda: b'"' + b"\\" * 4_000_000,
    "text beyond the limit": lambda: b'"' + b"a" * (9 << 20) + b'"',
    "wide characters": lambda: ('"' + "\U0001f600" * 1_100_000 + '"').encode(),
    "no UTF-8": lambda: b'"\xff\xfe"',
    "UTF-16": lambda: '{"a": 1}'.encode("utf-16"),
    "byte order mark": lambda: b"\xef\xbb\xbf{}",
    "zero bytes": lambda: bytes(100_000),
    "nothing": lambda: b"",
    "null": lambda: b"null",
}

WIDTHS: dict[str, Any] = {
    "a million layers": [1] * 200_000,
    "just too many layers": [1] * 10_002,
    "width of 2^31": [2, 2**31],
    "width of 2^63": [2, 2**63 - 1],
    "widths whose product is 2^64": [2**31 - 1, 2**31 - 1, 2**31 - 1],
    "no widths": [],
    "one width": [2],
    "width of zero": [2, 0],
    "negative width": [2, -1],
    "width of a float": [2.0, 1],
    "width of a truth value": [2, True],
    "width of a text": [2, "1"],
    "width of a list": [2, [1]],
    "width of null": [2, None],
    "widths as an object": {"2": 1},
    "widths as a number": 3,
}
SETTINGS: dict[str, Any] = {
    "no number as dropout": {"dropout": "NaN"},
    "dropout below zero": {"dropout": -0.5},
    "dropout for other layers": {"dropout": [0.5] * 100_000},
    "l2 beyond": {"l2": -1e308},
    "l1 as a list": {"l1": [[]]},
    "seed beyond": {"seed": 2**64},
    "seed below": {"seed": -1},
    "unknown precision": {"precision": "float7"},
    "precision as a list": {"precision": []},
    "long activation": {"output": "a" * 1_000_000},
    "activations for other layers": {"activation": ["relu"] * 100_000},
    "init that is none": {"init": {}},
    "dtype that is none": {"dtype": {"names": ["a"], "formats": ["O"]}},
    "dtype of objects": {"dtype": "O"},
    "loss that is none": {"loss": None},
    "a setting too many": {"__class__": 1},
}
HEADERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    **{name: settings(widths=widths) for name, widths in WIDTHS.items()},
    **{name: settings(**changes) for name, changes in SETTINGS.items()},
    "no settings": lambda header: header.update(settings={}),
    "settings as a list": lambda header: header.update(settings=[1] * 1000),
    "steps of 2^63": lambda header: header.update(steps=2**63),
    "steps of a float": lambda header: header.update(steps=1.5),
    "optimizer as a list": lambda header: header.update(optimizer=[1]),
    "optimizer of nothing": lambda header: header.update(optimizer={}),
    "long version": lambda header: header.update(format_version="1" * 1_000_000),
    "metadata as a list": lambda header: header.update(metadata=[[]]),
    "deep metadata": lambda header: header.update(metadata={"a": json.loads("[" * 90 + "]" * 90)}),
    "training as a list": lambda header: header.update(training=[1]),
    "training of nothing": lambda header: header.update(training={}),
}
POSITIONS: dict[str, dict[str, Any]] = {
    "epochs beyond": {"epochs": 2**63 - 1},
    "negative epochs": {"epochs": -1},
    "batch beyond": {"batch": 2**63 - 1},
    "a batch too many": {"batch": 3},
    "best epoch beyond": {"best_epoch": 10**18},
    "version beyond": {"version": 10**18},
    "run of nothing": {"run": {}},
    "run as a list": {"run": []},
    "run of long texts": {"run": {"data": "a" * 1_000_000}},
    "more as a list": {"more": [1]},
    "more of texts": {"more": {"a": "b"}},
    "vectors as a text": {"vectors": "best"},
    "vectors that are none": {"vectors": ["parameters"]},
    "vectors as numbers": {"vectors": [1]},
    "vectors as lists": {"vectors": [[]]},
    "vectors as an object": {"vectors": {"best": 1}},
    "figures twice": {"figures": ["cost", "cost"]},
    "figures of nothing": {"figures": []},
    "figures as null": {"figures": None},
}


def member(at: int, **changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda header: header["members"][at].update(changes)


NETWORKS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "one network": lambda header: header.update(format="pybackprop model"),
    "version of another time": lambda header: header.update(format_version=2),
    "settings as a list": lambda header: header.update(settings=[]),
    "no members": lambda header: header.update(members=[]),
    "members as an object": lambda header: header.update(members={"a": 1}),
    "members as numbers": lambda header: header.update(members=[1, 2]),
    "a member too many": lambda header: header["members"].append(header["members"][0]),
    "a million members": lambda header: header.update(members=[{}] * 1_000_000),
    "members just within": lambda header: header.update(
        members=[{"steps": 0, "epochs": 0}] * 90_000
    ),
    "widths of a member": member(0, widths=[2, 1]),
    "seed of a member beyond": member(1, seed=2**64),
    "metadata of a member as a list": member(0, metadata=[]),
    "steps of a member missing": lambda header: header["members"][0].pop("steps"),
    "steps of a member beyond": member(0, steps=2**63),
    "scaling as a number": lambda header: header.update(scaling=1),
    "scaling of no member": lambda header: header.update(scaling=[2]),
    "scaling twice": lambda header: header.update(scaling=[1, 1]),
    "scaling of a truth value": lambda header: header.update(scaling=[True]),
    "scaling of more": lambda header: header.update(scaling=[0, 1]),
}


def _safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    if not isinstance(header, bytes):
        header = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def _parts() -> tuple[dict[str, Any], bytes]:
    whole = valid("safetensors")
    length = int.from_bytes(whole[:8], "little")
    return json.loads(whole[8 : 8 + length]), whole[8 + length :]


def _tensors(change: Callable[[dict[str, Any]], Any], more: bytes = b"") -> bytes:
    header, data = _parts()
    change(header)
    return _safetensors(header, data + more)


def _own_header(change: Callable[[dict[str, Any]], Any] | bytes) -> bytes:
    """The valid file with its description of a network changed."""

    def rewrite(header: dict[str, Any]) -> None:
        metadata = header["__metadata__"]
        if isinstance(change, bytes):
            metadata["pybackprop"] = change.decode("latin-1")
            return
        own = json.loads(metadata["pybackprop"])
        change(own)
        metadata["pybackprop"] = json.dumps(own)

    return _tensors(rewrite)


def _put(name: str, **changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda header: header[name].update(changes)


def _moved(last: str | None, by: int) -> bytes:
    """The last tensor, or all of them, moved; the file is as long as its tensors say."""
    header, data = _parts()
    tensors = {name: each for name, each in header.items() if name != "__metadata__"}
    assert last is None or tensors[last]["data_offsets"][1] == len(data), "it is not the last"
    for name in tensors if last is None else [last]:
        tensors[name]["data_offsets"] = [at + by for at in tensors[name]["data_offsets"]]
    return _safetensors(header, (data + bytes(8))[: len(data) + by])


def _add_tensor(size: int) -> Callable[[dict[str, Any]], Any]:
    """A tensor after the others, of more bytes than there are."""

    def change(header: dict[str, Any]) -> None:
        end = max(each["data_offsets"][1] for each in header.values() if "data_offsets" in each)
        header["more"] = {"dtype": "U8", "shape": [size], "data_offsets": [end, end + size]}

    return change


def _renamed(name: str) -> bytes:
    """The tensor is there, under a name that nobody asks for."""
    return _tensors(lambda header: header.update({name + ".": header.pop(name)}))


def _many_tensors(count: int) -> bytes:
    empty = b'{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    return _safetensors(
        b"{" + b",".join(b'"%d":%s' % (number, empty) for number in range(count)) + b"}"
    )


W, B, SHIFT = "layers.0.weight", "layers.0.bias", "scaling.shift"
SAFETENSORS: dict[str, Attack] = {
    "header of 2^64": lambda: _safetensors({}, length=2**64 - 1),
    "header of 2^63": lambda: _safetensors({}, length=2**63),
    "header of 100 MB": lambda: _safetensors({}, b" " * 1000, length=100_000_000),
    "header beyond the end": lambda: _safetensors({}, length=3),
    "seven bytes": lambda: bytes(7),
    "eight bytes": lambda: bytes(8),
    "a million tensors": lambda: _many_tensors(400_000),
    "sixty thousand tensors": lambda: _many_tensors(60_000),
    "overflowing shape": lambda: _tensors(_put(W, shape=[4194305, 4194305, 211106198978564])),
    "shape of 2^64": lambda: _tensors(_put(W, shape=[2**32, 2**32])),
    "long shape": lambda: _tensors(_put(W, shape=[2**62] * 100_000)),
    "negative shape": lambda: _tensors(_put(W, shape=[-1, -2])),
    "shape of floats": lambda: _tensors(_put(W, shape=[1.0, 2.0])),
    "shape of truth values": lambda: _tensors(_put(W, shape=[True, 2])),
    "shape as text": lambda: _tensors(_put(W, shape="12")),
    "reversed offsets": lambda: _tensors(_put(W, data_offsets=[12, 4])),
    "negative offsets": lambda: _tensors(_put(W, data_offsets=[-8, 0])),
    "overlapping offsets": lambda: _moved(W, -4),
    "offsets of another tensor": lambda: _tensors(_put(SHIFT, data_offsets=[0, 16])),
    "offsets that leave a hole": lambda: _moved(W, 4),
    "offsets that leave a hole at the beginning": lambda: _moved(None, 4),
    "offsets beyond the end": lambda: _tensors(_add_tensor(2**40)),
    "offsets of 2^63": lambda: _tensors(_put(W, data_offsets=[2**63 - 8, 2**63])),
    "three offsets": lambda: _tensors(_put(W, data_offsets=[4, 12, 12])),
    "no offsets": lambda: _tensors(lambda header: header[W].pop("data_offsets")),
    "trailing bytes": lambda: _tensors(lambda header: None, b"more"),
    "missing bytes": lambda: _tensors(lambda header: None)[:-1],
    "unknown dtype": lambda: _tensors(_put(W, dtype="F128")),
    "dtype as a list": lambda: _tensors(_put(W, dtype=["F32"])),
    "other dtype": lambda: _tensors(_put(W, dtype="I32")),
    "tensor as null": lambda: _tensors(lambda header: header.update({W: None})),
    "missing tensor": lambda: _renamed(B),
    "all metadata as a list": lambda: _tensors(lambda header: header.update(__metadata__=[])),
    "metadata of numbers": lambda: _tensors(lambda header: header.update(__metadata__={"a": 1})),
    "own metadata as a number": lambda: _tensors(
        lambda header: header["__metadata__"].update(pybackprop=1)
    ),
    "tensor twice": lambda: _safetensors(
        json.dumps(_parts()[0]).encode()[:-1] + b', "layers.0.bias": {}}', _parts()[1]
    ),
}


def _register() -> None:
    npz = ATTACKS["npz"]
    npz.update(NPZ)
    _methods()
    for name, make in ARRAYS.items():
        npz[f"parameters: {name}"] = lambda make=make: packed(
            {**members(), "parameters.npy": make()}
        )
        npz[f"header: {name}"] = lambda make=make: packed({**members(), "header.npy": make()})
    for name, make in JSON.items():
        npz[f"JSON: {name}"] = lambda make=make: with_header(make())
        ATTACKS["safetensors"][f"JSON: {name}"] = lambda make=make: _safetensors(make())
        ATTACKS["safetensors"][f"own JSON: {name}"] = lambda make=make: _own_header(make())
    for name, change in HEADERS.items():
        npz[name] = lambda change=change: with_header(change)
        assert name not in SAFETENSORS
        ATTACKS["safetensors"][name] = lambda change=change: _own_header(change)
    ATTACKS["safetensors"].update(SAFETENSORS)
    for name, change in NETWORKS.items():
        ATTACKS["networks.npz"][name] = lambda change=change: with_header(change, "networks.npz")
    for name, changes in POSITIONS.items():
        ATTACKS["checkpoint"][name] = lambda changes=changes: with_header(
            lambda header: header["training"].update(changes), "checkpoint"
        )


_register()
