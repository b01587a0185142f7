"""Explanations as a plain forward graph: a hand-written vector-Jacobian product of the served network.

No autograd is involved, so the module exports to ONNX and is served like any other model. For a weighting
``target`` of the logits it returns the logits, the gradient of ``Σ target · logits`` with respect to the ECG,
and Grad-CAM over the last convolutional features (Selvaraju et al., ICCV 2017), in one pass.

Every layer is a pair: ``forward`` returns its output and what its ``backward`` needs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.architectures.hybrid import BiGRU, ConvUnit, DenseLayer, EncoderLayer, Hybrid

__all__ = ["Attribution"]

Backward = Callable[[Tensor], Tensor]


def _conv_unit(unit: ConvUnit, x: Tensor) -> tuple[Tensor, Backward]:
    conv = unit.conv
    stride, padding, kernel = conv.stride[0], int(conv.padding[0]), conv.kernel_size[0]
    y = torch.relu(conv(x))
    length = x.shape[2]

    def backward(g: Tensor) -> Tensor:
        g = g * (y > 0).to(g.dtype)
        if stride == 1:
            # The same product as a transposed convolution, in the operator that runtimes optimise.
            return functional.conv1d(g, conv.weight.transpose(0, 1).flip(2), padding=kernel - 1 - padding)
        covered = (g.shape[2] - 1) * stride - 2 * padding + kernel
        return functional.conv_transpose1d(
            g, conv.weight, stride=stride, padding=padding, output_padding=length - covered
        )

    return y, backward


def _dense_layer(layer: DenseLayer, x: Tensor) -> tuple[Tensor, Backward]:
    reduced, reduce_backward = _conv_unit(layer.reduce, x)
    grown, grow_backward = _conv_unit(layer.grow, reduced)
    channels = x.shape[1]

    def backward(g: Tensor) -> Tensor:
        kept, added = g[:, :channels], g[:, channels:]
        return kept + reduce_backward(grow_backward(added))

    return torch.cat([x, grown], dim=1), backward


def _spread(g: Tensor, factor: int) -> Tensor:
    """The transpose of averaging ``factor`` neighbours on the last axis."""
    return (g / factor).unsqueeze(-1).expand(-1, -1, -1, factor).reshape(-1, g.shape[1], g.shape[2] * factor)


def _average(pool: nn.AvgPool1d, x: Tensor) -> tuple[Tensor, Backward]:
    size = pool.kernel_size
    factor = size if isinstance(size, int) else size[0]
    return pool(x), lambda g: _spread(g, factor)


def _normalise(norm: nn.LayerNorm, x: Tensor) -> tuple[Tensor, Backward]:
    centred = x - x.mean(-1, keepdim=True)
    scale = torch.rsqrt((centred * centred).mean(-1, keepdim=True) + norm.eps)
    unit = centred * scale

    def backward(g: Tensor) -> Tensor:
        g = g * norm.weight
        return scale * (g - g.mean(-1, keepdim=True) - unit * (g * unit).mean(-1, keepdim=True))

    return unit * norm.weight + norm.bias, backward


def _gru_direction(gru: nn.GRU, suffix: str, x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
    """Backward pass of one direction from its input [B, T, I] and its states ``y`` [B, T, H]."""
    w_input, w_hidden = getattr(gru, f"weight_ih_l0{suffix}"), getattr(gru, f"weight_hh_l0{suffix}")
    b_input, b_hidden = getattr(gru, f"bias_ih_l0{suffix}"), getattr(gru, f"bias_hh_l0{suffix}")
    reverse, steps = bool(suffix), x.shape[1]
    zero = torch.zeros_like(y[:, :1])
    previous = torch.cat([y[:, 1:], zero], 1) if reverse else torch.cat([zero, y[:, :-1]], 1)

    a_reset, a_update, a_new = functional.linear(x, w_input, b_input).chunk(3, -1)
    h_reset, h_update, h_new = functional.linear(previous, w_hidden, b_hidden).chunk(3, -1)
    reset, update = torch.sigmoid(a_reset + h_reset), torch.sigmoid(a_update + h_update)
    new = torch.tanh(a_new + reset * h_new)
    d_new = (1 - update) * (1 - new * new)
    d_update = (previous - new) * update * (1 - update)
    d_reset = d_new * h_new * reset * (1 - reset)
    through_hidden = torch.cat([d_reset, d_update, d_new * reset], -1)
    through_input = torch.cat([d_reset, d_update, d_new], -1)

    def backward(g: Tensor) -> Tensor:
        gradients: list[Tensor] = [g[:, 0]] * steps
        carried: Tensor | None = None
        for t in range(steps) if reverse else range(steps - 1, -1, -1):
            h = g[:, t] if carried is None else g[:, t] + carried
            gradients[t] = h
            carried = h * update[:, t] + torch.matmul(torch.cat([h, h, h], -1) * through_hidden[:, t], w_hidden)
        h = torch.stack(gradients, 1)
        return torch.matmul(torch.cat([h, h, h], -1) * through_input, w_input)

    return backward


def _recurrent(layer: BiGRU, x: Tensor) -> tuple[Tensor, Backward]:
    y, _ = layer.gru(x)
    ahead, back = y.chunk(2, -1)
    backward_ahead = _gru_direction(layer.gru, "", x, ahead)
    backward_back = _gru_direction(layer.gru, "_reverse", x, back)

    def backward(g: Tensor) -> Tensor:
        g_ahead, g_back = g.chunk(2, -1)
        return g + backward_ahead(g_ahead) + backward_back(g_back)

    return x + y, backward


def _encoder(layer: EncoderLayer, x: Tensor) -> tuple[Tensor, Backward]:
    normal, norm_backward = _normalise(layer.attention_norm, x)
    q, k, v = (layer.split_heads(t) for t in layer.query_key_value(normal).chunk(3, -1))
    scale = layer.head_width**-0.5
    weights = torch.softmax(torch.matmul(q * scale, k.transpose(-1, -2)), -1)
    middle = x + layer.project(layer.merge_heads(torch.matmul(weights, v)))
    fed, feed_backward = _normalise(layer.feed_norm, middle)
    hidden = torch.relu(layer.expand(fed))

    def backward(g: Tensor) -> Tensor:
        inner = torch.matmul(g, layer.contract.weight) * (hidden > 0).to(g.dtype)
        g = g + feed_backward(torch.matmul(inner, layer.expand.weight))
        mixed = layer.split_heads(torch.matmul(g, layer.project.weight))
        d_weights, d_v = (
            torch.matmul(mixed, v.transpose(-1, -2)),
            torch.matmul(weights.transpose(-1, -2), mixed),
        )
        d_scores = weights * (d_weights - (d_weights * weights).sum(-1, keepdim=True)) * scale
        d_q, d_k = torch.matmul(d_scores, k), torch.matmul(d_scores.transpose(-1, -2), q)
        joined = torch.cat([layer.merge_heads(t) for t in (d_q, d_k, d_v)], -1)
        return g + norm_backward(torch.matmul(joined, layer.query_key_value.weight))

    return middle + layer.contract(hidden), backward


def _feature_layer(layer: nn.Module, x: Tensor) -> tuple[Tensor, Backward]:
    if isinstance(layer, ConvUnit):
        return _conv_unit(layer, x)
    if isinstance(layer, DenseLayer):
        return _dense_layer(layer, x)
    if isinstance(layer, nn.AvgPool1d):
        return _average(layer, x)
    raise TypeError(f"no vector-Jacobian product is written for {type(layer).__name__}")


class Attribution(nn.Module):
    """(``ecg`` [B, 12, 1000], ``target`` [B, C]) → each head's logits, ``cam`` [B, frames], ``gradient`` [B, 12, 1000].

    ``target`` weighs the logits of all heads concatenated in output order, so one class, a superclass or the
    difference of two findings can be explained. ``network`` must be a served one (convolutions folded).
    """

    def __init__(self, network: Hybrid) -> None:
        super().__init__()
        if any(isinstance(m, nn.BatchNorm1d) for m in network.modules()):
            raise TypeError("the attribution graph is made from a served network, with its convolutions folded")
        self.network = network.eval()

    def forward(self, ecg: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        net, backwards = self.network, list[Backward]()
        features = ecg
        for layer in net.features:
            features, backward = _feature_layer(layer, features)
            backwards.append(backward)
        tail: list[Backward] = []
        tokens = net.tokens(features)
        for layer in net.recurrent:
            tokens, backward = _recurrent(layer, tokens)  # type: ignore[arg-type]
            tail.append(backward)
        for layer in net.encoder:
            tokens, backward = _encoder(layer, tokens)  # type: ignore[arg-type]
            tail.append(backward)
        normal, backward = _normalise(net.norm, tokens)
        tail.append(backward)
        summary = normal.mean(1)
        logits = tuple(head(summary) for head in net.heads.values())

        linear = [head for head in net.heads.values() if isinstance(head, nn.Linear)]
        weights = torch.cat([head.weight for head in linear], 0)
        count = tokens.shape[1]
        g = (torch.matmul(target, weights) / count).unsqueeze(1).expand(-1, count, -1)
        for backward in reversed(tail):
            g = backward(g)
        g = torch.matmul(g, net.embed.weight).transpose(1, 2)
        if net.config.token_pool > 1:
            g = _spread(g, net.config.token_pool)
        cam = torch.relu((g.mean(2, keepdim=True) * features).sum(1))
        for backward in reversed(backwards):
            g = backward(g)
        return (*logits, cam, g)
