"""Homework: from a master notebook to students, and back to points.

* `notebooks`, `release`: masters with solutions, what students get of them, and the proof that both work.
* `submissions`, `grading`, `judge`, `feedback`: whose work it is, a class in a table, one submission, its page.
* `isolation`: a submission's own process, its walls, which are bubblewrap's, and what may cross them.
* `held_out`: music that no student has.
* `board`: a leaderboard without a server.
* `commands`: ``mclass grade``, ``mclass submit`` and ``mclass held-out``.

The design in one sentence: a submission's code runs in one process and the tests in another, and only numbers and
text pass between them, so that there is nothing in a submission's reach that says how many points it has.

The chapter on homework tells how to use it, and what it does not protect from.
"""
