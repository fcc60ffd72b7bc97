"""Loading of Demucs' networks from the bytes of a file, without executing code in the file.

A file states a class, the arguments of its constructor, and tensors. The class must be one of Demucs' own, the arguments
plain values, and the tensors those of that class with these arguments: all of this is checked before the network is
created. Tensors are read from safetensors, or from a pickle that PyTorch reads with ``weights_only=True``, in which names
of classes are only placeholders. Files that need more than that are loaded only if the user trusts them.
"""

from __future__ import annotations

import importlib
import inspect
import io
import json
import math
import struct
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from allin1_core.errors import WeightsError, brief
from demucs import hf, states
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs
from torch import Tensor
from torch.overrides import TorchFunctionMode

#: Names that a file may refer to, and the objects that they become.
CLASSES = {
    "demucs.htdemucs.HTDemucs": HTDemucs,
    "demucs.hdemucs.HDemucs": HDemucs,
    "demucs.wdemucs.WDemucs": HDemucs,
    "demucs.demucs.Demucs": Demucs,
}

#: Limits for numbers, strings and lists in arguments; those of published files are far smaller.
LARGEST, LONGEST_TEXT, LONGEST_LIST = 1e6, 64, 64

#: Maximum number of layers in an argument.
MOST_LAYERS = 64

_REMEDY = (
    "If you trust its author, allow it to run code: --trust-demucs-weights. Otherwise, download the published file:"
    " allin1 weights fetch htdemucs."
)


class _RefusedError(Exception):
    """The file needs more than tensors of one of Demucs' classes."""


@dataclass(frozen=True)
class _Package:
    """The content of a file: name of the class, arguments, tensors."""

    klass: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    state: dict[str, Any]


def read_network(content: bytes, name: str, *, trust: bool = False) -> Any:
    """Create the network that a file contains.

    Parameters
    ----------
    content
        The whole file.
    name
        Name of the file, which determines the format and is used in messages.
    trust
        Also load files that can execute arbitrary code.

    Raises
    ------
    WeightsError
        The file is damaged, or refused without `trust`.
    """
    is_safetensors = name.endswith(".safetensors")
    try:
        if trust:
            return _trusted(content, is_safetensors)
        package = _from_safetensors(content) if is_safetensors else _from_pickle(content)
        return _made(package, len(content))
    except _RefusedError as error:
        raise WeightsError(
            f"The Demucs model in this file cannot be loaded without trusting its author: {error}.",
            path=name,
            remedy=_REMEDY,
        ) from error
    except (Exception, SystemExit) as error:  # the readers may raise any error for a damaged file
        raise WeightsError(
            f"The Demucs model in this file cannot be loaded: {brief(error).rstrip('.')}.",
            path=name,
            remedy="Download it again.",
        ) from error


def _from_safetensors(content: bytes) -> _Package:
    from safetensors.torch import load

    metadata = _metadata(content)
    if "structure" in metadata:
        raise _RefusedError("its parameters are quantised, which is more than tensors")
    arguments = json.loads(metadata["args"]), json.loads(metadata["kwargs"])
    args, kwargs = (_with_fractions(one) for one in arguments)
    return _Package(metadata["klass"], tuple(args), dict(kwargs), dict(load(content)))


def _metadata(content: bytes) -> Mapping[str, str]:
    (length,) = struct.unpack_from("<Q", content)
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    missing = {"klass", "args", "kwargs"} - set(metadata)
    if missing:
        raise ValueError(f"it does not say {', '.join(sorted(missing))}")
    return dict(metadata)


