"""Repeatable benchmarks beside what a user would pick instead: `make bench`, or `python -m bench [NAME...] [--quick]`.

`measure` runs a program and takes its CPU time and peak memory from the kernel; `corpus` writes repositories of any size;
`programs/` holds the alternatives that are libraries; the other modules are one benchmark each and are listed in
`registry`; `table` prints what they found. Last figures: docs/benchmarks.md.
"""
