"""What the jobs of .gitlab-ci.yml call: `ci.check` (validate), `ci.build`, `ci.follow` (train), `ci.registered` (register)."""
