"""What an ONNX file is made of, counted before it is parsed.

Two bytes of a protobuf message can become an object of some hundred bytes, so that a file of 10 MB
takes gigabytes. The scan follows the fields that hold messages (onnx.proto) and copies nothing; see
https://protobuf.dev/programming-guides/encoding for the encoding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MAX_FIELDS = 150_000
_MAX_DEPTH = 16
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_DATA_LOCATION = 14

# Fields by number: a dict for a message that is followed, a text for what is refused.
_Schema = Mapping[int, Any]
_PAIR: _Schema = {}
_DIMENSION: _Schema = {}
_SHAPE: _Schema = {1: _DIMENSION}
_TENSOR_TYPE: _Schema = {2: _SHAPE}
_TYPE: _Schema = {
    1: _TENSOR_TYPE,
    4: "sequences",
    5: "maps",
    7: "opaque types",
    8: "sparse tensors",
    9: "optionals",
}
_VALUE: _Schema = {2: _TYPE, 4: _PAIR}
_TENSOR: _Schema = {3: _PAIR, 13: "data outside of the file", 16: _PAIR}
_ATTRIBUTE: _Schema = {
    5: _TENSOR,
    6: "subgraphs",
    10: _TENSOR,
    11: "subgraphs",
    14: "types",
    15: "types",
    22: "sparse tensors",
    23: "sparse tensors",
}
_NODE: _Schema = {5: _ATTRIBUTE, 9: _PAIR, 10: "device configurations"}
_GRAPH: _Schema = {
    1: _NODE,
    5: _TENSOR,
    11: _VALUE,
    12: _VALUE,
    13: _VALUE,
    14: "quantization",
    15: "sparse tensors",
    16: _PAIR,
}
_FUNCTION: _Schema = {7: _NODE, 9: _PAIR, 11: _ATTRIBUTE, 12: _VALUE, 14: _PAIR}
_MODEL: _Schema = {
    7: _GRAPH,
    8: _PAIR,
    14: _PAIR,
    20: "training information",
    25: _FUNCTION,
    26: "device configurations",
}


def check_wire(data: bytes) -> None:
    """Refuse a model that is no sequence of fields, has too many, or has what no network has."""
    _Scan(data).follow(0, len(data), _MODEL, 0)


class _Scan:
    """Goes through the fields of a message."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._fields = 0

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """Return a number and where it ends."""
        number = shift = 0
        while at < end and shift < 70:
            byte = self._data[at]
            at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number, at
            shift += 7
        raise ValueError("it is damaged: a number does not end")

    def follow(self, at: int, end: int, schema: _Schema, depth: int) -> None:
        """Count the fields of the message from `at` to `end`."""
        if depth > _MAX_DEPTH:
            raise ValueError("its messages are nested too deeply")
        while at < end:
            self._fields += 1
            if self._fields > _MAX_FIELDS:
                raise ValueError(f"it has more than {_MAX_FIELDS} fields")
            key, at = self._varint(at, end)
            number, kind = key >> 3, key & 7
            if kind == _VARINT:
                value, at = self._varint(at, end)
                if value and schema is _TENSOR and number == _DATA_LOCATION:
                    raise ValueError("it has data outside of the file, which are not loaded")
            elif kind == _LENGTH:
                length, at = self._varint(at, end)
                inner = schema.get(number)
                if isinstance(inner, str):
                    raise ValueError(f"it has {inner}, which no network has")
                if length > end - at:
                    raise ValueError("it is damaged: a field goes beyond its end")
                if inner is not None:
                    self.follow(at, at + length, inner, depth + 1)
                at += length
            elif kind in (_FIXED32, _FIXED64):
                at += 4 if kind == _FIXED32 else 8
            else:
                raise ValueError("it is damaged: a field of unknown kind")
        if at > end:
            raise ValueError("it is damaged: a field goes beyond its end")
