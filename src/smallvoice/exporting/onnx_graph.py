"""Whisper as two ONNX graphs, node by node from a network's weights.

torch.onnx.export cannot write the decoder: torch.export takes a length that varies for at least 2, so what depends on
the cache being empty is folded away without a word (torch 2.13), and its TorchScript exporter is deprecated.

In eight bits only weights are rounded, each row of a matrix by itself. onnxruntime's quantize_dynamic rounds what
enters a matrix too, with one scale for a whole window: on children's speech 5 to 7 % of the words became others,
2 % with this (100 clips, Whisper base). Only the product with the token embedding is one of integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from transformers import WhisperForConditionalGeneration

OPERATORS, FORMAT = 17, 8
"""The version of the operators and of the file: what runtimes from onnxruntime 1.12 on load."""
FLOAT, INT64 = 1, 7
"""Types, as `onnx.TensorProto` counts them."""
ZERO_POINT = 128
"""The byte that means 0."""
MASKED = -1e9
"""Added to a score that must not count: finite, as WebGPU promises nothing for infinities."""

TOKENS = "decoder.embed_tokens.weight"

Shape = tuple[int | str, ...]
"""Sizes, and names of those that vary. transformers.js makes an empty cache of `batch_size` sequences, all others 0."""


class Graph:
    """Nodes in the order in which they run, and their weights, under the network's names.

    Args:
        rounded: matrices in eight bits.
    """

    def __init__(self, network: WhisperForConditionalGeneration, rounded: bool) -> None:
        self.rounded = rounded
        self.tensors: dict[str, torch.Tensor] = network.model.state_dict()
        self.width: int = network.config.d_model
        self.inputs: list[tuple[str, type, Shape]] = []
        self.outputs: list[tuple[str, type, Shape]] = []
        self.nodes: list[tuple[str, tuple[str, ...], tuple[str, ...], dict[str, Any]]] = []
        self.values: dict[str, np.ndarray] = {}

    def input(self, name: str, shape: Shape, kind: type = np.float32) -> str:
        self.inputs.append((name, kind, shape))
        return name

    def output(self, name: str, shape: Shape) -> None:
        """Let what a node gave under this name leave the graph."""
        self.outputs.append((name, np.float32, shape))

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node. Returns the name of its only output."""
        output = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append((operator, inputs, (output,), attributes))
        return output

    def weight(self, name: str) -> str:
        """A tensor of the network in float32."""
        return self._keep(name, self._numbers(name))

    def _numbers(self, name: str) -> np.ndarray:
        return self.tensors[name].detach().cpu().float().numpy()

    def quantize(self, name: str, turned: bool) -> tuple[str, str, str]:
        """A matrix (rows, columns) in bytes: row r is scale[r] (byte - zero_point[r]).

        Bytes have no sign: with one, the sums of an integer product overflow on processors without VNNI.

        Args:
            turned: columns first.

        Returns:
            The names of the bytes, of `scale` and of `zero_point`.
        """
        matrix = self._numbers(name)
        scale = np.maximum(np.abs(matrix).max(axis=1), np.finfo(np.float32).tiny) / 127
        levels = (np.round(matrix / scale[:, None]) + ZERO_POINT).astype(np.uint8)
        return (
            self._keep(f"{name}_quantized", np.ascontiguousarray(levels.T) if turned else levels),
            self._keep(f"{name}_scale", scale),
            self._keep(f"{name}_zero_point", np.full(len(matrix), ZERO_POINT, np.uint8)),
        )

    def whole(self, *numbers: int) -> str:
        """A constant vector of int64."""
        return self._keep("whole_" + "_".join(map(str, numbers)), np.array(numbers, np.int64))

    def number(self, value: float) -> str:
        """A constant scalar of float32."""
        return self._keep(f"number_{value}", np.array(value, np.float32))

    def _keep(self, name: str, values: np.ndarray) -> str:
        self.values[name] = values
        return name

    def linear(self, hidden: str, name: str) -> str:
        """`torch.nn.Linear`, which keeps its matrix as (out, in), ONNX as (in, out)."""
        matrix, bias = f"{name}.weight", f"{name}.bias"
        if self.rounded:
            entering = self.add("DequantizeLinear", *self.quantize(matrix, turned=True), axis=1)
        else:
            entering = self._keep(matrix, np.ascontiguousarray(self._numbers(matrix).T))
        product = self.add("MatMul", hidden, entering)
        return self.add("Add", product, self.weight(bias)) if bias in self.tensors else product

    def norm(self, hidden: str, name: str, output: str | None = None) -> str:
        weights = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.add("LayerNormalization", hidden, *weights, output=output)

    def gelu(self, hidden: str) -> str:
        """x (1 + erf(x / sqrt 2)) / 2: an operator of its own only since set 20, but runtimes know these nodes."""
        error = self.add("Erf", self.add("Div", hidden, self.number(2**0.5)))
        return self.add("Mul", self.add("Mul", hidden, self.add("Add", error, self.number(1.0))), self.number(0.5))

    def length(self, value: str, axis: int) -> str:
        """The size of one axis, as a vector of one."""
        return self.add("Shape", value, start=axis, end=axis + 1)

    def model(self) -> Any:
        """The graph as an `onnx.ModelProto`."""
        from onnx import helper, numpy_helper

        def described(values: list[tuple[str, type, Shape]]) -> list[Any]:
            return [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape)
                for name, kind, shape in values
            ]

        nodes = [
            helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes)
            for operator, inputs, outputs, attributes in self.nodes
        ]
        weights = [numpy_helper.from_array(values, name) for name, values in self.values.items()]
        graph = helper.make_graph(nodes, "whisper", described(self.inputs), described(self.outputs), weights)
        operators = helper.make_opsetid("", OPERATORS)
        return helper.make_model(graph, opset_imports=[operators], ir_version=FORMAT, producer_name="smallvoice")


