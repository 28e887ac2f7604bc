-- SPDX-License-Identifier: Apache-2.0
-- Health of a ManagerCredential, a DigitalMessagingInterface or a ChannelConnection.
local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function is(kind, expected)
  return conditions[kind] ~= nil and conditions[kind].status == expected
end

-- What a person reads: the reason, and what the operator says about it.
local function told(condition)
  if condition.message == nil or condition.message == "" then
    return condition.reason
  end
  return condition.reason .. ": " .. condition.message
end

-- The status speaks of an older version of the spec, or of none.
if (status.observedGeneration or -1) < (obj.metadata.generation or 0) then
  return { status = "Progressing", message = "The operator has not looked at this version yet" }
end

-- spec.suspend: whatever was wrong before, nothing is done about it now.
if is("Reconciling", "False") then
  local message = told(conditions["Reconciling"])
  if is("Ready", "False") then
    message = message .. "; not ready: " .. told(conditions["Ready"])
  end
  return { status = "Suspended", message = message }
end

if is("Stalled", "True") then
  return { status = "Degraded", message = told(conditions["Stalled"]) }
end

if is("Reconciling", "True") then
  local waiting = conditions["Reconciling"]
  -- For a person's consent, which may take days.
  if waiting.reason == "AwaitingApproval" or waiting.reason == "AwaitingAuthorization" then
    return { status = "Suspended", message = told(waiting) }
  end
  return { status = "Progressing", message = told(waiting) }
end

if is("Ready", "True") then
  -- With `management: Observe` it may differ from what is declared, and that is all right.
  if is("Synced", "False") then
    return { status = "Healthy", message = told(conditions["Synced"]) }
  end
  return { status = "Healthy", message = "" }
end

if is("Ready", "False") then
  return { status = "Degraded", message = told(conditions["Ready"]) }
end

return { status = "Progressing", message = "The operator has not come to a result yet" }
