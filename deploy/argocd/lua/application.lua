-- SPDX-License-Identifier: Apache-2.0
-- Argo CD leaves out the health of Applications, so that waves of Applications do not wait for each other. This puts it back.
local status = obj.status or {}
local operation = status.operationState
if status.health == nil or status.health.status == nil then
  return { status = "Progressing", message = "Not looked at yet" }
end
-- Before and just after the first sync it is called healthy, because what is missing has no health.
if operation == nil or operation.finishedAt == nil or (status.reconciledAt or "") < operation.finishedAt then
  return { status = "Progressing", message = "Not looked at since it was synced" }
end
return { status = status.health.status, message = status.health.message or "" }
