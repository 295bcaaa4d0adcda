"""Why each of the attacks must be refused: a regular expression that the message must match.

An attack that is refused for another reason than the one it was made for would show nothing.
"""

from __future__ import annotations

from attacks_models import ARRAYS as ARRAY_ATTACKS
from attacks_models import JSON as JSON_ATTACKS

# Names of attacks by the reason, SOUND where a file is valid, though no one would want it, or harms
# only what `load_model` does not insist on.
Reasons = dict[str, list[str]]
SOUND = ""

JSON: Reasons = {
    r"its JSON is nested too deeply": ["nested lists", "nested lists that end", "nested objects"],
    r"it has more than \d+ values in JSON": ["empty lists"],
    r"it was not saved by pybackprop": [
        "empty objects",
        "small objects",
        "keys",
        "keys just within",
        "small objects just within",
        "one wide character just within",
        "lone surrogate",
        "null",
    ],
    r"'a' occurs twice in its JSON": ["keys that occur twice"],
    r"it has an integer of \d+ digits": ["integer of a million digits", "integer of 4000 digits"],
    r"1e999999999 is not a finite number": ["float beyond the largest"],
    r"(?<!-)Infinity is not a finite number": ["infinity"],
    r"-Infinity is not a finite number": ["infinity below"],
    r"NaN is not a finite number": ["not a number"],
    r"Unterminated string": ["endless text"],
    r"characters of JSON, more than 9437184": ["text beyond the limit"],
    r"more than 1048576 characters of JSON beyond ASCII": ["wide characters"],
    r"'utf-8' codec can't decode": ["no UTF-8", "UTF-16"],
    r"Unexpected UTF-8 BOM": ["byte order mark"],
    r"Expecting value": ["zero bytes", "nothing"],
}

ARRAYS: Reasons = {
    r"holds Python objects, which are not loaded": ["pickle", "pickle behind an object header"],
    r"does not begin as an array of NumPy": ["pickle alone", "another format"],
    r"its header is not that of a plain array": [
        "pickle in a structure",
        "code in the header",
        "code as dtype",
        "shape of many digits",
        "negative shape",
        "shape of floats",
        "shape of one number",
        "shape that is a list",
        "dtype of commas",
        "header of signs",
        "no header",
    ],
    r"the header says .* bytes, but \d+ follow": [
        "overflowing shape",
        "shape of 2^64",
        "too much data",
    ],
    r"must hold examples, but is of shape": ["shape of nothing"],
    r"is of \d+ dimensions and \d+ bytes an entry": ["shape of many dimensions", "empty texts"],
    r"its dtype '.*' is unknown": ["long texts", "unknown dtype"],
    r"has a header of \d+ bytes": ["nested header", "header of 4 GB", "header of 10 MB"],
    r"format version \(\d+, \d+\) is not supported": ["version 3", "version 255"],
    r"ends within its header": ["no bytes"],
}

