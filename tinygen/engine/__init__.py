"""How gradients are found. Read in this order:

tensor.py     an array that knows which function computed it
function.py   one node of the graph: a forward and a backward
backward.py   the walk from the outputs back to the inputs
grad.py       what a program asks for: grad() and Tensor.backward()
fused.py      functions with a kernel for their gradient
mode.py       the state of the engine in one thread: whether it records, who listens
listeners.py  how a program hears which function, backward or layer runs
anomaly.py    the listener that finds the first value that is not finite
methods.pyi   the methods that functional/ binds to Tensor, for type checkers
errors.py     what the engine says when something is wrong
"""
