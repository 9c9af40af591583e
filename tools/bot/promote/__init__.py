"""What is served: promotions that the bot proposes, what the tenant's approvers allow, and MLflow's alias behind it.

`judging` gives a changed file below serving/ its verdict, by the evidence and the rules that an experiment has; `lifting` keeps
recalls from being weakened without approvals; `writing` makes overlay and record; `proposing` opens merge requests, `aliases`
moves `champion`.
"""
