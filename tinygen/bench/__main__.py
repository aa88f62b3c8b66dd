if __name__ == "__main__":  # the processes that a benchmark starts import this file too, and need nothing of it
    from tinygen.bench.command import command_line

    command_line()
