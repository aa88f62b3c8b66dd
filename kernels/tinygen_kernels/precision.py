"""Whether matrix products on a GPU may round their factors."""

_tf32 = False


def allow_tf32(allowed: bool) -> None:
    """Let tensor cores compute convolutions and matrix products of float32 arrays on a GPU.

    By default they do not. They multiply in TF32: each factor is rounded to 10 bits of mantissa
    instead of 23, by at most 2^-11 or 5e-4 of itself, so a product is off by at most 1e-3 of
    itself. The sums are float32. By their data sheets, an A100 or H100 does seven to eight times as
    many multiply-adds in TF32 as in float32. Reading the arrays takes as long as before, so large
    products gain most.

    The first product on a GPU compares its tensor cores with the float32 kernel. If it has none for
    TF32 (they need compute capability 8.0), or if they differ by more than the rounding, a warning
    says so and the products stay in float32. float64 arrays and arrays on a CPU are never rounded.
    """
    global _tf32
    _tf32 = allowed


def tf32_allowed() -> bool:
    return _tf32
