-- SPDX-License-Identifier: Apache-2.0
local suspended = obj.spec ~= nil and obj.spec.suspend == true
local actions = {
  retry = { disabled = false, displayName = "Try again now", iconClass = "fa fa-fw fa-redo" },
  suspend = { disabled = suspended, displayName = "Suspend", iconClass = "fa fa-fw fa-pause-circle" },
  resume = { disabled = not suspended, displayName = "Resume", iconClass = "fa fa-fw fa-play-circle" },
}
-- A credential has no plans.
if obj.kind ~= "ManagerCredential" then
  local plan = obj.status ~= nil and obj.status.plan or nil
  actions.approve = { disabled = plan == nil, displayName = "Approve the plan in the status", iconClass = "fa fa-fw fa-check-circle" }
end
return actions