def _with_fractions(value: Any) -> Any:
    """Replace records that represent fractions in JSON by fractions."""
    if isinstance(value, dict) and value.get("_type") == "fraction":
        return _fraction(value["numerator"], value["denominator"])
    if isinstance(value, dict):
        return {key: _with_fractions(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_fractions(item) for item in value]
    return value


class _Name:
    """A placeholder for a class of Demucs in a pickle, which cannot be instantiated."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *_: object) -> None:
        raise _RefusedError(f"it calls {self.name}")


def _from_pickle(content: bytes) -> _Package:
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 6):
        raise _RefusedError("PyTorch before 2.6 cannot read a pickle without executing it")
    allowed = [(_Name(name), name) for name in CLASSES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.serialization.safe_globals([*allowed, (_fraction, "fractions.Fraction")]):
                package = torch.load(io.BytesIO(content), "cpu", weights_only=True)
        except Exception as error:
            text = str(error)
            if "weights_only" in text or "Weights only" in text or "WeightsUnpickler" in text:
                raise _RefusedError(_what_it_wants(content)) from error
            raise
    if not isinstance(package, dict) or not {"klass", "args", "kwargs", "state"} <= set(package):
        raise ValueError("it is not a model as Demucs saves them")
    klass = package["klass"]
    if not isinstance(klass, _Name):
        raise _RefusedError("it does not name a class of Demucs")
    if not isinstance(package["state"], Mapping) or package["state"].get("__quantized"):
        raise _RefusedError("its parameters are quantised, which is more than tensors")
    return _Package(
        klass.name, tuple(package["args"]), dict(package["kwargs"]), dict(package["state"])
    )


def _what_it_wants(content: bytes) -> str:
    """Describe the classes and functions in a pickle that are not allowed."""
    plain = "it is a pickle of more than tensors and plain values"
    try:
        wanted = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content))
    except Exception:
        return plain
    names = sorted(set(wanted) - set(CLASSES) - {"fractions.Fraction"})
    return f"it is a pickle that calls {', '.join(names)}" if names else plain


def _fraction(*of: Any) -> Fraction:
    """Create a fraction from its representation in pickles and JSON, if its numbers are not too large."""
    parts = of[0].split("/") if len(of) == 1 and isinstance(of[0], str) else of
    if not 1 <= len(parts) <= 2 or any(len(str(part)) > 8 for part in parts):
        raise _RefusedError(f"it has {str(of)[:40]} for a fraction")
    return Fraction(*(int(part) for part in parts))


def _made(package: _Package, size: int) -> Any:
    """Check the content of a file, and create the network."""
    klass = CLASSES.get(package.klass)
    if klass is None:
        raise _RefusedError(f"it names {package.klass[:100]}, which is not a class of Demucs")
    signature = inspect.signature(klass)
    # Demucs also drops arguments that its class no longer has.
    kwargs = {k: value for k, value in package.kwargs.items() if k in signature.parameters}
    for name, value in signature.bind(*package.args, **kwargs).arguments.items():
        _check_argument(value)
        counts = "depth" in name or "layers" in name
        if counts and not (isinstance(value, int) and value <= MOST_LAYERS):
            raise _RefusedError(f"it has {value} for {name}")
    for name, tensor in package.state.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise _RefusedError("its parameters are not tensors by name")
    # Check the shapes before memory is allocated. Nor is any time spent on initial values, which would be overwritten:
    # those of a published network take a second.
    with torch.device("meta"), _WithoutInitialValues():
        model = klass(*package.args, **kwargs)
    wanted = model.state_dict()
    shapes = {name: tensor.shape for name, tensor in wanted.items()}
    if {name: tensor.shape for name, tensor in package.state.items()} != shapes:
        raise ValueError(f"its tensors are not those of {package.klass} with its arguments")
    if sum(shape.numel() for shape in shapes.values()) > size:
        raise ValueError("it has more parameters than bytes")
    if _has_other_tensors(model):
        model = klass(*package.args, **kwargs)
    # Copied, because tensors of a file may share memory, and may be in half precision.
    state = {
        name: torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu").copy_(package.state[name])
        for name, tensor in wanted.items()
    }
    # Not a class's own method, which renames tensors of older files: the names have been checked.
    torch.nn.Module.load_state_dict(model, state, assign=True)
    return model


#: Names of the functions that Demucs' constructors compute initial values with: those that fill a tensor, and those of which
#: the result has the shape of the first argument.
_FILLING = {
    "normal_",
    "uniform_",
    "kaiming_uniform_",
    "constant_",
    "fill_",
    "zero_",
    "mul_",
    "div_",
}
_SAME_SHAPE = {"cumsum", "sqrt", "div", "pow"}


class _WithoutInitialValues(TorchFunctionMode):
    """Within the block, no initial values are computed on the meta device, where there are none.

    For some of these functions, PyTorch would import its compiler and SymPy, which takes two seconds.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call `func`, or return a tensor like its result."""
        given, name = kwargs or {}, getattr(func, "__name__", "")
        if func is torch.arange and not given and all(isinstance(each, int) for each in args):
            return torch.empty(len(range(*args)), dtype=torch.int64, device="meta")
        tensor = given["tensor"] if "tensor" in given else args[0] if args else None
        if isinstance(tensor, Tensor) and tensor.is_meta:
            if name in _FILLING:
                return tensor
            if name in _SAME_SHAPE:
                return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
            if func is Tensor.std and len(args) == 1 and not given:
                return torch.empty((), dtype=tensor.dtype, device="meta")
        return func(*args, **given)


def _has_other_tensors(model: torch.nn.Module) -> bool:
    """Whether a network has tensors that its state does not contain, such as the masks of sparse attention."""
    known = {id(tensor) for tensor in model.state_dict(keep_vars=True).values()}
    return any(
        isinstance(value, torch.Tensor) and id(value) not in known
        for module in model.modules()
        for value in (
            *vars(module).values(),
            *module._parameters.values(),
            *module._buffers.values(),
        )
    )


def _check_argument(value: Any, depth: int = 2) -> None:
    """Refuse values that are not plain, or larger than any published one."""
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, (int, float, Fraction)):
        if math.isfinite(value) and abs(float(value)) <= LARGEST:
            return
    elif isinstance(value, str):
        if len(value) <= LONGEST_TEXT:
            return
    elif isinstance(value, (list, tuple)) and len(value) <= LONGEST_LIST and depth:
        for item in value:
            _check_argument(item, depth - 1)
        return
    raise _RefusedError(f"it has {str(value)[:40]!r} for an argument")


def _trusted(content: bytes, is_safetensors: bool) -> Any:
    """Load a file as Demucs does, which may execute code in it."""
    if not is_safetensors:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return states.load_model(torch.load(io.BytesIO(content), "cpu", weights_only=False))
    from safetensors.torch import load

    metadata, state = _metadata(content), load(content)
    if "structure" in metadata:
        state = hf._unflatten_state(state, json.loads(metadata["structure"]))
    module, _, name = metadata["klass"].rpartition(".")
    return states.load_model(
        {
            "klass": getattr(importlib.import_module(module), name),
            "args": hf._decode_json(json.loads(metadata["args"])),
            "kwargs": hf._decode_json(json.loads(metadata["kwargs"])),
            "state": state,
        }
    )
