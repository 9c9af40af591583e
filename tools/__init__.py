"""The command `ft`: what a merge request, its pipeline and the platform's bot do with experiments.

The phases, in the order of an experiment's life, and where each lives:

1. read      `yamlsource` turns hostile text into data with positions; `formats` holds one definition per file kind
2. validate  `rules` (one idea each) yield findings, `reporters` print them; neither knows the other
3. plan      `plan` estimates steps, tokens, memory, disk and quota of a run before it costs anything
4. expand    `resolve` makes the lock, `expand` the overlay that is a pure function of it
5. run       Argo CD applies the overlay; `localrun` runs the very same manifests on one machine

Everything here is light: no torch, transformers or mlflow, so that a pipeline starts in a fraction of a second.
"""
