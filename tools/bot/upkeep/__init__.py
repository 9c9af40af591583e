"""What keeps the platform true to git after the authorization: repairs, outcomes, retirement, new images.

`argocd` asks Argo CD; `watching` looks at every run; `outcomes`, `retire` and `images` compute what git is to hold;
`reconcile` does one round of it all. Everything may run again at any time and changes nothing the second time.
"""
