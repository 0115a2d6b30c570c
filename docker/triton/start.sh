#!/bin/sh
# Start Triton on the live model repository, as laptop/triton/launch.py does with the wheel. It
# starts with every model whose versions are as they were published, and stays up when one does not
# load: none of that model's versions serves then until the next night revives the live one.
# Loading a model is running code: only requests with the key may, and none may without a key.
set -eu
repository=${NIGHTSHIFT_MODEL_REPO:-${NIGHTSHIFT_HOME:?}/model_repo}
models=$(python3 -m nightshift.triton.startable "$repository")
for model in $models; do
  set -- --load-model="$model" "$@"
done
control=model-repository,model-config,shared-memory,trace,logging
key="nightshift-key=${NIGHTSHIFT_TRITON_KEY:?}"
exec tritonserver "--http-restricted-api=$control,inference,metadata,statistics:$key" \
  "--grpc-restricted-protocol=$control:$key" \
  --model-repository="$repository" --backend-directory=/opt/tritonserver/backends \
  --model-control-mode=explicit --disable-auto-complete-config --exit-on-error=false "$@"
