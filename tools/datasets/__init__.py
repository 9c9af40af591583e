"""Training data as LLaMA Factory reads it, judged before a GPU waits for it.

`source` opens the file, `jsonlines` and `jsonarray` split it into rows without holding it, `decode` reads one row;
`detect` finds the columns, `alpaca`, `sharegpt` and `openai` turn a row into an `example` or refuse it, `shape` finds
what breaks the table that LLaMA Factory makes of all rows; `check` runs all of it. `tokens` and `lengths` measure the
examples, `manifest` writes what is known about the file, `store` puts the file onto the storage.
"""