REASONS: dict[str, Reasons] = {
    "npz": {
        r"unpacks to more than 8388608 bytes and 100 times": ["zip bomb"],
        r"Bad CRC-32": ["zip bomb that claims little", "zip bomb in the header that claims little"],
        r"(?:parameters|header) is longer than it should be": [
            "zip bomb in the header",
            "size beyond what is stored",
            "parameters: nested header",
            "parameters: header of 10 MB",
            "header: header of 10 MB",
            "parameters: too much data",
        ],
        r"is compressed by method \d+$": [
            "bzip2 bomb",
            "compression method 1",
            "compression method 6",
            "compression method 9",
            "compression method 12",
            "compression method 14",
            "compression method 93",
            "compression method 95",
            "compression method 98",
            "compression method 99",
            "compression method 65535",
        ],
        r"the directory of the archive is too long": ["a million entries"],
        r"the entry 'parameters.npy' lies outside": [
            "twenty thousand entries",
            "shared data",
            "offset beyond the end",
            "offset of 2^64",
            "size of 2^64",
            "size beyond the end",
        ],
        r"an entry occurs twice": ["entry twice", "entry twice by a zero byte"],
        r"parameters is encrypted": ["encrypted", "strongly encrypted"],
        r"compressed patched data": ["patched data"],
        r"Corrupt extra field": ["torn extra field"],
        r"the archive is empty": ["empty archive", "directory before the file"],
        r"Bad offset for central directory": ["directory of 4 GB"],
        r"the state of the optimizer is not a list of different names": [
            "no state but names",
            "state of one vector 60,000 times",
            "state as text",
            "state as lists",
        ],
        SOUND: ["a schedule without bound"],
        r"parameters must be float32 of shape \(\d+,\)": [
            "parameters: shape of nothing",
            "widths whose product is 2^64",
        ],
        r"the header is float32 of shape": ["header: shape of nothing"],
        r"widths must name at most 10000 layers": ["a million layers", "just too many layers"],
        r"widths must be in \[1, 2147483647\]": [
            "width of 2^31",
            "width of 2^63",
            "width of zero",
            "negative width",
        ],
        r"widths must name the inputs and the outputs at least": ["no widths", "one width"],
        r"widths must be an integer": [
            "width of a float",
            "width of a truth value",
            "width of a text",
            "width of a list",
            "width of null",
            "widths as an object",
        ],
        r"widths must be a sequence of integers": ["widths as a number"],
        r"(?:dropout|l1) must be a number": ["no number as dropout", "l1 as a list"],
        r"dropout must be in \[0, 1\)": ["dropout below zero"],
        r"dropout must be one rate or one per hidden layer": ["dropout for other layers"],
        r"l2 must be a finite number >= 0": ["l2 beyond"],
        r"seed must be in \[0, 18446744073709551615\]": ["seed beyond", "seed below"],
        r"precision .* is not available": ["unknown precision"],
        r"(?:init|loss|precision) must be a string": [
            "precision as a list",
            "init that is none",
            "loss that is none",
        ],
        r"output must be one of identity": ["long activation"],
        r"activation must be one name or one per hidden layer": ["activations for other layers"],
        r"dtype must be 'float32' or 'float64'": ["dtype that is none", "dtype of objects"],
        r"unexpected keyword argument '__class__'": ["a setting too many"],
        r"'(?:optimizer|seconds|cost|vectors|widths|state)' is missing": [
            "no settings",
            "optimizer of nothing",
            "training of nothing",
        ],
        r"(?:run|more|training|optimizer|settings|metadata) is not an object": [
            "settings as a list",
            "optimizer as a list",
            "metadata as a list",
            "training as a list",
        ],
        r"steps must be in \[0": ["steps of 2^63"],
        r"steps must be an integer": ["steps of a float"],
        r"it has format version '1+": ["long version"],
        r"its JSON is nested too deeply": ["deep metadata"],
    },
    "networks.npz": {
        r"it holds one network, which Network.load reads": ["one network"],
        r"it has format version 2": ["version of another time"],
        r"settings is not an object": ["settings as a list"],
        r"members is not a list": ["no members", "members as an object"],
        r"members\[0\] is not an object with init": ["members as numbers", "widths of a member"],
        r"parameters must be float32 of shape \(3, 3\)": ["a member too many"],
        r"it has more than \d+ values in JSON": ["a million members"],
        r"parameters must be float32 of shape \(90000, 3\)": ["members just within"],
        r"seed must be in": ["seed of a member beyond"],
        r"metadata must be a dict": ["metadata of a member as a list"],
        r"'steps' is missing": ["steps of a member missing"],
        r"steps must be in": ["steps of a member beyond"],
        r"scaling is not a list": ["scaling as a number"],
        r"scaling must be in \[0, 1\]": ["scaling of no member"],
        r"scaling must name members in ascending order": ["scaling twice"],
        r"scaling must be an integer": ["scaling of a truth value"],
        r"shift must be float64 of shape \(2, 2\)": ["scaling of more"],
    },
    "checkpoint": {
        r"training.cost must be float64 of shape": ["epochs beyond"],
        r"must be >= 0, got -?\d+$": ["negative epochs"],
        SOUND: [
            "batch beyond",
            "a batch too many",
            "best epoch beyond",
            "version beyond",
            "run of nothing",
            "run as a list",
            "run of long texts",
            "more as a list",
            "more of texts",
            "figures twice",
            "figures of nothing",
        ],
        r"the vectors of a checkpoint are": [
            "vectors as a text",
            "vectors that are none",
            "vectors as numbers",
            "vectors as lists",
            "vectors as an object",
        ],
        r"the figures of a checkpoint are": ["figures as null"],
    },
    "safetensors": {
        r"its header is not an object": [
            "JSON: empty objects",
            "JSON: small objects",
            "JSON: one wide character just within",
            "JSON: lone surrogate",
            "JSON: text beyond the limit",
            "JSON: null",
        ],
        r"is not described by dtype, shape and data_offsets": [
            "JSON: keys",
            "no offsets",
            "tensor as null",
        ],
        r"it has more than \d+ values in JSON": [
            "JSON: keys just within",
            "JSON: small objects just within",
            "sixty thousand tensors",
        ],
        r"it was not saved by pybackprop": ["own JSON: no UTF-8"],
        r"Expecting value": ["own JSON: UTF-16", "own JSON: byte order mark", "eight bytes"],
        r"layers.0.weight must be F32 of shape": ["widths whose product is 2^64", "other dtype"],
        SOUND: ["training as a list", "training of nothing"],
        r"do not begin with the length of a header": [
            "header of 2^64",
            "header of 2^63",
            "header of 100 MB",
            "header beyond the end",
            "seven bytes",
            "a million tensors",
        ],
        r"of shape .* and F32 has -?\d+ bytes": [
            "overflowing shape",
            "shape of 2^64",
            "reversed offsets",
        ],
        r"of unknown dtype, or its shape or offsets are no short lists": [
            "long shape",
            "shape as text",
            "three offsets",
            "unknown dtype",
            "dtype as a list",
        ],
        r"must be >= 0, got -?\d+$": ["negative shape", "negative offsets", "offsets of 2^63"],
        r"must be an integer, got (?:1.0|True)$": ["shape of floats", "shape of truth values"],
        r"overlap or leave a hole at \d+$": [
            "overlapping offsets",
            "offsets of another tensor",
            "offsets that leave a hole",
            "offsets that leave a hole at the beginning",
        ],
        r"its tensors end at \d+, but the file at \d+$": [
            "offsets beyond the end",
            "trailing bytes",
            "missing bytes",
        ],
        r"there is no tensor layers.0.bias": ["missing tensor"],
        r"its metadata are not an object": ["all metadata as a list"],
        r"it has no description of a network": ["metadata of numbers", "own metadata as a number"],
        r"'layers.0.bias' occurs twice in its JSON": ["tensor twice"],
    },
    "onnx": {
        r"it has data outside of the file": [
            "data in another file",
            "data above the folder",
            "data without end",
        ],
        r"Negative dimension value": ["negative dimensions", "one negative dimension"],
        r"Tensor dimension product overflow": ["overflowing dimensions", "dimensions of 2^64"],
        r"0-element but contains data": ["dimensions of nothing"],
        r"maximum supported dimension": ["many dimensions"],
        r"raw_data size \(\d+ bytes\) is too small": ["dimensions beyond", "too few bytes"],
        r"share so many weights that they outgrow the file": ["layers of one weight"],
        r"widths must name at most 10000 layers": ["layers without bound"],
        SOUND: [
            "a long chain",
            "no number as alpha",
            "slow initial weights",
            "names without end",
            "JSON: keys",
            "JSON: keys just within",
        ],
        r"node 'c1' \(Tanh\)": ["a chain of activations"],
        r"it has more than 150000 fields": [
            "five million empty nodes",
            "five million empty tensors",
            "five million properties",
            "five million strings",
            "five million dimensions",
            "attribute of numbers",
        ],
        r"ir_version": ["empty attributes just within", "empty nodes just within", "no graph"],
        r"it has subgraphs": ["subgraphs", "nested subgraphs"],
        r"a field of unknown kind": ["groups"],
        r"a number does not end": ["numbers without end"],
        r"a field goes beyond its end": ["a field beyond the end", "a fixed field beyond the end"],
        r"STRING data": ["texts as weights"],
        r"has weights of complex64": ["complex weights"],
        r"has weights of int4": ["weights of four bits"],
        r"UNDEFINED is not allowed": ["weights of no type"],
        r"'99' is missing": ["weights of unknown type"],
        r"Unrecognized attribute: surprise": ["unknown attribute"],
        r"Mismatched attribute type": ["attribute of texts"],
        r"its property pybackprop is malformed": [
            "JSON: empty objects",
            "JSON: small objects",
            "JSON: small objects just within",
            "JSON: one wide character just within",
            "JSON: lone surrogate",
            "JSON: no UTF-8",
            "JSON: null",
        ],
        r"Expecting value": ["JSON: UTF-16", "JSON: byte order mark"],
    },
    "csv": {
        r"a row of more than 4194304 bytes": ["a line without end", "columns without end"],
        r"more than 65536 columns": [
            "columns just beyond",
            "quotes over lines",
            "empty cells over lines",
        ],
        r"a line ends with CR alone": ["carriage returns"],
        r"the column occurs twice": ["columns just within, of one name"],
        r"no value here, the row has 2 of 65001": ["wide and torn"],
        r"field larger than field limit": ["quote without end", "quotes", "long cell"],
        r"',' expected after": ["quote within"],
        r"more than 100000 blank lines": [
            "blank lines",
            "blank lines after a row",
            "lines of blanks",
        ],
        r"it has a zero byte": ["zero bytes", "an archive"],
        r"no column is left to learn from": [
            "UTF-16",
            "huge number",
            "long name",
            "wide characters",
            "formula",
        ],
        r"all rows are of the one class": [
            "torn character",
            "surrogate",
            "long text in a numeric column",
            "wide names, then a fault",
        ],
        SOUND: ["no UTF-8", "number with groups", "tiny number", "long class"],
        r"'inf' is not a finite number": ["infinite target"],
        r"no value here, the row has 1 of": ["a fault at the end", "many categories"],
        r"the file is empty": ["nothing", "byte order mark alone"],
    },
    "csv.gz": {
        SOUND: ["long name", "empty members"],
        r"a table needs a column besides the target": ["members of a byte"],
        r"damaged gzip data: .* incorrect header check": ["garbage after it"],
        r"damaged gzip data: it ends within a member": [
            "a torn member after it",
            "another header after it",
            "magic alone",
            "endless empty blocks",
        ],
        r"damaged gzip data: .* incorrect data check": ["wrong checksum"],
        r"damaged gzip data: .* incorrect length check": ["wrong length"],
        r"damaged gzip data: .* unknown compression method": ["unknown method"],
        r"damaged gzip data: .* unknown header flags": ["reserved flags"],
        r"a row of more than 4194304 bytes": ["line of 50 MB", "50 MB of zeros"],
        r"unpacks to more than 256000000 bytes and 100 times": ["400 MB of lines", "wide lines"],
        r"no value here, the row has 1 of": ["lines in small members"],
        r"more than 100000 blank lines": ["50 MB of blank lines"],
        r"field larger than field limit": ["a quote over 50 MB"],
    },
    "encoding": {
        SOUND: [
            "no UTF-8",
            "UTF-16",
            "torn character",
            "surrogate",
            "huge number",
            "number with groups",
            "long text in a numeric column",
            "formula",
        ],
        r"the row has \d+ values, and this is the last": ["wide and torn", "wide characters"],
        r"the column is missing": ["wide names, then a fault", "long name", "many categories"],
        r"is none of the classes": ["infinite target", "long class"],
    },
    "data.npz": {
        r"unpacks to more than 256000000 bytes and 100 times": ["zip bomb"],
        r"Bad CRC-32": ["zip bomb that claims little"],
        r"the directory of the archive is too long": ["a million entries"],
        r"needs arrays x and y": ["long names", "names of wide characters"],
        r"an entry occurs twice": ["array twice"],
        r"has \d+ columns, more than 1048576": ["millions of columns", "millions of classes"],
        SOUND: ["millions of targets", "small integers", "surrogates", "long classes"],
        r"must hold examples, but is of shape": ["no columns", "no rows"],
        r"must hold real numbers, but is complex128": ["complex"],
        r"its header is not that of a plain array": ["dates"],
        r"holds texts of characters that do not exist": [
            "no characters",
            "no characters in two classes",
        ],
        r"is not finite$": ["not a number"],
        r"must hold numbers or texts for 1 examples": ["targets: shape of nothing"],
    },
    "npy": {
        r"has \d+ columns, more than 1048576": ["a million columns and more"],
        r"must hold examples, but is of shape": ["no columns", "a single number"],
    },
    "idx": {
        r"the header says \d+ bytes of data, the file has \d+$": [
            "overflowing dimensions",
            "dimensions of 2^64",
            "beyond the end",
            "within the end",
        ],
        r"the header says \d+ dimensions, more than 32": ["255 dimensions", "33 dimensions"],
        r"wrong magic number": ["no dimensions", "floats"],
        r"holds no values, its dimensions are": ["dimensions of nothing", "many rows of nothing"],
        r"the file ends within": ["more dimensions than bytes", "nothing"],
    },
    "idx.gz": {
        SOUND: ["images of a million columns and more"],
        r"wrong magic number": ["members of a byte"],
        r"the file goes on after the \d+ bytes": [
            "a torn member after it",
            "within the end",
            "100 MB after a small image",
        ],
        r"the header says \d+ bytes of data, the file cannot hold that": [
            "overflowing dimensions",
            "dimensions of 2^64",
            "beyond the end",
            "1 GB promised",
            "1 GB that are there",
        ],
    },
    "resume": {
        r"training.cost must be float64 of shape": ["epochs beyond"],
        r"must be >= 0, got -?\d+$": ["negative epochs"],
        r"\d+ batches of an epoch, but 4 steps in all": ["batch beyond"],
        r"there is no such batch": ["a batch too many"],
        r"best_epoch must be in": ["best epoch beyond"],
        r"version 1000000000000000000; this version reads 1": ["version beyond"],
        r"'(?:optimizer|seconds|cost|vectors|widths|state)' is missing": [
            "run of nothing",
            "run of long texts",
            "figures twice",
            "figures of nothing",
        ],
        r"(?:run|more|training|optimizer|settings|metadata) is not an object": [
            "run as a list",
            "more as a list",
        ],
        r"more must be an integer": ["more of texts"],
        r"the vectors of a checkpoint are": [
            "vectors as a text",
            "vectors that are none",
            "vectors as numbers",
            "vectors as lists",
            "vectors as an object",
        ],
        r"the figures of a checkpoint are": ["figures as null"],
    },
}


