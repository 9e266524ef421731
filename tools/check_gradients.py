"""Holds the pixel gradients of test/fixtures/models against differences of the exported models in float64.

Run: python tools/check_gradients.py [NAME ...]        (needs onnx, numpy and safetensors; names as in that folder)

Each model is evaluated in float64 by ONNX's own reference implementation, without PyTorch, at two points beside its input
in a random direction v: (f(x + hv) − f(x − hv))·cotangent/2h must be gradient·v. Prints the relative difference; exit
code 1 where one is above 1e-4. Models with operators that the reference lacks, or computes otherwise, are
named and passed over.
"""

import json
import math
import pathlib
import sys

import numpy as np
import onnx
import safetensors.numpy
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

MODELS = pathlib.Path(__file__).resolve().parent.parent / "test" / "fixtures" / "models"
# A small step passes few kinks of activations; a large one rises above what the reference rounds to float32.
STEPS = (1e-8, 1e-4)
BOUND = 1e-4


class Erf(OpRun):
    """The reference's own rounds to float32."""

    def _run(self, x):
        return (np.vectorize(math.erf, otypes=[np.float64])(x),)


class HardSigmoid(OpRun):
    """The reference's own rounds to float32."""

    def _run(self, x, alpha=None, beta=None):
        return (np.clip(x * (0.2 if alpha is None else alpha) + (0.5 if beta is None else beta), 0, 1),)


class Gelu(OpRun):
    """The reference's own rounds to float32."""

    def _run(self, x, approximate=None):
        if approximate == "tanh":
            return (0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),)
        return (0.5 * x * (1 + np.vectorize(math.erf, otypes=[np.float64])(x / math.sqrt(2))),)


def in_double(graph):
    """Turns every float32 tensor, cast and declaration of a graph into float64."""
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    for info in [*graph.input, *graph.output]:
        if info.type.tensor_type.elem_type == TensorProto.FLOAT:
            info.type.tensor_type.elem_type = TensorProto.DOUBLE
    del graph.value_info[:]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE
            if attribute.type == onnx.AttributeProto.GRAPH:
                in_double(attribute.g)
            if attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == TensorProto.FLOAT:
                value = numpy_helper.to_array(attribute.t).astype(np.float64)
                attribute.t.CopyFrom(numpy_helper.from_array(value))
            if node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
                value = np.array(onnx.helper.get_attribute_value(attribute), np.float64)
                del node.attribute[:]
                node.attribute.append(onnx.helper.make_attribute("value", numpy_helper.from_array(value)))


def difference(folder):
    """How far the fixture's gradient is from differences along a direction, relative to their size."""
    model = onnx.load(folder / "model.onnx")
    in_double(model.graph)
    tensors = {k: v.astype(np.float64) for k, v in safetensors.numpy.load_file(folder / "tensors.safetensors").items()}
    meta = json.loads((folder / "meta.json").read_text())
    evaluator = ReferenceEvaluator(model, new_ops=[Erf, HardSigmoid, Gelu])
    x, gradient = tensors["input"], tensors["pixel_gradient"]
    features = evaluator.run([meta["feature"]], {meta["input"]: x})[0]
    off = np.abs(features - tensors["features"]).max() / np.abs(tensors["features"]).max()
    if off > BOUND:
        raise ValueError(f"the reference implementation's features are off by {off:.1e}")
    v = gradient / np.linalg.norm(gradient) + np.random.default_rng(0).standard_normal(x.shape) / x.size**0.5
    errors = []
    for step in STEPS:
        h = step / np.abs(v).max()
        sides = [evaluator.run([meta["feature"]], {meta["input"]: x + s * h * v})[0] for s in (1, -1)]
        slope = ((sides[0] - sides[1]) * tensors["cotangent"]).sum() / (2 * h)
        errors.append(abs(slope - (gradient * v).sum()) / abs(slope))
    return min(errors)


def main():
    names = sys.argv[1:] or sorted(folder.name for folder in MODELS.iterdir())
    wrong = []
    for name in names:
        try:
            error = difference(MODELS / name)
        except Exception as problem:  # The reference implementation lacks operators, and forms of some.
            print(f"{name}: not checked ({type(problem).__name__}: {str(problem).splitlines()[0][:90]})", flush=True)
            continue
        print(f"{name}: {error:.1e}", flush=True)
        if not error < BOUND:
            wrong.append(name)
    if wrong:
        raise SystemExit(f"wrong: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
