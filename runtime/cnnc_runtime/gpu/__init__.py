"""What only a GPU needs: buffers bound once, graphs captured, options chosen by measurement, TensorRT's files."""
