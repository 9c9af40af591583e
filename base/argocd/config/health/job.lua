-- Health of a batch/v1 Job, for resource.customizations.health.batch_Job of argocd-cm. Owner: platform admins.
-- Check: make test (tests/unit/argocd/test_health.py)
-- Argo CD's own looks at which conditions there are and not whether they hold, so that a Job that was suspended and
-- resumed counts as healthy while it trains, and PostSync would merge what is not there yet.
-- A suspended Job is Suspended: a sync waits for it as for Progressing, and people see that it stands in a queue.
local status = obj.status or {}
local holds = {}
for _, condition in ipairs(status.conditions or {}) do
  if condition.status == "True" then
    holds[condition.type] = condition.message or condition.reason or ""
  end
end

if holds.Failed then
  return {status = "Degraded", message = "failed: " .. holds.Failed}
end
if holds.Complete then
  return {status = "Healthy", message = "complete"}
end
if holds.FailureTarget then
  return {status = "Progressing", message = "failing, its pods are being stopped: " .. holds.FailureTarget}
end
if obj.spec.suspend == true then
  local labels = obj.metadata.labels or {}
  local queue = labels["kueue.x-k8s.io/queue-name"]
  if queue then
    return {status = "Suspended", message = "waits in the queue " .. queue}
  end
  return {status = "Suspended", message = "suspended"}
end
return {
  status = "Progressing",
  message = "pods active: " .. (status.active or 0) .. ", failed: " .. (status.failed or 0),
}
