"""`ft run`: the rendered Jobs of an overlay as processes on this machine, the same manifests that a cluster gets.

`jobs` orders the rendered objects; `sandbox` gives each container its volumes as folders and rewrites its paths;
`container` makes the process's arguments and environment; `process` runs it, forwards signals and leaves no child behind;
`retries` is the Job controller's verdict on an exit code; `screen` shows progress; `runner` puts them together.
"""
