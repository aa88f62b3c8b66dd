# mypy: allow-untyped-defs
"""Access to several consecutive elements at once, which Numba has no function for.

A thread moves up to 16 bytes with one instruction if their address is a multiple of 16: four
float32, or two times two float64. With fewer instructions for reading, most of the instructions in
the loop of a matrix product are multiplications. Indices here are multiples of the number of
elements. The simulator gets the same functions in plain Python.

    load2(array, i)                     returns two values
    load4(array, i)                     returns four values
    store4(array, i, v0, v1, v2, v3)    stores four values
    ALIGNMENT                           that a shared array needs for them; the simulator has none
"""

from numba import types

from tinygen_kernels.cuda.compiler import SIMULATED

ALIGNMENT = None if SIMULATED else 16

if SIMULATED:

    def _load(n):
        def load(array, i):
            assert i % n == 0 and i + n <= array.size, f"a load of {n} that is misaligned or too long"
            return tuple(array[i : i + n])

        return load

    def store4(array, i, v0, v1, v2, v3):
        assert i % 4 == 0 and i + 4 <= array.size, "a store of four that is misaligned or too long"
        array[i], array[i + 1], array[i + 2], array[i + 3] = v0, v1, v2, v3

else:
    from llvmlite import ir
    from numba.cuda.extending import intrinsic

    def _vector(context, builder, array_type, array, i, n):
        """The address of array[i] as a pointer to a vector of n elements."""
        wide = i if i.type.width == 64 else builder.zext(i, ir.IntType(64))
        element = builder.gep(context.make_array(array_type)(context, builder, array).data, [wide])
        vector = ir.VectorType(context.get_data_type(array_type.dtype), n)
        return builder.bitcast(element, vector.as_pointer(element.type.addrspace)), vector

    def _lane(j):
        return ir.Constant(ir.IntType(32), j)

    def _load(n):
        @intrinsic
        def load(typing_context, array, i):
            def generate(context, builder, signature, arguments):
                pointer, _ = _vector(context, builder, array, *arguments, n)
                vector = builder.load(pointer, align=4 * n)
                return context.make_tuple(builder, signature.return_type, [builder.extract_element(vector, _lane(j)) for j in range(n)])

            # The index of a loop is an int64. If it were narrowed here, LLVM could not fold it into
            # the address.
            index = types.int64 if i == types.int64 else types.uint32
            return types.UniTuple(array.dtype, n)(array, index), generate

        return load

    @intrinsic
    def store4(typing_context, array, i, v0, v1, v2, v3):
        def generate(context, builder, signature, arguments):
            pointer, vector_type = _vector(context, builder, array, *arguments[:2], 4)
            vector = ir.Constant(vector_type, ir.Undefined)
            for j in range(4):
                vector = builder.insert_element(vector, arguments[2 + j], _lane(j))
            builder.store(vector, pointer, align=16)
            return context.get_dummy_value()

        return types.void(array, types.uint32, *[array.dtype] * 4), generate


load2, load4 = _load(2), _load(4)
