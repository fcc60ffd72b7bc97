"""A mypy plugin that checks functions marked with ``hookimpl`` against the hooks that the core calls.

::

    [tool.mypy]
    plugins = ["allin1_core.mypy_plugin"]

Errors with the code ``allin1-hook`` are reported for a hook that does not exist (unless it is marked with
``hookimpl(optionalhook=True)``), an argument that the hook does not have or that has a different type, and a different
return type. Backends are checked by the stage in their annotation: ``Backend[Nn]`` is rejected for ``allin1_demix``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from allin1_core.text import did_you_mean

if TYPE_CHECKING:
    from mypy.nodes import FuncDef, ImportBase, MypyFile
    from mypy.plugin import MethodContext, Plugin
    from mypy.types import CallableType, Type

_SPECS = "allin1_core.hookspecs"
_MARKERS = "allin1_core.markers"

#: The types of ``hookimpl(…)`` in mypy, and whether they allow unknown hooks.
_WITH_OPTIONS = {f"{_MARKERS}.Hookimpl": False, f"{_MARKERS}.OptionalHookimpl": True}


def plugin(version: str) -> type[Plugin]:
    """The entry point that mypy calls."""
    from mypy.errorcodes import ErrorCode
    from mypy.messages import format_type
    from mypy.nodes import FuncDef, NameExpr, TypeInfo
    from mypy.plugin import Plugin
    from mypy.subtypes import is_subtype
    from mypy.types import CallableType, Instance, NoneType, UnionType, get_proper_type

    code = ErrorCode("allin1-hook", "Check implementations of allin1's hooks", "allin1")

    def check(context: MethodContext, is_optional: bool) -> None:
        found = get_proper_type(context.arg_types[0][0])
        if not isinstance(found, CallableType) or not isinstance(found.definition, FuncDef):
            return
        function = found.definition
        specs = _hooks_of(context.api.modules[_SPECS])  # type: ignore[attr-defined]

        def fail(message: str) -> None:
            context.api.fail(message, function, code=code)

        if function.name not in specs:
            if not is_optional:
                meant = did_you_mean(function.name, specs)
                fail(f"There is no hook {function.name}. {meant}".rstrip())
            return
        spec = specs[function.name]
        wanted = dict(zip(spec.arg_names, spec.arg_types, strict=True))
        for name, kind in zip(_arguments(found, function), _types(found, function), strict=True):
            if name not in wanted:
                names = ", ".join(str(one) for one in spec.arg_names[1:]) or "none"
                fail(f"Hook {function.name} has no argument {name}; it has: {names}")
            elif not is_subtype(wanted[name], kind):
                given = format_type(wanted[name], context.api.options)
                fail(f"Argument {name} of hook {function.name} is {given}")
        if isinstance(get_proper_type(spec.ret_type), NoneType):
            return
        if not is_subtype(found.ret_type, UnionType([spec.ret_type, NoneType()])):
            given = format_type(found.ret_type, context.api.options)
            asked = format_type(spec.ret_type, context.api.options)
            fail(f"Hook {function.name} returns {given}; wanted {asked}")

    def marked(context: MethodContext) -> Type:
        if context.arg_types and context.arg_types[0]:
            check(context, is_optional=False)
            return context.default_return_type
        names = dict(zip(context.callee_arg_names, context.args, strict=True))
        value = next(iter(names.get("optionalhook") or ()), None)
        is_optional = isinstance(value, NameExpr) and value.name == "True"
        kind = "OptionalHookimpl" if is_optional else "Hookimpl"
        markers: MypyFile = context.api.modules[_MARKERS]  # type: ignore[attr-defined]
        node = markers.names[kind].node
        assert isinstance(node, TypeInfo)
        return Instance(node, [])

    def marked_with_options(is_optional: bool) -> Callable[[MethodContext], Type]:
        def check_one(context: MethodContext) -> Type:
            check(context, is_optional=is_optional)
            return context.default_return_type

        return check_one

    class HookPlugin(Plugin):
        def get_additional_deps(self, file: MypyFile) -> list[tuple[int, str, int]]:
            if not any(_imports_marker(one) for one in file.imports):
                return []
            return [(10, _SPECS, -1), (10, _MARKERS, -1)]

        def get_method_hook(self, fullname: str) -> Callable[[MethodContext], Type] | None:
            # The module's name differs among versions of pluggy.
            if fullname.startswith("pluggy.") and fullname.endswith(".HookimplMarker.__call__"):
                return marked
            kind = fullname.removesuffix(".__call__")
            if kind in _WITH_OPTIONS:
                return marked_with_options(_WITH_OPTIONS[kind])
            return None

    return HookPlugin


def _imports_marker(statement: ImportBase) -> bool:
    """Whether an import makes ``hookimpl`` available in a module."""
    from mypy.nodes import Import, ImportFrom

    if isinstance(statement, ImportFrom):
        return any(name == "hookimpl" for name, _ in statement.names)
    return isinstance(statement, Import) and any(
        name.startswith("allin1_core") for name, _ in statement.ids
    )


def _hooks_of(module: MypyFile) -> dict[str, CallableType]:
    """Types of the hooks by name, as the classes of specifications declare them."""
    from mypy.nodes import Decorator, TypeInfo
    from mypy.types import CallableType

    hooks: dict[str, CallableType] = {}
    for symbol in module.names.values():
        members = symbol.node.names if isinstance(symbol.node, TypeInfo) else {}
        for name, member in members.items():
            if name.startswith("allin1_") and isinstance(member.node, Decorator):
                kind = member.node.func.type
                assert isinstance(kind, CallableType)
                hooks[name] = kind
    return hooks


def _arguments(found: CallableType, function: FuncDef) -> list[str | None]:
    """Names of the arguments, without ``self``."""
    return found.arg_names[1 if function.info else 0 :]


def _types(found: CallableType, function: FuncDef) -> list[Type]:
    return found.arg_types[1 if function.info else 0 :]
