"""`ft doctor cluster`: is everything in a live cluster that the platform needs?

desired (overlays rendered) -> compare (each object with the live one) and checks (what no manifest says: versions, keys,
bound claims, nodes, servers) -> results -> text or JSON. Reads only; a Secret's keys are looked at, its values never leave.
"""
