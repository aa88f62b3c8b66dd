"""How gradients are found. Read in this order:

tensor.py     an array that knows which function computed it
function.py   one node of the graph: a forward and a backward
backward.py   the walk from the outputs back to the inputs
fused.py      functions with a kernel for their gradient
mode.py       the switches: whether to record, whether to look for values that are not finite
errors.py     what the engine says when something is wrong
"""
