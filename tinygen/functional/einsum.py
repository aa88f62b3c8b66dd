"""Sums of products, in the notation that names every axis by a letter."""

import math
from collections.abc import Iterable

from tinygen.backend import array_module
from tinygen.engine.tensor import Tensor
from tinygen.functional.linalg import matmul
from tinygen.functional.reduce import sum as sum_
from tinygen.functional.shape import broadcast_to, reshape, transpose

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def einsum(subscripts: str, *operands: Tensor) -> Tensor:
    """Products of elements, summed over the letters that are not in the result (Einstein, 1916).

        einsum("ik,kj->ij", a, b)        the product of matrices, a @ b
        einsum("bij,bjk->bik", a, b)     products of stacked matrices
        einsum("i,j->ij", a, b)          the outer product
        einsum("ij->ji", a)              the transpose
        einsum("ii->", a)                the trace
        einsum("...c->...", a)           sums over the last axis

    A letter names an axis of each operand that has it, "..." the axes in front, between or behind,
    which broadcast. Without "->" the result has the letters that occur once, in alphabetical order.
    Operands are contracted from left to right, each pair by one `matmul`. Raises ValueError where
    subscripts and operands do not agree.
    """
    terms, output, sizes = _parsed(subscripts, operands)
    xs = [_without_repeats(term, x) for term, x in zip(terms, operands, strict=True)]
    letters, y = xs[0]
    for i, (term, x) in enumerate(xs[1:], start=1):
        later = set(output).union(*(term for term, _ in xs[i + 1 :]))
        letters, y = _contracted(letters, y, term, x, later)
    letters, y = _summed(letters, y, set(output))
    return broadcast_to(transpose(y, [letters.index(letter) for letter in output]), tuple(sizes[letter] for letter in output))


def _parsed(subscripts: str, operands: tuple[Tensor, ...]) -> tuple[list[str], str, dict[str, int]]:
    """The letters of each operand and of the result, "..." made letters, and the size of each letter."""
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(operands):
        raise ValueError(f'einsum: "{subscripts}" takes {len(terms)} operands, got {len(operands)}')
    free = [letter for letter in _LETTERS if letter not in subscripts]
    spare = [x.ndim - len(term.replace("...", "")) for term, x in zip(terms, operands, strict=True)]
    dots = max([n for term, n in zip(terms, spare, strict=True) if "..." in term], default=0)
    named = [term.replace("...", "".join(free[dots - n : dots]) if n > 0 else "") for term, n in zip(terms, spare, strict=True)]
    if not arrow:
        joined = "".join(term.replace("...", "") for term in terms)
        output = "..." * ("..." in inputs) + "".join(sorted(letter for letter in set(joined) if joined.count(letter) == 1))
    result = output.replace("...", "".join(free[:dots]))
    sizes: dict[str, int] = {}
    for term, x in zip(named, operands, strict=True):
        if len(term) != x.ndim or not set(term) <= set(_LETTERS):
            raise ValueError(f'einsum: "{subscripts}" does not name the axes of an operand of shape {x.shape}, one letter for each')
        for letter, n in zip(term, x.shape, strict=True):
            if sizes.setdefault(letter, n) == 1 and letter in free:
                sizes[letter] = n
            if n != sizes[letter] and not (n == 1 and letter in free):
                raise ValueError(f'einsum: "{subscripts}": {letter} is {sizes[letter]} and {n}; shapes {[x.shape for x in operands]}')
    if len(set(result)) != len(result) or not set(result) <= set(sizes) or (dots and "..." not in output):
        raise ValueError(f'einsum: "{subscripts}": the result takes letters of the operands, each once, and "..." where they have it')
    return named, result, sizes


def _without_repeats(term: str, x: Tensor) -> tuple[str, Tensor]:
    """The diagonal along the axes that share a letter."""
    for letter in dict.fromkeys(term):
        while term.count(letter) > 1:
            first = term.index(letter)
            second = term.index(letter, first + 1)
            places = array_module(x.data).arange(x.shape[first])
            others = [axis for axis in range(x.ndim) if axis not in (first, second)]
            x = transpose(x, [first, second, *others])[places, places]
            term = letter + "".join(term[axis] for axis in others)
    return term, x


def _summed(letters: str, x: Tensor, kept: Iterable[str]) -> tuple[str, Tensor]:
    """x without the letters that are not kept."""
    axes = tuple(i for i, letter in enumerate(letters) if letter not in kept)
    return "".join(letter for letter in letters if letter in kept), sum_(x, axes) if axes else x


def _contracted(a_letters: str, a: Tensor, b_letters: str, b: Tensor, later: set[str]) -> tuple[str, Tensor]:
    """The product of two operands, summed over the letters that are not needed later, by one matmul."""
    a_letters, a = _summed(a_letters, a, later.union(b_letters))
    b_letters, b = _summed(b_letters, b, later.union(a_letters))
    shared = [letter for letter in a_letters if letter in b_letters]
    stack, inner = [x for x in shared if x in later], [x for x in shared if x not in later]
    rows = [x for x in a_letters if x not in shared]
    columns = [x for x in b_letters if x not in shared]
    left = _as_matrices(a_letters, a, stack, rows, inner)
    right = _as_matrices(b_letters, b, stack, inner, columns)
    y = matmul(left, right)
    sizes = [*(a.shape[a_letters.index(x)] for x in rows), *(b.shape[b_letters.index(x)] for x in columns)]
    return "".join(stack + rows + columns), reshape(y, (*y.shape[:-2], *sizes))


def _as_matrices(letters: str, x: Tensor, stack: list[str], rows: list[str], columns: list[str]) -> Tensor:
    """x as (*stack, rows, columns): the axes of rows in one, and those of columns."""
    x = transpose(x, [letters.index(letter) for letter in stack + rows + columns])
    shape, i, j = x.shape, len(stack), len(stack) + len(rows)
    return reshape(x, (*shape[:i], math.prod(shape[i:j]), math.prod(shape[j:])))
