// SPDX-License-Identifier: MIT
// The only place that includes all of torch: 13-45 s once instead of in every file.
#include <torch/torch.h>
