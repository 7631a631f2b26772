"""A device that exists only in name: what a GPU would refuse, and where the host would wait for it, found on a CPU.

Tensors on the device are CPU tensors in a wrapper. Each operation on them is checked by CUDA's rules (all tensors on
one device; a 0-dimensional CPU tensor may take part in a pointwise operation, CPU indices may choose) and computed on
the CPU, so results are the CPU's bit for bit. Copies that block, ``.cpu()``, ``.item()``, ``.tolist()`` and indices
whose number only the device knows are counted, each with the line of the project's code that made it.

It can't see: branches on ``device.type == "cuda"``, page-locked memory, NCCL, SyncBatchNorm, autocast, cuDNN, memory.
"""

import collections
import traceback
from functools import cache
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

PROJECT = Path(__file__).resolve().parent.parent / "mac"
aten = torch.ops.aten
INDEXING = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}
COPIES = {aten._to_copy.default, aten.copy_.default, aten.copy.default}
WAITING = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.equal.default,
    aten.masked_select.default,
    aten.is_nonzero.default,
    aten.unique_consecutive.default,
    aten._unique2.default,
}
ON_HOST = {aten._local_scalar_dense.default, aten.equal.default}  # what they give is no tensor of the device


@cache
def _register():
    """Make the device known to torch. Afterwards the process can't fork and use autograd any more."""
    from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

    class Module(_DummyBackendModule):
        def get_amp_supported_dtype(self):
            return [torch.bfloat16, torch.float16]

    _setup_privateuseone_for_python_backend("pretend", backend_module=Module())


class MixedDevicesError(RuntimeError):
    """CUDA would refuse this operation; the message says which, on what, and from which line."""


_waits = collections.Counter()  # where the host waited for the device, by kind and line


def _wait(kind):
    _waits[f"{_line()}: {kind}"] += 1


def _line():
    """The innermost line of the project's own code."""
    for frame in reversed(traceback.extract_stack()):
        if Path(frame.filename).is_relative_to(PROJECT):
            return f"{Path(frame.filename).relative_to(PROJECT.parent)}:{frame.lineno} `{frame.line}`"
    return "outside the project (backward pass, optimiser)"


class There(torch.Tensor):
    """A tensor on the device; ``inner`` holds its values."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner):
        options = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), layout=inner.layout, device=torch.device("pretend", 0), requires_grad=False, **options
        )

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f"There({self.inner})"

    def tolist(self):
        _wait("tolist")
        return self.inner.tolist()

    def new_tensor(self, data, dtype=None, **_):
        _wait("host to device")
        return There(torch.tensor(data, dtype=dtype or self.dtype))

    def numpy(self, *_, **__):
        raise TypeError("can't convert a pretend tensor to numpy; use .cpu() first")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _call(func, args, kwargs or {})


def _unwrap(x):
    return x.inner if isinstance(x, There) else x


def _is_there(device):
    return device is not None and torch.device(device).type == "pretend"


def _check(func, args, tensors):
    there = [x for x in tensors if isinstance(x, There)]
    here = [x for x in tensors if not isinstance(x, There)]
    if not there or not here or func in COPIES:
        return
    if func in INDEXING:
        indices = {id(x) for x in args[1] if x is not None}
        wrong = there if not isinstance(args[0], There) else [x for x in here if id(x) not in indices and x.dim()]
        if any(id(x) in indices for x in here):
            _wait("indices from the host")
    elif torch.Tag.pointwise in func.tags or func in (aten.fill_.Tensor, aten.where.self):
        wrong = [x for x in here if x.dim()]
    else:
        wrong = here
    if wrong:
        found = ", ".join(f"{x.device.type} {tuple(x.shape)}" for x in tensors)
        raise MixedDevicesError(f"{_line()}: {func} on {found}; CUDA would refuse it")


def _count_waits(func, args, kwargs, is_there):
    target = kwargs.get("device")
    if func in (aten._to_copy.default, aten.copy_.default):
        source = args[0] if func is aten._to_copy.default else args[1]
        stays = func is aten.copy_.default or target is None
        arrives_there = isinstance(args[0], There) if stays else _is_there(target)
        is_blocking = not (kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
        if isinstance(source, There) and not arrives_there:
            _wait("device to host")  # non-blocking ones too: whoever reads the values waits for them
        elif not isinstance(source, There) and arrives_there and is_blocking:
            _wait("host to device")
    if func in WAITING and is_there:
        _wait(str(func))
    if func in INDEXING and is_there and any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1]):
        _wait("boolean indices")


def _call(func, args, kwargs):
    tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    is_there, target = any(isinstance(x, There) for x in tensors), kwargs.get("device")
    _check(func, args, tensors)
    _count_waits(func, args, kwargs, is_there)
    arrives_there = (is_there if target is None else _is_there(target)) and func not in ON_HOST
    options = dict(kwargs)
    if _is_there(target):
        options["device"] = torch.device("cpu")
    options.pop("pin_memory", None)
    plain, options = tree_map(_unwrap, (args, options))
    result = func(*plain, **options)
    if func is aten._to_copy.default and result is plain[0]:
        result = result.clone()  # as between two devices
    originals = {id(_unwrap(x)): x for x in tensors}

    def wrap(x):
        if not isinstance(x, torch.Tensor):
            return x
        if id(x) in originals:  # an operation in place
            return originals[id(x)]
        return There(x) if arrives_there and not isinstance(x, There) else x

    return tree_map(wrap, result)


class PretendDevice(TorchDispatchMode):
    """Within it, tensors may be made on ``device`` and moved there; ``waits`` counts where the host waited."""

    def __init__(self):
        super().__init__()
        _register()
        self.device = torch.device("pretend", 0)

    def __enter__(self):
        _waits.clear()
        return super().__enter__()

    @property
    def waits(self):
        return _waits

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        leaves = tree_flatten((args, kwargs))[0]
        if any(isinstance(x, There) for x in leaves) or _is_there(kwargs.get("device")):
            return _call(func, args, kwargs)
        return func(*args, **kwargs)


def to_host(tensor):
    """A tensor's values, without anybody's waiting being counted."""
    return _unwrap(tensor.detach())
