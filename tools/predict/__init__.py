"""Predictions that learn: what past runs measured corrects what the formulas of tools/plan say of the next one.

`pairs` reads what audit records hold, `correction` is the statistics, `prediction` what a plan shows, `review` and `show` the
report. Nothing but the repository is read, so a merge request's pipeline says what the bot says.
"""
