"""17: gradient steps of two players turn round the solution, and a penalty on the slope leads to it."""

import numpy

from tinygen.learn import Exercise


def step(theta, psi, real, rate):
    return theta + rate * psi, psi + rate * (real - theta)


def turns(theta, psi, real, rate):
    psi = psi + rate * (real - theta)
    return theta + rate * psi, psi


def penalised(theta, psi, real, rate, weight):
    return theta + rate * psi, psi + rate * (real - theta - weight * psi)


def by_matrix(theta, psi, real, rate):
    return tuple(numpy.array([[1, rate], [-rate, 1]]) @ [theta, psi] + [0, rate * real])


def by_complex(theta, psi, real, rate):
    """theta - real + i psi is turned and stretched."""
    place = (theta - real + 1j * psi) * (1 - 1j * rate)
    return place.real + real, place.imag


def turns_by_matrix(theta, psi, real, rate):
    return tuple(numpy.array([[1 - rate**2, rate], [-rate, 1]]) @ [theta, psi] + [rate**2 * real, rate * real])


def turns_in_place(theta, psi, real, rate):
    psi += rate * (real - theta)
    theta += rate * psi
    return theta, psi


def decayed(theta, psi, real, rate, weight):
    return theta + rate * psi, (1 - rate * weight) * psi + rate * (real - theta)


def added(theta, psi, real, rate, weight):
    theta_next, psi_next = step(theta, psi, real, rate)
    return theta_next, psi_next - rate * weight * psi


def numbers(count):
    """Cases of random numbers, the last ones positive."""
    return lambda rng: [(*map(float, rng.normal(size=3)), *map(float, rng.uniform(0.1, 0.9, count - 3))) for _ in range(4)]


EXERCISES = [
    Exercise(
        "step",
        step,
        numbers(4),
        ideas={
            "these are turns: you give the generator the new psi. Both slopes are taken at the old place": turns,
            "these are turns, the generator first: you give the critic the new theta. Both slopes are taken at the old place": (
                lambda theta, psi, real, rate: (theta + rate * psi, psi + rate * (real - theta - rate * psi))
            ),
            "the generator climbs V, too. dV/dtheta is -psi, and it goes down: theta + rate psi": lambda theta, psi, real, rate: (
                theta - rate * psi,
                psi + rate * (real - theta),
            ),
            "the critic goes down V, and it must climb": lambda theta, psi, real, rate: (theta + rate * psi, psi - rate * (real - theta)),
            "both go the wrong way: the critic climbs V, and the generator goes down": lambda theta, psi, real, rate: (
                theta - rate * psi,
                psi - rate * (real - theta),
            ),
            "the generator goes towards real itself. It does not know it: all it sees is the critic, and dV/dtheta = -psi": (
                lambda theta, psi, real, rate: (theta + rate * (real - theta), psi + rate * (real - theta))
            ),
            "the slope of V in psi is real - theta; the real data are missing": lambda theta, psi, real, rate: (
                theta + rate * psi,
                psi - rate * theta,
            ),
            "the slopes themselves are added: multiply them by rate": lambda theta, psi, real, rate: (theta + psi, psi + real - theta),
            "these are the steps alone: add them to theta and psi": lambda theta, psi, real, rate: (rate * psi, rate * (real - theta)),
            "the two are exchanged: theta comes first": lambda *case: step(*case)[::-1],
        },
        right=[by_matrix, by_complex],
        hints=[
            "V = psi (real - theta). What is its slope in psi, and what in theta?",
            "dV/dpsi = real - theta, and dV/dtheta = -psi. The critic adds, the generator subtracts.",
            "return theta + rate * psi, psi + rate * (...)",
        ],
    ),
    Exercise(
        "turns",
        turns,
        numbers(4),
        ideas={
            "these are steps at once: let the generator use the new psi": step,
            "the generator goes first here: it is the critic's turn first": lambda theta, psi, real, rate: (
                theta + rate * psi,
                psi + rate * (real - theta - rate * psi),
            ),
            "after the generator the critic goes once more; each goes once": lambda theta, psi, real, rate: (
                (new := turns(theta, psi, real, rate))[0],
                new[1] + rate * (real - new[0]),
            ),
            "the generator goes twice, by the old psi and by the new one": lambda theta, psi, real, rate: turns(
                theta + rate * psi, psi + rate * rate * psi, real, rate
            ),
            "the generator climbs V, too. dV/dtheta is -psi, and it goes down: theta + rate psi": lambda theta, psi, real, rate: (
                theta - rate * (new := psi + rate * (real - theta)),
                new,
            ),
            "the critic goes down V, and it must climb": lambda theta, psi, real, rate: (
                theta + rate * (new := psi - rate * (real - theta)),
                new,
            ),
            "the new psi is only used by the generator, and not returned": lambda theta, psi, real, rate: (
                turns(theta, psi, real, rate)[0],
                psi,
            ),
            "the generator uses the critic's step, and not the new psi": lambda theta, psi, real, rate: (
                theta + rate * (rate * (real - theta)),
                psi + rate * (real - theta),
            ),
        },
        right=[turns_by_matrix, turns_in_place],
        hints=[
            "Two lines: first the new psi, by the old theta.",
            "The second line is the one of `step` for theta. Which psi is in it?",
            "psi = psi + rate * (real - theta), and then return theta + rate * psi, psi",
        ],
    ),
    Exercise(
        "penalised",
        penalised,
        numbers(5),
        ideas={
            "the penalty is not in the step: the slope of weight / 2 psi^2 is weight psi": lambda theta, psi, real, rate, weight: step(
                theta, psi, real, rate
            ),
            "the penalty is added to what the critic climbs, and makes it steeper: subtract it": lambda theta, psi, real, rate, weight: (
                penalised(theta, psi, real, rate, -weight)
            ),
            "the slope of psi^2 / 2 is psi: the 2 cancels": lambda theta, psi, real, rate, weight: penalised(
                theta, psi, real, rate, weight / 2
            ),
            "the slope of weight / 2 psi^2 is weight psi, without a 2": lambda theta, psi, real, rate, weight: penalised(
                theta, psi, real, rate, 2 * weight
            ),
            "you subtract the penalty itself; a step goes along its slope, weight psi": lambda theta, psi, real, rate, weight: (
                theta + rate * psi,
                psi + rate * (real - theta - weight / 2 * psi**2),
            ),
            "the penalty is not multiplied by rate: it is a part of what the critic climbs": lambda theta, psi, real, rate, weight: (
                theta + rate * psi,
                psi + rate * (real - theta) - weight * psi,
            ),
            "the generator is held back, and not the critic: theta is free": lambda theta, psi, real, rate, weight: (
                theta + rate * (psi - weight * theta),
                psi + rate * (real - theta),
            ),
            "both are held back. The penalty is the critic's alone": lambda theta, psi, real, rate, weight: (
                theta + rate * (psi - weight * theta),
                psi + rate * (real - theta - weight * psi),
            ),
            "these are turns: here both slopes are taken at the old place": lambda theta, psi, real, rate, weight: (
                theta + rate * (new := psi + rate * (real - theta - weight * psi)),
                new,
            ),
            "the penalty replaces what the critic wants: it also climbs V": lambda theta, psi, real, rate, weight: (
                theta + rate * psi,
                psi - rate * weight * psi,
            ),
        },
        right=[decayed, added],
        hints=[
            "Begin with `step`. Only what the critic climbs has a new term; what is its slope in psi?",
            "The slope of weight / 2 psi^2 is weight psi, and it is subtracted.",
            "The critic's new psi is psi + rate * (real - theta - ...).",
        ],
    ),
]
