"""Experiments from elsewhere.

`board` flattens what LLaMA Board saves of its form; `convert` turns LLaMA Factory's arguments into a `draft`, with `naming`
for its model and data; `catalogue` and `defaults` choose what is left open; `text` and `write` make the file.
"""
