"""Base models on disk as catalogue entries, without torch.

`folder` lists and hashes the files, `safetensors` reads what tensors a file holds, `weights` puts a model's shards
together, `architecture` reads config.json and counts, `card` knows licences, `registry` finds a model that the platform
itself registered, `entry` makes the catalogue entry of all that.
"""
