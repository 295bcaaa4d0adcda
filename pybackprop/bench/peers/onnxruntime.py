"""Tasks of ONNX Runtime: a session on a model of Gemm and activation nodes."""

from __future__ import annotations

from typing import Any

from ..agreement import Evidence, sample
from ..contenders import Task, load
from ..workloads import Prediction, Workload, initial_layers, prediction_inputs

_OPERATORS = {"tanh": "Tanh", "relu": "Relu"}
_OPSET = 13
# The oldest version of the file format that has this operator set, so that every runtime reads it.
_IR_VERSION = 7


def make(workload: Workload, mode: str, threads: int | None) -> Task:
    """Return a task in ONNX Runtime with this many threads."""
    if not isinstance(workload, Prediction):
        raise NotImplementedError("ONNX Runtime is compared in prediction only")
    return _Predict(workload, threads)


def _model(workload: Prediction) -> Any:
    """Return the serialized model."""
    helper, numpy_helper, FLOAT = load("onnx.helper"), load("onnx.numpy_helper"), 1
    nodes, constants, name = [], [], "x"
    layers = initial_layers(workload)
    for index, (w, b) in enumerate(layers):
        constants += [
            numpy_helper.from_array(w, f"w{index}"),
            numpy_helper.from_array(b, f"b{index}"),
        ]
        inputs, z = [name, f"w{index}", f"b{index}"], f"z{index}"
        nodes.append(helper.make_node("Gemm", inputs, [z], transB=1))
        name = z
        if index < len(layers) - 1:
            name = f"a{index}"
            nodes.append(helper.make_node(_OPERATORS[workload.activation], [z], [name]))
    if workload.output == "softmax":
        nodes.append(helper.make_node("Softmax", [name], ["y"], axis=1))
        name = "y"
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", FLOAT, ["batch", workload.widths[0]])],
        [helper.make_tensor_value_info(name, FLOAT, ["batch", workload.widths[-1]])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
    model.ir_version = _IR_VERSION
    return model.SerializeToString()


class _Predict:
    unit = 1
    compile_seconds = 0.0

    def __init__(self, workload: Prediction, threads: int | None) -> None:
        runtime = load("onnxruntime")
        options = runtime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        self.session = runtime.InferenceSession(
            _model(workload), options, providers=["CPUExecutionProvider"]
        )
        self.feed = {"x": prediction_inputs(workload)}

    def evidence(self) -> Evidence:
        return {"outputs": sample(self.session.run(None, self.feed)[0])}

    def run(self, repeats: int) -> None:
        run, feed = self.session.run, self.feed
        for _ in range(repeats):
            run(None, feed)
