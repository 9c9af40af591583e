"""`ft storage`: what the runs of a tenant hold on its shared storage, and what may go.

`tree` looks through folders that a tenant's pods write (nothing in them is trusted); `layout` names what it finds; `runs` says
what git knows of each run; `serving` which models are or were served, `aliases` which ones the registry points to; `retention`
decides part by part; `removal` renames aside, deletes and keeps a record; `report` and `text` say it.
"""
