"""Could I have written it? The course: lessons in which a reader writes parts of tinygen, and their checks.

The lessons are `examples/learn/NN_title.py`: scripts that check themselves, and notebooks in any
editor that knows the percent format. `examples/learn/answers/` has a solution of each exercise and the
ideas that are often tried instead.

exercise.py   an exercise, and how a function is judged: what is wrong is said as an idea
lesson.py     a lesson file, its exercises, and `check`, which a learner's file calls
prediction.py `predict`: what is asked before it is computed; `show`: what is printed without a question
course.py     the folder of a learner: start, list, check, hint, solution, watch
judged.py     a check in a process of its own, with limits; the table of a class
plugin.py     tinygen's tests on a learner's code
command.py    the command `tinygen learn`
quiz.py       twelve questions whose answers are computed
threads.py    a GPU in a few lines, which tells races, for the lessons on its kernels
ring.py       machines in a ring, simulated or as processes, for the lesson on two machines
"""

from tinygen.learn.exercise import Exercise
from tinygen.learn.lesson import check
from tinygen.learn.prediction import predict, show

__all__ = ["Exercise", "check", "predict", "show"]
