#!/usr/bin/env bash
# One notebook all the way: from a tagged notebook on real data to an answer over HTTP. `make demo` runs it.
set -euo pipefail
notebook=notebooks/mortgage.ipynb
work=demo
rm -rf "$work"
mkdir -p "$work"
began=$SECONDS
export MLFLOW_TRACKING_URI="sqlite:///$PWD/$work/mlflow.db"
export MLFLOW_DISABLE_TELEMETRY=true
run() {
  printf '\n\033[1m$ %s\033[0m\n' "$*"
  "$@"
}

run nb2prod inspect "$notebook"
run nb2prod inspect "$notebook" --format svg -o "$work/pipeline.svg"
run nb2prod check "$notebook"
run nb2prod run "$notebook" -p test_size 0.3 --runs "$work/runs"
run nb2prod test "$notebook" --junit "$work/tests.xml"
newest=$(find "$work/runs" -mindepth 1 -maxdepth 1 -type d | sort | tail -n 1)
run nb2prod package "$newest" -o "$work/package"
run nb2prod verify "$work/package"

printf '\n\033[1m$ nb2prod serve %s &\033[0m\n' "$work/package"
nb2prod serve "$work/package" --port 0 >"$work/serve.log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
for _ in $(seq 120); do
  url=$(grep -oE 'http://[0-9.]+:[0-9]+' "$work/serve.log" | head -n 1 || true)
  if [ -n "$url" ]; then break; fi
  kill -0 $server 2>/dev/null || { cat "$work/serve.log"; exit 1; }
  sleep 0.5
done
[ -n "$url" ] || { echo "the service did not start"; cat "$work/serve.log"; exit 1; }
python - "$work/package/input_example.json" >"$work/request.json" <<'PY'
import json, sys
example = json.load(open(sys.argv[1]))
print(json.dumps({"rows": [dict(zip(example["columns"], row)) for row in example["data"][:2]]}))
PY
if command -v curl >/dev/null; then
  run curl --silent --fail-with-body -H 'Content-Type: application/json' --data "@$work/request.json" "$url/predict"
else
  echo "(there is no curl here: the same request from Python)"
  python - "$url/predict" "$work/request.json" <<'PY'
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], open(sys.argv[2], "rb").read(), {"Content-Type": "application/json"})
print(urllib.request.urlopen(request).read().decode())
PY
fi
kill $server && wait $server 2>/dev/null || true

cat <<WHERE


Done in $((SECONDS - began)) s. Look at
  $work/pipeline.svg               the pipeline
  $newest/mortgage.ipynb           the executed notebook
  $work/tests.xml                  the test report
  $work/package/model_card.html    the model, for people
  $work/package/parity.html        the proof: every path to its answers
  $work/request.json               what was asked
and, with the runs, their metrics and plots:
  .venv/bin/mlflow ui --backend-store-uri $MLFLOW_TRACKING_URI
WHERE
