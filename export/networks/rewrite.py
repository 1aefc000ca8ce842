"""Layers that cost a runtime dearly, rewritten before export as the same function in other operations."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from edge_asd.errors import DataError


class SlopeMax(nn.Module):
    """max(x, a x), which is PReLU exactly where 0 <= a <= 1.

    ONNX Runtime keeps PReLU in float and runs it slowly; a product and a maximum are fast everywhere.
    """

    slopes: Tensor

    def __init__(self, slopes: Tensor) -> None:
        super().__init__()
        self.register_buffer("slopes", slopes.detach().clone().reshape(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, h, w] -> the same shape."""
        return torch.maximum(x, x * self.slopes)


def clamp_slopes(model: nn.Module) -> None:
    """Bring every PReLU slope into 0..1, in place: called after each training step, so that what was trained can be
    rewritten exactly."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.PReLU):
                module.weight.clamp_(0.0, 1.0)


def without_prelu(model: nn.Module) -> nn.Module:
    """A copy whose PReLUs are `SlopeMax`. Raises DataError naming a layer with a slope outside 0..1."""
    model = copy.deepcopy(model)
    for parent_name, parent in list(model.named_modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.PReLU):
                slopes = child.weight.detach()
                low, high = float(slopes.min()), float(slopes.max())
                if not 0.0 <= low <= high <= 1.0:
                    raise DataError(
                        f"PReLU {parent_name}.{name}: slopes of {low:.3g} to {high:.3g}, but max(x, a x) needs 0 to 1",
                        remedy="train it here (slopes are kept to 0..1) or clamp them and train on",
                    )
                setattr(parent, name, SlopeMax(child.weight))
    return model


def folded(model: nn.Module) -> nn.Module:
    """A copy in eval mode whose BatchNorms that follow a convolution or a linear layer live in its weights."""
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if isinstance(module, nn.Sequential):
            for i in range(len(module) - 1):
                layer, norm = module[i], module[i + 1]
                if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[i], module[i + 1] = fuse_conv_bn_eval(layer, norm), nn.Identity()
                elif isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                    module[i], module[i + 1] = fuse_linear_bn_eval(layer, norm), nn.Identity()
    return model
