"""`ft doctor gitlab`: which of a GitLab project's protections hold, which need a paid tier, and the setting for each that is missing.

`project` is what is looked at, `checks` hold one question each and yield `results`, `examination` asks them all, `text` prints.
"""
