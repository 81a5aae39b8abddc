// SPDX-License-Identifier: MIT
#pragma once

#include "diagnostics.h"
#include "lotformer/config/load.h"
#include "resolve.h"

namespace lotformer::config {

/// A configuration with what is needed to say where its values came from.
struct Loaded {
  Diagnostics diagnostics;
  Resolved resolved;
};

/// Throws Error(usage) with all errors.
Loaded load(const ConfigRequest& request, const Kinds& kinds);

}  // namespace lotformer::config
