"""The runner: trains, merges and registers one locked run, inside the image `llama-factory-train` or as a local process.

    python -m runner train --lock FILE --storage DIR
    python -m runner publish --lock FILE --storage DIR [--manual]

`exits` lists the exit codes, `events` the JSON lines on stdout, `storage` the folders. Heavy packages (torch, LLaMA Factory,
MLflow) are imported only once every check that needs none of them has passed.
"""
