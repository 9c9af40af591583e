"""`make gpu-check`: how fast this machine's GPU trains with the platform's settings, and whether the plan foresaw it.

settings.py   models of random weights, and the settings that are compared
machine.py    the GPU's name, memory and the speed of its matrix products
base.py       a program: writes a model of random weights
product.py    a program: times a matrix product
repository.py a small platform repository over a scratch storage: model, rows, one experiment for each setting
training.py   one setting through `python -m runner train`, read from its events
checks.py     resume, merge, and what as-written and auto learn
table.py      the Markdown
"""
