"""What the pipeline's jobs (.gitlab-ci.yml) need beyond `ft`: `python -m ci.changed`, `python -m ci.registrations`."""
