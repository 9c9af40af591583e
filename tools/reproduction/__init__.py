"""`ft reproduce`: a run again, from git and storage, into a folder of its own, and in what the two differ.

`source` finds the lock, in overlays/ or in git's history; `proof` reads completion.json; `inputs` compares base model, data,
versions and image before anything is trained; `rerun` trains as `ft run` does; `tensors` compares the weights (in the runner's
environment); `outcome` puts it together and `text` says it.
"""
