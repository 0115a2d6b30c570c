#!/bin/sh
# Start Triton on the live model repository. A restart loads every model as its config.pbtxt pins
# it; a model that fails to load does not keep the others from serving.
set -eu
exec tritonserver \
  --model-repository="${NIGHTSHIFT_HOME:?}/model_repo" \
  --backend-directory="${TRITON_BACKENDS:-/opt/tritonserver/backends}" \
  --model-control-mode=explicit --load-model='*' --exit-on-error=false \
  --disable-auto-complete-config --log-info=true "$@"
