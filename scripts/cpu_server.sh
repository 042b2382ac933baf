# Start one vLLM server with the bundled model on the CPU, for scripts that make many small runs. To be sourced.
#
# serve FOLDER sets $url. The server's log is FOLDER/vllm.log; it stops when the script ends. Where $URL is set, that
# server is used instead, and its model must be named smollm2. $python is the interpreter.

serve() {
  if [ -n "${URL:-}" ]; then url=$URL; return; fi
  local port=${PORT:-8017} model
  url=http://127.0.0.1:$port/v1
  model=$("$python" -c "from synthgen.engines import bundled; print(bundled.resolve(bundled.GENERATOR))")
  VLLM_CPU_KVCACHE_SPACE=1 VLLM_NO_USAGE_STATS=1 "$python" -m vllm.entrypoints.openai.api_server \
    --model "$model" --served-model-name smollm2 --enforce-eager --host 127.0.0.1 --port "$port" > "$1/vllm.log" 2>&1 &
  server=$!
  trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null' EXIT
  until curl -sf "$url/models" > /dev/null; do
    kill -0 "$server" 2>/dev/null || { echo "vLLM did not start; its log is $1/vllm.log" >&2; exit 1; }
    sleep 2
  done
}
