"""The recurrence h_t = act(x_t + u * h_{t-1}): its definition, its kernels and one front door."""

from action_indrnn.kernels.recurrence import (
    ACTIVATIONS,
    CUDA_KERNELS,
    KERNELS,
    Activation,
    Kernel,
    backend,
    indrnn,
)

__all__ = ["ACTIVATIONS", "CUDA_KERNELS", "KERNELS", "Activation", "Kernel", "backend", "indrnn"]
