"""`ft bot serve`: GitLab's webhooks in, work in a queue that survives kill -9, answers for the pipeline's jobs.

`webhook` says what an event asks for, `workers` do it with the functions of the other commands, `app` is the ASGI side.
"""
