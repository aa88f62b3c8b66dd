# mypy: allow-untyped-defs
"""Instructions by which threads share memory and compiled code.

An atomic instruction reads and writes a number as one step for all threads. A thread that reads the
number then also finds written what the thread that wrote it had written before.
"""

import platform

from llvmlite import ir
from numba import types
from numba.core import cgutils, targetconfig
from numba.core.callconv import RETCODE_USEREXC, Status
from numba.extending import intrinsic

from tinygen_kernels.cpu.compiled import PartCompiler

_address = ir.IntType(64)
_code = ir.FunctionType(_address, [_address, _address])
# The processor's instruction for a loop that waits, and its argument.
_ARM = "llvm.aarch64.hint", [ir.IntType(32)(1)]
_WAIT = {"x86_64": ("llvm.x86.sse2.pause", []), "AMD64": ("llvm.x86.sse2.pause", []), "aarch64": _ARM, "arm64": _ARM}


def _place(context, builder, signature, values):
    data = context.make_array(signature.args[0])(context, builder, values[0]).data
    return builder.gep(data, [values[1]])


def _changing(operation):
    @intrinsic
    def change(_typing, array, index, number):
        def lower(context, builder, signature, values):
            return builder.atomic_rmw(operation, _place(context, builder, signature, values), values[2], "seq_cst")

        return types.int64(array, types.int64, types.int64), lower

    return change


# (array, index, number): array[index] += number, or = number; returns what was there before.
add_atomically, exchange = _changing("add"), _changing("xchg")


@intrinsic
def read_atomically(_typing, array, index):
    def lower(context, builder, signature, values):
        return builder.load_atomic(_place(context, builder, signature, values), "acquire", 8)

    return types.int64(array, types.int64), lower


@intrinsic
def relax(_typing):
    """Wait for some 10 to 100 cycles, in which the core is free for its other threads."""

    def lower(context, builder, _signature, _values):
        name, arguments = _WAIT.get(platform.machine(), ("llvm.donothing", []))
        kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)
        return context.get_dummy_value()

    return types.none(), lower


def code_of(function):
    """A compiled function of a tuple: the addresses of code that calls function(thread, *tuple), and of the tuple.

    The tuple remains there until the function that asked returns.
    """

    @intrinsic
    def addresses(_typing, arguments):
        def lower(context, builder, signature, values):
            code = _compile(context, builder, function, signature.args[0])
            both = code, cgutils.alloca_once_value(builder, values[0])
            return context.make_tuple(builder, signature.return_type, [builder.ptrtoint(each, _address) for each in both])

        return types.UniTuple(types.int64, 2)(arguments), lower

    return addresses


def _compile(context, builder, function, arguments):
    """Append code that takes a tuple's address and a thread's number, and returns the exception's address, or 0."""
    code = ir.Function(builder.module, _code, builder.module.get_unique_name(function.__name__))
    code.linkage = "internal"
    code.attributes.add("noinline")  # or the kernel would be compiled again in the thread that launches it
    inside = ir.IRBuilder(code.append_basic_block())
    packed = inside.load(inside.inttoptr(code.args[0], context.get_value_type(arguments).as_pointer()))
    signature = types.none(types.int64, *arguments.types)
    flags = targetconfig.ConfigStack().top().copy()
    # Numba's `compile_subroutine` would take the functions of two kernels with the same parameters for one.
    compiler = PartCompiler(context.typing_context, context, None, signature.args, signature.return_type, flags, {})
    compiled = compiler.compile_extra(function)
    context.active_code_library.add_linking_library(compiled.library)
    status, _ = context.call_internal_no_propagate(
        inside, compiled.fndesc, signature, [code.args[1], *cgutils.unpack_tuple(inside, packed)]
    )
    exception = inside.ptrtoint(status.excinfoptr, _address)
    inside.ret(inside.select(status.is_error, exception, _address(0)))
    return code


@intrinsic
def call(_typing, code, packed, thread):
    """Call the code at an address of `code_of`, with the address of the tuple: the exception's address, or 0."""

    def lower(_context, builder, _signature, values):
        return builder.call(builder.inttoptr(values[0], _code.as_pointer()), values[1:])

    return types.int64(types.int64, types.int64, types.int64), lower


@intrinsic
def throw(_typing, exception):
    """Raise the exception at the address that `call` has returned."""

    def lower(context, builder, _signature, values):
        pointer_type = context.call_conv._get_excinfo_argument(builder.function).type.pointee
        unknown = dict.fromkeys(Status._fields)
        status = Status(**unknown | {"code": RETCODE_USEREXC, "excinfoptr": builder.inttoptr(values[0], pointer_type)})
        with builder.if_then(builder.icmp_signed("!=", values[0], _address(0))):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.none(types.int64), lower
