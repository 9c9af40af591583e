"""Overlays built with the real kustomize, and what it builds checked.

`kustomize` runs the program, many overlays at a time, and `documents` reads its output; `kustomizer` does the same with a
program of our own, which stays warm and which `gobuild` builds where there is Go; `schemas` holds the Kubernetes API
schemas of every supported minor; `facts` checks what no schema says (security, Argo CD's annotations); `check` puts them
together; `setup` gets the program where PATH has none.
"""
