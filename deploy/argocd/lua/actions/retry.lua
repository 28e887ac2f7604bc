-- SPDX-License-Identifier: Apache-2.0
-- Each new value is one try.
local os = require("os")
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["digitalmessaging.io/retry"] = os.date("!%Y-%m-%dT%XZ")
return obj
