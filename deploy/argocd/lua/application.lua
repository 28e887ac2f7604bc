-- SPDX-License-Identifier: Apache-2.0
-- Argo CD leaves out the health of Applications, so that waves of Applications do not wait for each other. This puts it back.
local status = obj.status or {}
local operation = status.operationState
if status.health == nil or status.health.status == nil then
  return { status = "Progressing", message = "Not looked at yet" }
end
-- Before and just after the first sync it is called healthy, because what is missing has no health. One that finds all in the
-- cluster already is never synced.
if operation == nil and (status.sync or {}).status ~= "Synced" then
  return { status = "Progressing", message = "Not synced yet" }
end
if operation ~= nil and (operation.finishedAt == nil or (status.reconciledAt or "") < operation.finishedAt) then
  return { status = "Progressing", message = "Not looked at since it was synced" }
end
return { status = status.health.status, message = status.health.message or "" }
