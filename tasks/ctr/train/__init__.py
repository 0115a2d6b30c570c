"""DeepFM in OneFlow: training on a dataset of ids, and scoring with what was trained."""
