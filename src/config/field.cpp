// SPDX-License-Identifier: MIT
#include "lotformer/config/field.h"

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"

namespace lotformer {

void require_no_conflict(const Options& options, std::string_view section) {
  for (const Conflict& conflict : options.conflicts()) {
    throw Error(ErrorKind::usage, concat(section, ".", conflict.keys.front(), ": ", conflict.message));
  }
}

}  // namespace lotformer
