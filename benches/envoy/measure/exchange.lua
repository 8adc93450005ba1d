-- The filter's main job as a careful user would write it for Envoy's Lua filter: check the gateway token, remove
-- every credential, add the provider's key. It knows one policy, one provider and tokens in clear.
local provider_credential = "Bearer " .. os.getenv("OPENAI_API_KEY")
local callers = { [os.getenv("GATEWAY_TOKEN")] = "web-app" }

local provider_slots = { "api-key", "x-api-key", "x-goog-api-key" }
local removed = {
  "cf-aig-authorization", "api-key", "x-api-key", "x-goog-api-key",
  "openai-organization", "openai-project", "cookie", "x-realtime-byok-provider",
}
local secret_parameters = { ["key"] = true, ["api_key"] = true, ["api-key"] = true, ["access_token"] = true }
local gateway_prefix = "cf-aig-authorization."
local provider_prefixes = { "openai-insecure-api-key.", "xai-client-secret." }
local dropped_prefixes = {
  "cf-aig-authorization", "openai-insecure-api-key.", "xai-client-secret.",
  "openai-organization.", "openai-project.", "openai-beta.",
}

local function bare(value)
  return value and (value:match("^[Bb][Ee][Aa][Rr][Ee][Rr]%s+(.+)$") or value)
end

local function after(text, prefix)
  if text:sub(1, #prefix):lower() == prefix then return text:sub(#prefix + 1) end
end

local function starts_with_any(text, prefixes)
  for _, prefix in ipairs(prefixes) do
    if after(text, prefix) then return true end
  end
  return false
end

-- The gateway's and the provider slot's token, and the list without any credential.
local function read_subprotocols(list)
  local gateway, provider, kept = nil, nil, {}
  for member in list:gmatch("[^,%s]+") do
    gateway = gateway or after(member, gateway_prefix)
    for _, prefix in ipairs(provider_prefixes) do
      provider = provider or after(member, prefix)
    end
    if not starts_with_any(member, dropped_prefixes) then kept[#kept + 1] = member end
  end
  return gateway, provider, table.concat(kept, ", ")
end

local function without_secrets(path)
  local question = path:find("?", 1, true)
  if not question then return path end
  local kept, changed = {}, false
  for parameter in path:sub(question + 1):gmatch("[^&]+") do
    if secret_parameters[parameter:match("^[^=]*"):lower()] then
      changed = true
    else
      kept[#kept + 1] = parameter
    end
  end
  if not changed then return path end
  return path:sub(1, question - 1) .. (#kept > 0 and "?" .. table.concat(kept, "&") or "")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local subprotocols = headers:get("sec-websocket-protocol")
  local offered_gateway, offered_provider, kept
  if subprotocols then offered_gateway, offered_provider, kept = read_subprotocols(subprotocols) end

  local token = bare(headers:get("cf-aig-authorization")) or offered_gateway
    or bare(headers:get("authorization")) or offered_provider
  if not token then
    for _, name in ipairs(provider_slots) do token = token or headers:get(name) end
  end
  if not (token and callers[token]) then
    handle:respond({ [":status"] = "401", ["www-authenticate"] = 'Bearer realm="gateway"' }, "unknown token")
    return
  end

  for _, name in ipairs(removed) do headers:remove(name) end
  headers:replace("authorization", provider_credential)
  if kept and kept ~= subprotocols then
    if kept == "" then headers:remove("sec-websocket-protocol") else headers:replace("sec-websocket-protocol", kept) end
  end
  local path = headers:get(":path")
  local safe = without_secrets(path)
  if safe ~= path then headers:replace(":path", safe) end
end
