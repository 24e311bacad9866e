-- Sends the requests of a file, each once and in order, or the one of the command line; prints one
-- line with the figures. The file holds requests one after the other, each after a line "@LENGTH".
local requests, position

function init(arguments)
  if arguments[1] == nil then return end
  requests, position = {}, 0
  local file = assert(io.open(arguments[1], "rb"))
  while true do
    local line = file:read("*l")
    if line == nil then break end
    requests[#requests + 1] = file:read(tonumber(line:sub(2)))
  end
  file:close()
end

function request()
  if requests == nil then return wrk.format() end
  position = position + 1
  -- Once all are sent, the last is sent again and refused: the run was too long for the file.
  return requests[math.min(position, #requests)]
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format("RESULT %d %d %d %d %d %d", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
