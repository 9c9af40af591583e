"""Who may run what: the only writer of overlays, audit records and the branches `deployed/<environment>`.

`history` splits main into landings, `conduct` asks GitLab what happened around a merge request, `evidence` puts both beside
the run that main's content gives; `decision` and `guard` judge, without any input or output of their own; `deploying` writes
what was allowed as one signed commit.
"""
