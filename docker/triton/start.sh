#!/bin/sh
# Start Triton on the live model repository, as laptop/triton/launch.py does with the wheel. It
# starts with the model that its config.pbtxt pins, if there is one yet, and stays up when a
# version does not load: none of them serves then until the next night revives the live one.
# Loading a model is running code: only requests with the key may, and none may without a key.
set -eu
repository=${NIGHTSHIFT_HOME:?}/model_repo
model=${NIGHTSHIFT_MODEL:?}
if [ -e "$repository/$model/config.pbtxt" ]; then set -- --load-model="$model" "$@"; fi
control=model-repository,model-config,shared-memory,trace,logging
rule="$control:nightshift-key=${NIGHTSHIFT_TRITON_KEY:?}"
exec tritonserver "--http-restricted-api=$rule" "--grpc-restricted-protocol=$rule" \
  --model-repository="$repository" --backend-directory=/opt/tritonserver/backends \
  --model-control-mode=explicit --disable-auto-complete-config --exit-on-error=false "$@"
