-- Health of a jobset.x-k8s.io JobSet, for teams that run other Jobs in the same Argo CD. Owner: platform admins.
-- Check: make test (tests/unit/argocd/test_health.py)
-- Argo CD has none of its own and would call a JobSet healthy as soon as it is applied.
local holds = {}
for _, condition in ipairs((obj.status or {}).conditions or {}) do
  if condition.status == "True" then
    holds[condition.type] = condition.message or condition.reason or ""
  end
end

if holds.Failed then
  return {status = "Degraded", message = "failed: " .. holds.Failed}
end
if holds.Completed then
  return {status = "Healthy", message = "complete"}
end
if obj.spec.suspend == true then
  return {status = "Suspended", message = "suspended"}
end
return {status = "Progressing", message = "waiting for its Jobs"}
