"""`python -m tinygen`: the program `tinygen`."""

from tinygen.commands.program import run

if __name__ == "__main__":
    run()
