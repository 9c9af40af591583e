"""Overlays built with the real kustomize, and what it builds checked.

`kustomize` runs the program, many overlays at a time; `documents` reads its output; `schemas` holds the Kubernetes API
schemas of every supported minor; `facts` checks what no schema says (security, Argo CD's annotations); `check` puts them
together; `setup` gets the program where PATH has none.
"""
