"""Machines in a ring, each of which sends to the next one: simulated here, or processes with pipes between them.

What a machine says to the others is a generator: `received = yield sent` sends an array to the next
machine, and receives what the one before has sent. Its result is what it returns.
"""

import multiprocessing
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection
from typing import Any

import numpy

Talk = Generator[Any, Any, Any]
SECONDS = 60  # in which the processes must have ended


class Broken(Exception):
    """Machines that do not talk to each other."""


def simulated(program: Callable[..., Talk], arrays: list[numpy.ndarray]) -> tuple[list[Any], list[int]]:
    """Run program(x, rank, size) for each array x. Returns the results, and how many numbers each machine has sent.

    Raises Broken where one machine has ended and another one has not, where one sends what is not an
    array, and where program is not a generator.
    """
    size = len(arrays)
    machines = [program(x, rank, size) for rank, x in enumerate(arrays)]
    if not all(isinstance(machine, Generator) for machine in machines):
        raise Broken("it has no yield, so nothing is sent: received = yield sent")
    received, sent, counts = [None] * size, list[Any](), [0] * size
    while True:
        results, sent = dict[int, Any](), []
        for rank, machine in enumerate(machines):
            try:
                message = machine.send(received[rank])
                if not isinstance(message, numpy.ndarray):
                    raise Broken(f"machine {rank} sends {kind(message)}, and not an array")
                sent.append(message.copy())  # as a wire makes one
                counts[rank] += message.size
            except StopIteration as end:
                results[rank] = end.value
        if len(results) == size:
            return list(results.values()), counts
        if results:
            waiting = min(set(range(size)) - set(results))
            raise Broken(f"of {size} machines, {waiting} goes on to send, and {min(results)} has ended already")
        received = [sent[rank - 1] for rank in range(size)]


def kind(value: Any) -> str:
    """What a value is, in a word or two."""
    return "None" if value is None else f"a {type(value).__name__}"


def in_processes(work: Callable[[int, int, Callable[[Talk], Any]], Any], size: int) -> list[Any]:
    """[work(rank, size, run) for each rank], each in a process of its own; run(talk) gives the talk's result.

    `work` must be a function of a file, which the processes read anew. Raises what the work of one
    raises, and Broken if they have not ended after a minute.
    """
    context = multiprocessing.get_context("spawn")
    links, answers = ([context.Pipe(duplex=False) for _ in range(size)] for _ in range(2))
    ends = [(links[rank - 1][0], links[rank][1], answers[rank][1]) for rank in range(size)]
    processes = [context.Process(target=_run, args=(work, rank, size, *ends[rank])) for rank in range(size)]
    try:
        for process in processes:
            process.start()
        for end in (end for own in ends for end in own):
            end.close()  # so that a process that ends is missed
        results = [_answer(reader) for reader, _ in answers]
    finally:
        for process in processes:
            process.kill()
            process.join()
    failures = [result for result in results if isinstance(result, Exception)]
    if failures:
        # Its neighbours only tell that nobody is at the other end of a pipe.
        raise next((error for error in failures if not isinstance(error, EOFError | ConnectionError)), failures[0])
    return results


def _answer(reader: Connection) -> Any:
    try:
        return reader.recv() if reader.poll(SECONDS) else Broken(f"a process has not ended after {SECONDS} seconds")
    except EOFError:
        return Broken("a process has ended without a result: run the lesson as a script, which the processes can read")


def _run(work: Callable[..., Any], rank: int, size: int, left: Connection, right: Connection, answer: Connection) -> None:
    def run(talk: Talk) -> Any:
        received = None
        while True:
            try:
                sent = talk.send(received)
            except StopIteration as end:
                return end.value
            if rank % 2:  # where all send first, and the pipes are full, nobody receives
                received = left.recv()
            right.send(sent)
            if rank % 2 == 0:
                received = left.recv()

    try:
        answer.send(work(rank, size, run))
    except Exception as error:
        answer.send(error)
