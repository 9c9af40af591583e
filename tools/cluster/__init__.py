"""What a live cluster says about runs and about its own set-up: `ft status`, `ft watch`, `ft doctor cluster`. Reads only.

targets (command line -> runs, from git) -> reading (namespaces, Argo CD, Kueue, MLflow) -> phases (one phase and why)
-> report (data) -> text, screen or JSON. doctor/ compares what should be there with what is.
"""
