#!/usr/bin/env bash
# Start an OpenMLDB cluster whose data lasts (the image's own init.sh resets it), and watch it.
#
# First start: sbin/deploy-all.sh, once, marked in the installation's volume. Every start after
# that: sbin/start-all.sh alone. From then on each component is looked at every few seconds: one
# that died is started again, and a tablet's data recovered; an API server that lives and does not
# answer is ended first. Stops the cluster on SIGTERM, and ends with an error when a component does
# not stay up or the API server has not answered for five minutes: Docker then starts it again.
set -euo pipefail

home=${OPENMLDB_HOME:-/work/openmldb}
data=${OPENMLDB_DATA:-/tmp/openmldb}
port=${OPENMLDB_APISERVER_PORT:-9080}
check_s=${OPENMLDB_CHECK_SECONDS:-2}
checks=${OPENMLDB_FAILED_CHECKS:-150}
answer_s=${OPENMLDB_ANSWER_SECONDS:-5}
hung=${OPENMLDB_HUNG_CHECKS:-15}
attempts=${OPENMLDB_RESTARTS:-5}
forget_s=${OPENMLDB_FORGET_SECONDS:-300}
zk_port=${OPENMLDB_ZK_PORT:-2181}
tm_port=${OPENMLDB_TASKMANAGER_PORT:-9902}
# OpenMLDB's own zone, in which it counts days and hours.
time_zone=spark.sql.session.timeZone=+08:00
marker=$home/.nightshift-deployed
# In the order in which they need each other.
components=(zookeeper tablet nameserver apiserver taskmanager)

say() { echo "[openmldb] $*"; }

answers() {
  # bash alone: the image need not hold curl. The limit covers connecting, too: once the queue of
  # a server that hangs is full, a connection waits for minutes.
  local reply
  reply=$(timeout "$answer_s" bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" \
    && printf "GET /health HTTP/1.0\r\n\r\n" >&3 && cat <&3' answers "$port" 2>/dev/null) || true
  [[ $reply == *$'\r\n\r\n'OK* ]]  # in the body: the status line says OK, too
}

# In the background, so that a signal is heard meanwhile.
run() {
  "$@" &
  wait $!
}

stop() {
  trap '' TERM INT
  say "stopping the cluster"
  (cd "$home" && bash sbin/stop-all.sh) || say "stop-all.sh ended with $?"
  exit "$1"
}

# Files in which a component's start script wrote its process id.
pid_files() {
  find "$home" "$data" -maxdepth 4 -path "*/bin/$1.pid" -type f 2>/dev/null || true
}

pids() {
  local file
  while IFS= read -r file; do tr -d '\0' <"$file" && echo; done < <(pid_files "$1")
}

# Else a start script may take a number that belongs to nobody, or to another, for its own.
forget_dead() {
  local file
  while IFS= read -r file; do
    if ! lives "$(tr -d '\0' <"$file")"; then rm -f "$file"; fi
  done < <(pid_files "$1")
}

lives() {
  local state
  [[ $1 =~ ^[0-9]+$ ]] && state=$(cat "/proc/$1/stat" 2>/dev/null) && [[ $state != *") Z "* ]]
}

# How many processes of a component live; ZooKeeper writes its number elsewhere, so its port tells.
living() {
  local pid count=0
  if [[ $1 == zookeeper ]]; then
    if (exec 3<>"/dev/tcp/127.0.0.1/$zk_port") 2>/dev/null; then count=1; fi
  else
    for pid in $(pids "$1"); do
      if lives "$pid"; then count=$((count + 1)); fi
    done
  fi
  echo "$count"
}

# As sbin/start-all.sh does it: a tablet that comes back serves only what was recovered.
recover() {
  if [[ ! -e tools/openmldb_ops.py ]]; then return; fi
  say "recovering the tablets' data"
  run bash -c '. conf/openmldb-env.sh && . sbin/init.sh && exec python3 tools/openmldb_ops.py \
    --openmldb_bin_path=./bin/openmldb --zk_cluster="$OPENMLDB_ZK_CLUSTER" \
    --zk_root_path="$OPENMLDB_ZK_ROOT_PATH" --cmd=recoverdata' ||
    say "recovering ended with $?; it is tried again when a tablet is started again" >&2
}

# A function, so that all is parsed before a signal can come: bash else reads the script while it
# runs, and a trap that runs amid its parsing can end it with a syntax error.
main() {
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
  # Text times of CSV files are read in Spark's session time zone, which else is the machine's.
  for file in conf/taskmanager.properties conf/taskmanager.properties.template; do
    if [[ -e $file ]] && ! grep -q '^spark\.default\.conf=.*session\.timeZone' "$file"; then
      if grep -q '^spark\.default\.conf=..*' "$file"; then
        sed -i "s|^spark\.default\.conf=.*|&;$time_zone|" "$file"
      else
        sed -i '/^spark\.default\.conf=/d' "$file"
        printf '\nspark.default.conf=%s\n' "$time_zone" >>"$file"
      fi
    fi
  done
  # TaskManager runs whatever Spark job it is asked for, and listens on every address whatever its
  # own `server.host` says. Only this container needs it.
  if iptables -C INPUT -p tcp --dport "$tm_port" ! -i lo -j DROP 2>/dev/null ||
    iptables -I INPUT -p tcp --dport "$tm_port" ! -i lo -j DROP 2>/dev/null; then
    say "TaskManager's port $tm_port is closed to other containers"
  else
    say "TaskManager's port $tm_port is open to the containers of its network: no iptables here" >&2
  fi
  # Process ids of before a restart may belong to other processes now.
  find "$home" "$data" -name '*.pid' -type f -delete

  trap 'stop 0' TERM INT
  say "starting the cluster"
  run bash sbin/start-all.sh
  declare -A wanted=() restarts=() last=()
  for part in "${components[@]}"; do
    wanted[$part]=$(living "$part")
    if ((wanted[$part] == 0)); then say "$part is not watched: none was seen to start" >&2; fi
  done
  silent=0
  while ((silent < checks)); do
    for part in "${components[@]}"; do
      if ((wanted[$part] == 0 || $(living "$part") >= wanted[$part])); then continue; fi
      if ((SECONDS - ${last[$part]:-0} > forget_s)); then restarts[$part]=0; fi
      restarts[$part]=$((${restarts[$part]:-0} + 1))
      last[$part]=$SECONDS
      if ((restarts[$part] > attempts)); then
        say "$part does not stay up: it was started again $attempts times" >&2
        stop 1
      fi
      say "$part is not running: starting it again" >&2
      forget_dead "$part"
      run bash "sbin/start-${part/zookeeper/zk}s.sh" || say "its start script ended with $?" >&2
      if [[ $part == tablet ]]; then recover; fi
    done
    if answers; then silent=0; else silent=$((silent + 1)); fi
    if ((silent > 0 && silent % hung == 0)); then
      say "the API server does not answer: it is ended, to be started again" >&2
      for pid in $(pids apiserver); do kill -KILL "$pid" 2>/dev/null || true; done
    fi
    sleep "$check_s" &
    wait $! || true
  done
  say "no answer on port $port in the last $checks checks" >&2
  stop 1
}

main; exit
