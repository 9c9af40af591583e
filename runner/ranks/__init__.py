"""Several processes that train one run: one for each GPU of a pod, and one pod for each node.

`world` says how many there are and where they meet; `supervisor` is what `python -m runner train` becomes: it starts torch's
elastic agent (torchrun), hands SIGTERM on and reports for all; `worker` is what the agent starts. Rank 0 does what a single
process would do (checkpoints' manifests, progress, MLflow, completion.json); the others (`follower`) only compute. `gang` is
how ranks tell each other things, `together` makes them leave at the same step, `notes` carries failures to the supervisor.
"""
