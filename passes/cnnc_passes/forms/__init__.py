"""What an operator is, as algebra: a linear map, an affine map per channel, a kernel among others. Shared by laws."""
