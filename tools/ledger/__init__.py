"""What runs took and cost, from the audit records alone: `entries` reads them one by one, `totals` adds up, `show` prints.

The books are git's: planned hours are limits, used hours are Kubernetes', prices are those of the authorization.
"""
