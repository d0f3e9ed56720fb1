"""Batch norm over the global batch, so that what a layer computes does not depend on how many
workers share the batch.

On GPUs torch's own ``nn.SyncBatchNorm`` does this. It refuses CPUs; ``GlobalBatchNorm`` stands in
for it there. Shapes: N examples of this worker, C channels, W workers.
"""

from typing import Any

import torch
import torch.distributed as dist
from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

KNOWN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, BatchNormAct2d)


def over_workers(module: nn.Module) -> nn.Module:
    """``module`` with every batch norm taken over the batches of all workers, gradients included:
    averaged over workers they are those of the mean loss over the global batch.

    Changes it in place and returns it, or its replacement if it is a batch norm itself. Parameters,
    buffers and their names stay. With one worker nothing changes. In evaluation each worker is for
    itself, as ever. Raises TypeError for a layer with statistics of the batch that is none of
    torch's or timm's batch norms.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return module
    for name, part in module.named_modules():
        of_batch = isinstance(part, _BatchNorm) or getattr(part, "running_var", None) is not None
        if of_batch and type(part) not in KNOWN:
            raise TypeError(
                f"{type(part).__name__} '{name}' has statistics of the batch that cannot be taken "
                "over several workers; train this model with one worker, or with another norm"
            )
    on_cpu = all(p.device.type == "cpu" for p in module.parameters())
    return _converted(module) if on_cpu else convert_sync_batchnorm(module)


def _converted(module: nn.Module) -> nn.Module:
    if isinstance(module, _BatchNorm):
        return GlobalBatchNorm(module)
    for name, child in module.named_children():
        setattr(module, name, _converted(child))
    return module


class GlobalBatchNorm(_BatchNorm):
    """A batch norm on the CPU, over the batches of all workers of torch's default group."""

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__(
            norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
        )
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.train(norm.training)
        for name, what_follows in norm.named_children():  # timm's drop and activation
            self.add_module(name, what_follows)

    def forward(self, input: Tensor) -> Tensor:
        normalised: Any = self._over_workers if self.training else self._alone
        output = normalised(input)
        for what_follows in self.children():
            output = what_follows(output)
        return output

    @torch.compiler.disable  # its collectives are not for a compiler to move
    def _over_workers(self, input: Tensor) -> Tensor:
        mean_C, var_C, count = _global_statistics(input)
        self._track(mean_C, var_C * count / (count - 1))
        return _Normalise.apply(input, self.weight, self.bias, mean_C, var_C, count, self.eps)

    def _alone(self, input: Tensor) -> Tensor:
        mean_C, var_C, of_batch = self.running_mean, self.running_var, self.running_mean is None
        return F.batch_norm(input, mean_C, var_C, self.weight, self.bias, of_batch, eps=self.eps)

    @torch.no_grad()
    def _track(self, mean_C: Tensor, unbiased_var_C: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = self.momentum
        if momentum is None:  # a plain mean of all batches
            momentum = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean_C, momentum)
        self.running_var.lerp_(unbiased_var_C, momentum)


@torch.no_grad()
def _global_statistics(input: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance (C,) over all workers, and how many values a channel has there.

    One collective. Means and variances are what is combined (Chan et al. 1979), because sums of
    squares would cancel where the mean is large.
    """
    values = input.float() if input.dtype.itemsize < 4 else input
    mean_C, var_C = torch.batch_norm_update_stats(values, None, None, 0.0)
    count = mean_C.new_full((1,), input.numel() // input.shape[1])
    own = torch.cat([mean_C, var_C, count])
    all_W = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(all_W, own)
    sizes = [len(mean_C), len(var_C), 1]
    mean_WxC, var_WxC, count_Wx1 = torch.stack(all_W).split(sizes, dim=1)
    total = count_Wx1.sum()
    share_Wx1 = count_Wx1 / total
    mean_C = (share_Wx1 * mean_WxC).sum(0)
    var_C = (share_Wx1 * (var_WxC + (mean_WxC - mean_C).square())).sum(0)
    return mean_C, var_C, total


class _Normalise(torch.autograd.Function):
    """Batch norm at given statistics, differentiated as the function of the batch that they are
    (Ioffe & Szegedy 2015, arXiv 1502.03167, section 3)."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight_C: Tensor | None,
        bias_C: Tensor | None,
        mean_C: Tensor,
        var_C: Tensor,
        count: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(input, weight_C, mean_C, var_C, count)
        ctx.eps = eps
        return F.batch_norm(input, mean_C, var_C, weight_C, bias_C, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        input, weight_C, mean_C, var_C, count = ctx.saved_tensors
        fixed, weight_grad_C, bias_grad_C = torch.ops.aten.native_batch_norm_backward(
            grads[0], input, weight_C, mean_C, var_C, None, None, False, ctx.eps, [True] * 3
        )
        # So far the statistics stood still. That they move with the input takes away the part of
        # the gradient that lies along the constant and along the normalised input.
        sums = torch.cat([weight_grad_C, bias_grad_C])
        dist.all_reduce(sums)
        scale_C = (var_C + ctx.eps).rsqrt() / count
        along_input_C, along_constant_C = (
            (scale_C if weight_C is None else scale_C * weight_C) * sum_C for sum_C in sums.chunk(2)
        )
        moved = F.batch_norm(input, mean_C, var_C, along_input_C, along_constant_C, eps=ctx.eps)
        if weight_C is None:
            weight_grad_C = bias_grad_C = None
        return fixed - moved, weight_grad_C, bias_grad_C, *[None] * 4
