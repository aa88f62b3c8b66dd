"""Rung 1, the idea: a convolution is a sum of products.

Output pixel (i, j) of image n has K numbers. Number k is the sum, over the taps (a, b) of the kernel
and the channels c of the image, of a pixel's number times a weight. Tap (a, b) of output pixel (i, j)
meets the input pixel (p, q):

    y[n, i, j, k] = sum over a, b, c of x[n, p, q, c] w[a, b, c, k]
    p = i stride + a dilation,    q = j stride + b dilation

Seven loops say just this. Python interprets every one of these lines anew each time: it looks up
types, makes an object for each number, and does one multiplication in about a microsecond. The
processor itself starts a multiplication in less than a nanosecond.
"""

from tinygen_kernels import Array, Pair


def convolve(x: Array, w: Array, stride: Pair, dilation: Pair, y: Array) -> None:
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for k in range(y.shape[3]):
                    for a in range(w.shape[0]):
                        for b in range(w.shape[1]):
                            for c in range(w.shape[2]):
                                p = i * stride[0] + a * dilation[0]
                                q = j * stride[1] + b * dilation[1]
                                y[n, i, j, k] += x[n, p, q, c] * w[a, b, c, k]
