#!/usr/bin/env bash
# Start an OpenMLDB cluster whose data lasts (the image's own init.sh resets it).
#
# First start: sbin/deploy-all.sh, once, marked in the installation's volume. Every start after
# that: sbin/start-all.sh alone. Stops the cluster on SIGTERM, and ends with an error when the API
# server has not answered for five minutes, so that Docker's restart policy starts it again.
set -euo pipefail

home=${OPENMLDB_HOME:-/work/openmldb}
data=${OPENMLDB_DATA:-/tmp/openmldb}
port=${OPENMLDB_APISERVER_PORT:-9080}
check_s=${OPENMLDB_CHECK_SECONDS:-10}
checks=${OPENMLDB_FAILED_CHECKS:-30}
marker=$home/.nightshift-deployed

say() { echo "[openmldb] $*"; }

answers() {
  # bash alone: the image need not hold curl.
  local reply
  reply=$( { exec 3<>"/dev/tcp/127.0.0.1/$port" \
    && printf 'GET /health HTTP/1.0\r\n\r\n' >&3 && timeout 5 cat <&3; } 2>/dev/null) || true
  [[ $reply == *OK* ]]
}

stop() {
  say "stopping the cluster"
  (cd "$home" && bash sbin/stop-all.sh) || say "stop-all.sh ended with $?"
  exit "$1"
}

# What Airflow's containers must be able to remove is written for the common group, not for root only.
umask 0002
cd "$home"
if [[ ! -e $marker ]]; then
  if [[ -n $(ls -A "$data" 2>/dev/null) && ${OPENMLDB_REDEPLOY:-no} != yes ]]; then
    say "$data holds data of another installation; after an upgrade set OPENMLDB_REDEPLOY=yes once" >&2
    exit 1
  fi
  say "deploying, for the first time"
  bash sbin/deploy-all.sh
  date -u +%FT%TZ >"$marker"
fi
# Only this container's network reaches it; the components keep their localhost endpoints. The
# file is made from its template at the first start of a component, so both are set.
found=no
for flags in conf/apiserver.flags conf/apiserver.flags.template; do
  if [[ -e $flags ]]; then
    sed -i "s/^--endpoint=.*/--endpoint=0.0.0.0:$port/" "$flags"
    found=yes
  fi
done
if [[ $found == no ]]; then
  say "no apiserver.flags in $home/conf; is OPENMLDB_HOME the installation?" >&2
  exit 1
fi
# Process ids of before a restart may belong to other processes now.
find "$home" "$data" -name '*.pid' -type f -delete

trap 'stop 0' TERM INT
say "starting the cluster"
bash sbin/start-all.sh
failed=0
while ((failed < checks)); do
  if answers; then failed=0; else failed=$((failed + 1)); fi
  sleep "$check_s" &
  wait $! || true
done
say "no answer on port $port in the last $checks checks" >&2
stop 1
