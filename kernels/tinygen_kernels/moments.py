"""What follows from the sums of each channel: over a batch whose rows several processes share, and in
groups of channels."""

from tinygen_kernels import Array, Average, array_module


def of_all(mean: Array, var: Array, over_all: Average | None) -> tuple[Array, Array]:
    """Mean and variance over all rows of a batch, of those over the rows of this process.

    By var = E[x^2] - E[x]^2, in float64: it loses 2 log10(|mean| / deviation) of 16 digits.
    """
    if over_all is None:
        return mean, var
    exact = mean.astype("float64")
    mean, square = over_all(array_module(mean).stack([exact, var + exact**2]))
    return mean, array_module(mean).maximum(square - mean**2, 0)


def sums_of_all(first: Array, second: Array, over_all: Average | None) -> tuple[Array, Array]:
    """The means over all processes of two sums over gradients, each of which is that of the process's own loss."""
    if over_all is None:
        return first, second
    first, second = over_all(array_module(first).stack([first, second]))
    return first, second


def of_groups(mean: Array, var: Array, groups: int) -> tuple[Array, Array]:
    """Mean and variance of each group of channels, of those of each channel. All are (N, C)."""
    of_group = _means(mean, groups)
    return of_group, _means(var + (mean - of_group) ** 2, groups)


def gradients_of_groups(
    g_sums: Array, products: Array, gamma: Array, inverse: Array, groups: int, count: int
) -> tuple[tuple[Array, Array, Array], Array, Array]:
    """Group norm's gradients, of the sums of g and of g (x - mean) over the `count` pixels of each channel of an example.

    Returns scale, offset and factor in g_x = scale g + offset + factor (x - mean), each (N, C), and the
    gradients of gamma and beta. inverse is 1 / sqrt(var + eps).
    """
    products = products * inverse
    means, means_of_products = (_means(gamma * sums, groups) / count for sums in (g_sums, products))
    constants = inverse * gamma, -inverse * means, -(inverse**2) * means_of_products
    return constants, products.sum(axis=0), g_sums.sum(axis=0)


def _means(values: Array, groups: int) -> Array:
    """In the place of each number its group's mean: (N, C) -> (N, C)."""
    size = values.shape[1] // groups
    return values.reshape(len(values), groups, size).mean(axis=2).repeat(size, axis=1)
