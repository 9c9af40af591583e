"""Experiments into overlays.

`overlay` and `tenant` hold the pure functions lock -> files; `sizing` and `patches` say how a run differs from its base;
`experiments` and `tenants` make locks and decide what may be written; `store` writes folders whole or not at all;
`check` regenerates everything from the locks and compares; `base` keeps released bases frozen; `yamltext` writes YAML.
"""
