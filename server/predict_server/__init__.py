"""The predict server: a request row in, OpenMLDB's features and Triton's score out.

`python -m predict_server`; settings from `NIGHTSHIFT_*` (see `nightshift.settings`).
"""
