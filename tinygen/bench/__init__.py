"""`python -m tinygen.bench`: how fast the kernels are, beside plain NumPy, PyTorch and what the machine can do.

command.py          the options, and what is printed
protocol.py         how a time is taken
layers.py           the convolutions that are timed, and how much work they are
kernels.py          every engine's kernels for a layer: checked against each other, then timed
torch_kernels.py    PyTorch's kernels for the same layer
peak.py             what the machine can do: multiply-adds and bytes per second, and from core to core
roofline.py         the kernels under that roof, as an SVG
scaling.py          times as the batch, the side, the channels and the threads grow, beside PyTorch
chart.py            parts of pictures with logarithmic scales
ladder.py           from seven loops to the register tile: how fast each rung is, and what it reads and writes
counted.py          an array that counts what is read from it and written to it
ladder_cuda.py      the same for a GPU: how fast each rung is, or without a GPU, what its warps read and write
warps.py            arrays that count what warps of the simulator read and write
own.py              a kernel of one's own on that ladder
processes.py        a training step on several processes, and what the network allows with many
timeline.py         such a step over time, as an SVG: what each process computes, what is on its way, where it waits
steps.py            whole training steps of the examples, in tinygen and PyTorch
torch_steps.py      the examples' models and steps in PyTorch
"""
