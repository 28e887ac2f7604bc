-- SPDX-License-Identifier: Apache-2.0
-- Approves the very plan that is shown: should it have changed meanwhile, its hash is another one and nothing happens.
if obj.status == nil or obj.status.plan == nil then
  error("there is no plan in the status that waits for approval")
end
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["digitalmessaging.io/approve"] = obj.status.plan.hash
return obj