def encoder(network: WhisperForConditionalGeneration, rounded: bool) -> Graph:
    """`input_features` of shape (batch, num_mels, frames) to `last_hidden_state` (batch, frames / 2, d_model).

    The frames are even and at most what the model has positions for, such as 3,000.
    """
    graph, config = Graph(network, rounded), network.config
    heads = config.encoder_attention_heads
    hidden = graph.input("input_features", ("batch_size", config.num_mel_bins, "frames"))
    for name, stride in (("encoder.conv1", 1), ("encoder.conv2", 2)):
        weights = graph.weight(f"{name}.weight"), graph.weight(f"{name}.bias")
        hidden = graph.gelu(graph.add("Conv", hidden, *weights, pads=[1, 1], strides=[stride]))
    hidden = graph.add("Transpose", hidden, perm=[0, 2, 1])
    table = graph.weight("encoder.embed_positions.weight")
    positions = graph.add("Slice", table, graph.whole(0), graph.length(hidden, 1), graph.whole(0))
    hidden = graph.add("Add", hidden, positions)
    for layer in range(config.encoder_layers):
        name = f"encoder.layers.{layer}"
        normed = graph.norm(hidden, f"{name}.self_attn_layer_norm")
        key, value = (_heads(graph, graph.linear(normed, f"{name}.self_attn.{part}_proj"), heads) for part in "kv")
        hidden = graph.add("Add", hidden, _attention(graph, normed, key, value, f"{name}.self_attn", heads))
        hidden = _feed_forward(graph, hidden, name)
    graph.norm(hidden, "encoder.layer_norm", output="last_hidden_state")
    graph.output("last_hidden_state", ("batch_size", "encoder_sequence_length", config.d_model))
    return graph


def cache_names(layers: int) -> Iterator[str]:
    """What follows `past_key_values.` in the decoder's inputs and `present.` in its outputs."""
    for layer in range(layers):
        for side in ("decoder", "encoder"):
            yield from (f"{layer}.{side}.key", f"{layer}.{side}.value")


