"""The one comment that the bot keeps on each merge request.

Before the merge: `recompute` validates and plans the merge request's files as data, with the tools' own code; `text`
puts the verdict, findings, plan and approvals into words. After it: `following` asks the cluster and MLflow, and
`progress` shows where the run stands. `sticky` places the text: one comment, whatever happens at the same time.
"""
