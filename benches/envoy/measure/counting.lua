-- Counts the bytes of both directions, which is the least that a Lua filter can do with them, and answers /counted with
-- what this worker has counted.
local counted = 0

local function count(handle)
  for chunk in handle:bodyChunks() do
    counted = counted + chunk:length()
  end
end

function envoy_on_request(handle)
  if handle:headers():get(":path") == "/counted" then
    handle:respond({ [":status"] = "200" }, tostring(counted))
    return
  end
  count(handle)
end

function envoy_on_response(handle)
  count(handle)
end