def decoder(network: WhisperForConditionalGeneration, rounded: bool) -> Graph:
    """Tokens and what was kept of the steps before, to logits and what to keep: one graph for every step.

    In: `input_ids` of shape (batch, new), `encoder_hidden_states` (batch, positions, d_model), and keys and values
    (batch, heads, length, d_model / heads) of each layer, of length 0 in the first step. Out: `logits` (batch, new,
    vocabulary), and keys and values of all tokens so far and of all positions. The encoder's are computed in the first
    step alone: later, none of its positions are left to project.
    """
    graph, config = Graph(network, rounded), network.config
    layers, heads = config.decoder_layers, config.decoder_attention_heads
    ids = graph.input("input_ids", ("batch_size", "decoder_sequence_length"), np.int64)
    states = graph.input("encoder_hidden_states", ("batch_size", "encoder_sequence_length", config.d_model))
    for name in cache_names(layers):
        length = "past_encoder_sequence_length" if "encoder" in name else "past_decoder_sequence_length"
        graph.input(f"past_key_values.{name}", ("batch_size", heads, length, config.d_model // heads))
    past = graph.length("past_key_values.0.decoder.key", 2)
    total = graph.add("Add", past, graph.length(ids, 1))
    table = graph.weight("decoder.embed_positions.weight")
    positions = graph.add("Slice", table, past, total, graph.whole(0))
    hidden = graph.add("Add", _embedded(graph, ids), positions)
    mask = _mask_of_the_future(graph, past, total)
    projected = graph.length("past_key_values.0.encoder.key", 2)
    first = graph.add("Cast", graph.add("Equal", projected, graph.whole(0)), to=INT64)
    left = graph.add("Mul", graph.length(states, 1), first)
    states = graph.add("Slice", states, graph.whole(0), left, graph.whole(1))
    for layer in range(layers):
        hidden = _decoder_layer(graph, hidden, states, mask, layer, heads)
    _logits(graph, graph.norm(hidden, "decoder.layer_norm"))
    graph.output("logits", ("batch_size", "decoder_sequence_length", config.vocab_size))
    for name in cache_names(layers):
        length = "encoder_sequence_length_out" if "encoder" in name else "decoder_sequence_length_out"
        graph.output(f"present.{name}", ("batch_size", heads, length, config.d_model // heads))
    return graph


def _embedded(graph: Graph, ids: str) -> str:
    """The rows of the token embedding, shape = (batch, new, d_model)."""
    if not graph.rounded:
        return graph.add("Gather", graph.weight(TOKENS), ids)
    levels, scale, _ = graph.quantize(TOKENS, turned=False)
    signed = graph.add("Cast", graph.add("Gather", levels, ids), to=FLOAT)
    signed = graph.add("Sub", signed, graph.number(ZERO_POINT))
    return graph.add("Mul", signed, graph.add("Unsqueeze", graph.add("Gather", scale, ids), graph.whole(2)))


def _logits(graph: Graph, hidden: str) -> None:
    """`logits`: the product with the token embedding, which the file holds once.

    In eight bits it is one of integers: made of floats again, the matrix would be so in every step.
    """
    if not graph.rounded:
        graph.add("MatMul", hidden, graph.add("Transpose", graph.weight(TOKENS), perm=[1, 0]), output="logits")
        return
    levels, scale, zero_point = graph.quantize(TOKENS, turned=False)
    levels = graph.add("Transpose", levels, perm=[1, 0])
    entering = ("hidden_quantized", "hidden_scale", "hidden_zero_point")
    graph.nodes.append(("DynamicQuantizeLinear", (hidden,), entering, {}))
    product = graph.add("MatMulInteger", entering[0], levels, entering[2], zero_point)
    scales = graph.add("Mul", entering[1], scale)
    graph.add("Mul", graph.add("Cast", product, to=FLOAT), scales, output="logits")


def _mask_of_the_future(graph: Graph, past: str, total: str) -> str:
    """What is added to the scores, shape = (new, past + new): a token does not attend to those after it."""
    zero, one = graph.whole(0), graph.whole(1)
    every = graph.add("Range", *(graph.add("Squeeze", value) for value in (zero, total, one)))
    new = graph.add("Unsqueeze", graph.add("Slice", every, past, total, zero), one)
    return graph.add("Where", graph.add("Greater", every, new), graph.number(MASKED), graph.number(0.0))


def _decoder_layer(graph: Graph, hidden: str, states: str, mask: str, layer: int, heads: int) -> str:
    name = f"decoder.layers.{layer}"
    normed = graph.norm(hidden, f"{name}.self_attn_layer_norm")
    key, value = _kept(graph, normed, f"{name}.self_attn", f"{layer}.decoder", heads)
    hidden = graph.add("Add", hidden, _attention(graph, normed, key, value, f"{name}.self_attn", heads, mask))
    normed = graph.norm(hidden, f"{name}.encoder_attn_layer_norm")
    key, value = _kept(graph, states, f"{name}.encoder_attn", f"{layer}.encoder", heads)
    hidden = graph.add("Add", hidden, _attention(graph, normed, key, value, f"{name}.encoder_attn", heads))
    return _feed_forward(graph, hidden, name)


def _kept(graph: Graph, heard: str, name: str, place: str, heads: int) -> tuple[str, str]:
    """Keys and values of the steps before, and behind them those of what is heard now."""
    new = (_heads(graph, graph.linear(heard, f"{name}.{part}_proj"), heads) for part in "kv")
    key, value = (
        graph.add("Concat", f"past_key_values.{place}.{kind}", values, axis=2, output=f"present.{place}.{kind}")
        for kind, values in zip(("key", "value"), new, strict=True)
    )
    return key, value


def _heads(graph: Graph, hidden: str, heads: int) -> str:
    """(batch, length, d_model) to (batch, heads, length, d_model / heads); a 0 keeps a size, also where it is 0."""
    shape = graph.whole(0, 0, heads, graph.width // heads)
    return graph.add("Transpose", graph.add("Reshape", hidden, shape), perm=[0, 2, 1, 3])


def _attention(graph: Graph, hidden: str, key: str, value: str, name: str, heads: int, mask: str | None = None) -> str:
    """Queries of `hidden` over keys and values that are split into heads."""
    scaling = graph.number((graph.width // heads) ** -0.5)
    query = _heads(graph, graph.add("Mul", graph.linear(hidden, f"{name}.q_proj"), scaling), heads)
    scores = graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 1, 3, 2]))
    if mask:
        scores = graph.add("Add", scores, mask)
    mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
    joined = graph.add("Reshape", graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), graph.whole(0, 0, graph.width))
    return graph.linear(joined, f"{name}.out_proj")


def _feed_forward(graph: Graph, hidden: str, name: str) -> str:
    inner = graph.gelu(graph.linear(graph.norm(hidden, f"{name}.final_layer_norm"), f"{name}.fc1"))
    return graph.add("Add", hidden, graph.linear(inner, f"{name}.fc2"))
