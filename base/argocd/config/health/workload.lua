-- Health of a kueue.x-k8s.io Workload: the place of a Job in Kueue's queue. Owner: platform admins.
-- Check: make test (tests/unit/argocd/test_health.py)
-- Argo CD has no health of its own for it, and shows what has none as nothing at all.
local holds, others = {}, {}
for _, condition in ipairs((obj.status or {}).conditions or {}) do
  local found = condition.status == "True" and holds or others
  found[condition.type] = condition
end

if holds.Finished then
  local message = holds.Finished.message or ""
  if holds.Finished.reason == "Failed" then
    return {status = "Degraded", message = message}
  end
  return {status = "Healthy", message = message}
end
if obj.spec.active == false then
  return {status = "Degraded", message = "deactivated: Kueue does not try it again"}
end
if holds.Admitted then
  return {status = "Progressing", message = "admitted: " .. (holds.Admitted.message or "")}
end
if holds.QuotaReserved then
  return {status = "Suspended", message = "waits for admission checks: " .. (holds.QuotaReserved.message or "")}
end
local reason = others.QuotaReserved or holds.Evicted or {}
return {status = "Suspended", message = "waits in the queue: " .. (reason.message or "not looked at yet")}
