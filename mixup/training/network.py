"""The network of a run: built, placed on its device, and checked against what its configuration asks of it."""

import contextlib

import torch
from torch import Tensor, nn

from mixup.data import DatasetInfo
from mixup.errors import UserError, suggestion
from mixup.models import build_model
from mixup.plan import PlanSettings
from mixup.run.config import TrainConfig
from mixup.training.distributed import Group
from mixup.training.engine import explained_batchnorm

VECTOR_LENGTH = 16  # float32 numbers in a register of AVX-512


def build(config: TrainConfig, info: DatasetInfo) -> nn.Module:
    """The configured network, with weights drawn from torch's global generator."""
    options = {key: value for key, value in vars(config.model).items() if key != "name"}
    return build_model(config.model.name, num_classes=info.num_classes, input_shape=info.input_shape, **options)


def place(config: TrainConfig, model: nn.Module, device: torch.device) -> nn.Module:
    """The network on the device, in the configured memory layout."""
    layout = torch.channels_last if channels_last(config, model, device) else torch.contiguous_format
    return model.to(device).to(memory_format=layout)


def channels_last(config: TrainConfig, model: nn.Module, device: torch.device) -> bool:
    """Whether images and weights lie in that layout: as configured, but not for a network that oneDNN would compute wrongly.

    On a CPU the workspace of a 1x1 convolution with a stride is too small where its input has fewer channels than a vector
    register has numbers: crashes and wrong gradients (uxlfoundation/oneDNN#6035).
    """
    thin = any(
        module.kernel_size == (1, 1) and max(module.stride) > 1 and module.in_channels < VECTOR_LENGTH
        for module in model.modules()
        if isinstance(module, nn.Conv2d)
    )
    return config.trainer.channels_last and not (thin and device.type == "cpu")


def autocast(config: TrainConfig, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """bfloat16 in the forward pass where configured; weights, mixing and losses stay float32."""
    return (
        torch.autocast(device.type, torch.bfloat16) if config.trainer.precision == "bfloat16" else contextlib.nullcontext()
    )


def sketched(config: TrainConfig) -> torch.device:
    """Where a network is built to be looked at: without memory, but for the user's, which may compute with its weights."""
    return torch.device("cpu" if config.model.name == "import" else "meta")


# -- checks --------------------------------------------------------------------------------------------------------------


def require_values_for_batchnorm(config: TrainConfig, info: DatasetInfo, plan: PlanSettings, group: Group) -> None:
    """Raises UserError if a rank's share of some batch is one example and BatchNorm sees it as one value a channel."""
    sizes = {plan.batch_size, plan.n % plan.batch_size or plan.batch_size} if plan.n > plan.batch_size else {plan.n}
    if min(sizes) // group.world_size > 1:
        return
    with sketched(config), torch.no_grad(), explained_batchnorm(UserError):
        build(config, info).train()(torch.empty(1, *info.input_shape))


def layer_named(name: str, model: nn.Module, config: TrainConfig, info: DatasetInfo) -> nn.Module:
    """The module whose output is mixed. Raises UserError if the network lacks it, or its output cannot be mixed."""
    modules = {key: module for key, module in model.named_modules() if key}
    if name not in modules:
        few = ", ".join(key for key in modules if key.count(".") < 2)
        raise UserError(f"mixup.layer={name}: no such module{suggestion(name, modules)}; {config.model.name} has {few}, ...")
    if config.model.memory_efficient:
        raise UserError("mixup.layer and model.memory_efficient=true: what is computed again would not be mixed; use false")
    outputs = outputs_of(name, config, info)
    mixable = [isinstance(output, Tensor) and output.is_floating_point() and output.shape[:1] == (2,) for output in outputs]
    if mixable != [True]:
        fault = f"is called {len(outputs)} times" if len(outputs) != 1 else "returns no single tensor with a row an example"
        raise UserError(f"mixup.layer={name}: this module {fault} in a forward pass; name another, such as one around it")
    return modules[name]


def outputs_of(name: str, config: TrainConfig, info: DatasetInfo) -> list[object]:
    """What a module of the network returns in a forward pass of two examples, each time that it is called."""
    outputs: list[object] = []
    with sketched(config), torch.no_grad():
        model = build(config, info).eval()
        model.get_submodule(name).register_forward_hook(lambda module, inputs, output: outputs.append(output))
        model(torch.empty(2, *info.input_shape))
    return outputs
