"""`python -m tinygen.evaluate RUN`, which is `tinygen evaluate RUN`: judge the generated images of a finished run."""

from tinygen.command_line import command_line
from tinygen.evaluation.evaluate import EvaluateOptions, main

if __name__ == "__main__":
    command_line(main, EvaluateOptions)