# Where an attack of a kind is not listed above, it is one of these.
_SHARED = {"encoding": ["csv"], "idx.gz": ["idx", "csv.gz"], "safetensors": ["npz"]}
_PARTS = {
    "JSON: ": (JSON, JSON_ATTACKS),
    "own JSON: ": (JSON, JSON_ATTACKS),
    "parameters: ": (ARRAYS, ARRAY_ATTACKS),
    "header: ": (ARRAYS, ARRAY_ATTACKS),
    "array: ": (ARRAYS, ARRAY_ATTACKS),
    "targets: ": (ARRAYS, ARRAY_ATTACKS),
}


def _find(reasons: Reasons, name: str) -> str | None:
    found = [reason for reason, names in reasons.items() if name in names]
    assert len(found) < 2, f"{name} has two reasons"
    return found[0] if found else None


def why(kind: str, name: str) -> str:
    """Return why an attack must be refused, or SOUND."""
    tables = [(REASONS.get(kind, {}), name)]
    tables += [(table, name[len(p) :]) for p, (table, _) in _PARTS.items() if name.startswith(p)]
    if kind == "npy":
        tables.append((ARRAYS, name))
    tables += [(REASONS[other], name) for other in _SHARED.get(kind, [])]
    for reasons, listed in tables:
        reason = _find(reasons, listed)
        if reason is not None:
            return reason
    raise KeyError(f"no reason is given for {kind}, {name}")


def superfluous(attacks: dict[str, dict[str, object]]) -> list[tuple[str, str]]:
    """Return what is listed and is no attack."""
    known = {**attacks, "resume": attacks["checkpoint"], "JSON": JSON_ATTACKS}
    listed = [*REASONS.items(), ("JSON", JSON), ("npy", ARRAYS)]
    names = [(kind, name) for kind, reasons in listed for each in reasons.values() for name in each]
    return [(kind, name) for kind, name in names if name not in known[kind]]
