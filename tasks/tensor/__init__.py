"""Any OneFlow module with named tensors: built or trained by the pipeline's own file."""
