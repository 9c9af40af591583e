"""What a run would do, need and cost, from formulas alone: `steps` and `packing` count, `memory` and `hours` estimate, `quota` and `difference` compare.

Every formula names its source. Nothing here reads data or weights: the manifests and the catalogue hold all it takes.
"""
