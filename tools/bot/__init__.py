"""The bot: what answers merge requests, authorizes merged experiments and keeps their records.

`forge` talks to GitLab, `mirror` to git, `store` remembers, `serve` listens; `report`, `authorize` and `upkeep` do the
work. Needs the dependencies of the extra "bot"; nothing else of `tools` imports this package.
"""
