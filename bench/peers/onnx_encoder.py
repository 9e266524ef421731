"""A frozen convolutional encoder read from ONNX into PyTorch: the embedded EfficientNet-Lite0 with its own weights."""

import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn


class OnnxEncoder(nn.Module):
    """Images in [0, 1] to features, by the operators the embedded encoder is made of; others are refused."""

    def __init__(self, path, mean, std):
        super().__init__()
        graph = onnx.load(path).graph
        self.constants = {
            tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer
        }
        self.input, self.output = graph.input[0].name, graph.output[0].name
        self.nodes = []
        for node in graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Cast":
                self.constants[node.output[0]] = self.constants[node.input[0]].float()
            else:
                self.nodes.append((node.op_type, list(node.input), node.output[0], attributes))
        for name, tensor in self.constants.items():
            if tensor.dim() == 4:
                self.constants[name] = tensor.contiguous(memory_format=torch.channels_last)
        self.mean, self.std = (torch.tensor(x).view(1, 3, 1, 1) for x in (mean, std))

    def forward(self, images):
        normalised = (images - self.mean) / self.std
        values = {self.input: normalised.contiguous(memory_format=torch.channels_last)}
        for kind, inputs, output, attributes in self.nodes:
            x, *rest = [values[name] if name in values else self.constants[name] for name in inputs]
            values[output] = getattr(self, kind)(x, *rest, **attributes)
        return values[self.output]

    def Conv(self, x, weight, bias, kernel_shape, pads, strides, dilations, group):
        top, left, bottom, right = pads
        if (top, left) == (bottom, right):
            return F.conv2d(x, weight, bias, strides, (top, left), dilations, group)
        return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, bias, strides, 0, dilations, group)

    def Clip(self, x, low, high):
        return F.hardtanh(x, low.item(), high.item())

    def Add(self, x, y):
        return x + y

    def GlobalAveragePool(self, x):
        return x.mean((2, 3), keepdim=True)

    def Flatten(self, x, axis):
        return x.flatten(axis)
