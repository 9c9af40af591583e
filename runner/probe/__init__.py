"""What the first minutes of a long run find out: which of the ways that the lock allows is quickest and fits.

Ways differ in the micro-batch (with the accumulation that keeps a step's rows) and in whether layers are computed twice. They are
tried in a process of its own, so that nothing of it is left in the training: no memory, no random numbers. The choice is written
beside the checkpoints before the first step and kept for good; only a way that ran out of memory is given up for a smaller one.

    ways.py     the ways of a lock, in the order in which they are tried
    choice.py   probe.json, the choice; probe-trials.jsonl, what was tried so far
    decide.py   starts the trials, watches their time, chooses
    trials.py   `python -m runner.probe.trials`: the process
    steps.py    one way on the real model: its longest rows once, then usual ones
"""
